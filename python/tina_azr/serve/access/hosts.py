"""Which Host and Origin headers are this server's own. Written out here because the usual middleware misreads `[::1]`."""

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
    """Of a Host header; None for what is none."""
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
    """Whether an address to listen on is reached from this machine alone."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class OwnAddress:
    """What clients may call this server.

    A page of a foreign site can have a name of its own resolve to this machine (DNS rebinding), but it cannot choose an address as its
    name: so a server that listens on every address answers to any address, and to no name but those that were configured.
    """

    def __init__(self, host: str, port: int, further: Collection[str] = ()) -> None:
        self._port = port
        self._any_address = not is_loopback(host)
        self._names = {*LOOPBACK_NAMES, host.lower().strip("[]")}
        self._further = {_configured(text) for text in further}

    def answers_to(self, host: str) -> bool:
        """Whether a Host header is this server's."""
        authority = parse_authority(host)
        if authority is None:
            return False
        if authority in self._further or Authority(authority.name, None) in self._further:
            return True
        if (authority.port or 80) != self._port:
            return False
        return authority.name in self._names or (self._any_address and _is_address(authority.name))


def _configured(text: str) -> Authority:
    authority = parse_authority(text)
    if authority is None:
        raise ConfigError(
            f"serve.hosts: `{text}` is no host: write a name or an address, with :PORT if need be, such as box.example:8000"
        )
    return authority


def same_origin(origin: str, host: str) -> bool:
    """Whether an Origin header is the page of the very server that the Host header names."""
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
