"""The listening socket and uvicorn around the application, with an end that lets what runs finish."""

import asyncio
import ipaddress
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from tina_azr.config import ServeConfig
from tina_azr.errors import ConfigError, ServeError
from tina_azr.serve.access.hosts import is_loopback
from tina_azr.serve.access.middleware import HEADER_BYTES
from tina_azr.serve.engine_thread import EngineRoom
from tina_azr.serve.types import EndedBy

BACKLOG = 512
IDLE_SECONDS = 30
LAST_SECONDS = 5
"""After the grace time: for the last words of what was ended to go out."""


def check_exposure(settings: ServeConfig, key: str | None) -> None:
    """Raise ConfigError for an address that other machines reach without a key."""
    if key is None and not is_loopback(settings.host):
        raise ConfigError(
            f"serve.host {settings.host} is reached by other machines, which would need no key. Set TINA_AZR_API_KEY, or give "
            "--api-key-file FILE; or leave the host out to serve this machine alone."
        )


def listen(settings: ServeConfig) -> socket.socket:
    """A socket at the address of the settings. Raises ServeError saying what to do."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host.strip("[]"), settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise ServeError(
            f"cannot listen at {settings.host} port {settings.port}: {error.strerror}. Give another with --port (0: any free one) or "
            "--host."
        ) from error
    listener.listen(BACKLOG)
    return listener


def port_of(listener: socket.socket) -> int:
    """The port that it really has."""
    return int(listener.getsockname()[1])


def url_of(settings: ServeConfig, port: int) -> str:
    """What to type into a browser on this machine."""
    host = settings.host.strip("[]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        return f"http://127.0.0.1:{port}"
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def hint_of(settings: ServeConfig, port: int) -> str | None:
    """What to type on another machine, if that differs from `url_of`: where the server listens at every address."""
    try:
        everywhere = ipaddress.ip_address(settings.host.strip("[]")).is_unspecified
    except ValueError:
        everywhere = False
    if not everywhere:
        return None
    address = _outward_address() or "ADDRESS"
    return (
        f"Other machines: http://{address}:{port}, or any other address of this one; by a name of it only with --allow-host NAME."
    )


def _outward_address() -> str | None:
    """The address that this machine's packets to others come from; None: it has no way to others."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # an address for documentation (RFC 5737); connecting a datagram socket sends nothing
        except OSError:
            return None
        return str(probe.getsockname()[0])


class Server(uvicorn.Server):
    """uvicorn, which at its end first takes no more requests, and after the grace time ends those that still run."""

    def __init__(self, app: FastAPI, listener: socket.socket, settings: ServeConfig, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_keep_alive=IDLE_SECONDS,
                h11_max_incomplete_event_size=HEADER_BYTES,
                http="h11",
                ws="none",
                timeout_graceful_shutdown=round(settings.grace_seconds + LAST_SECONDS),
            )
        )
        self._room: EngineRoom = app.state.room
        self._listener = listener
        self._grace_seconds = settings.grace_seconds
        self._on_ready = on_ready
        self._room.on_broken = self.stop

    def work(self) -> None:
        """Serve until SIGINT, SIGTERM, `stop`, or until the engine fails. Raises ServeError for the last."""
        self.run(sockets=[self._listener])
        if self._room.broken:
            raise ServeError("the engine failed, so the server has ended; the log above says where")

    def stop(self) -> None:
        """As SIGTERM: finish what runs, within the grace time."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._room.closing = True
        asyncio.get_running_loop().call_later(self._grace_seconds, self._room.end_all, EndedBy.SHUTDOWN)
        await super().shutdown(sockets)
