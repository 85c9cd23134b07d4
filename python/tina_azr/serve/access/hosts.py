"""Checks of Host and Origin headers against the server's own address. Starlette's middleware misreads `[::1]`."""

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

from tina_azr.errors import ConfigError

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "::1")
_AUTHORITY = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Authority:
    """`name:port`, lower case, an IPv6 address in its short form without brackets."""

    name: str
    port: int | None


def parse_authority(text: str) -> Authority | None:
    """Parse a Host header. Return None if it is malformed."""
    match = _AUTHORITY.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"]) if match["port"] else None
    if match["v6"]:
        try:
            return Authority(str(ipaddress.IPv6Address(match["v6"])), port)
        except ValueError:
            return None
    return Authority(match["name"].lower(), port)


def is_loopback(host: str) -> bool:
    """Return whether a listening address can be reached only from this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class OwnAddress:
    """Names and addresses under which clients may reach this server.

    A foreign page can let its own host name resolve to this machine (DNS rebinding), but it cannot use an IP address as its name.
    A server that listens on every address therefore accepts any IP address, but only configured names.
    """

    def __init__(self, host: str, port: int, extra_hosts: Collection[str] = ()) -> None:
        self._port = port
        self._any_address = not is_loopback(host)
        self._names = {*LOOPBACK_NAMES, host.lower().strip("[]")}
        self._extra_hosts = {_configured(text) for text in extra_hosts}

    def accepts(self, host: str) -> bool:
        """Return whether a Host header belongs to this server."""
        authority = parse_authority(host)
        if authority is None:
            return False
        if authority in self._extra_hosts or Authority(authority.name, None) in self._extra_hosts:
            return True
        if (authority.port or 80) != self._port:
            return False
        return authority.name in self._names or (self._any_address and _is_address(authority.name))


def _configured(text: str) -> Authority:
    authority = parse_authority(text)
    if authority is None:
        raise ConfigError(
            f"serve.hosts: `{text}` is not a host: write a name or an address, with :PORT if needed, for example box.example:8000"
        )
    return authority


def same_origin(origin: str, host: str) -> bool:
    """Return whether an Origin header names the same server as the Host header."""
    scheme, separator, authority = origin.partition("://")
    if not separator or scheme not in ("http", "https"):
        return False
    theirs, ours = parse_authority(authority), parse_authority(host)
    if theirs is None or ours is None or theirs.name != ours.name:
        return False
    usual = 443 if scheme == "https" else 80
    return (theirs.port or usual) == (ours.port or usual)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
