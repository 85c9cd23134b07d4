"""HTTP server: the listening socket, and uvicorn with a shutdown that lets running requests finish."""

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
from tina_azr.serve.engine_thread import EngineThread
from tina_azr.serve.types import EndedBy

BACKLOG = 512
IDLE_SECONDS = 30
FLUSH_SECONDS = 5
"""Time after the grace period in which ended requests may send their last events."""


def check_exposure(settings: ServeConfig, key: str | None) -> None:
    """Raise ConfigError if other machines can reach the server and it has no API key."""
    if key is None and not is_loopback(settings.host):
        raise ConfigError(
            f"serve.host {settings.host} can be reached by other machines, and no key is set. Set TINA_AZR_API_KEY, or give "
            "--api-key-file FILE; or omit the host to serve only this machine."
        )


def listen(settings: ServeConfig) -> socket.socket:
    """Open a listening socket at the address of the settings. Raises ServeError if the address is in use or invalid."""
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
            f"cannot listen at {settings.host} port {settings.port}: {error.strerror}. Choose another port with --port (0: any free "
            "one), or another address with --host."
        ) from error
    listener.listen(BACKLOG)
    return listener


def port_of(listener: socket.socket) -> int:
    """Return the port that the socket is bound to, also when the settings asked for port 0."""
    return int(listener.getsockname()[1])


def url_of(settings: ServeConfig, port: int) -> str:
    """Return the URL for a browser on this machine."""
    host = settings.host.strip("[]")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f"http://{host}:{port}"
    if address.is_unspecified:
        return f"http://127.0.0.1:{port}"
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


def hint_of(settings: ServeConfig, port: int) -> str | None:
    """Return a hint with the URL for other machines if the server listens at every address, else None."""
    try:
        everywhere = ipaddress.ip_address(settings.host.strip("[]")).is_unspecified
    except ValueError:
        everywhere = False
    if not everywhere:
        return None
    address = _outward_address() or "ADDRESS"
    return f"Other machines: http://{address}:{port}, or any other address of this machine; to use a host name, give --allow-host NAME."


def _outward_address() -> str | None:
    """Return the source address of packets to other machines, or None if there is no route to them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address (RFC 5737); connecting a datagram socket sends no packet
        except OSError:
            return None
        return str(probe.getsockname()[0])


class Server(uvicorn.Server):
    """uvicorn server with a graceful shutdown. It refuses new requests first, and ends the running ones after the grace period."""

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
                timeout_graceful_shutdown=round(settings.grace_seconds + FLUSH_SECONDS),
            )
        )
        self._engine_thread: EngineThread = app.state.engine_thread
        self._listener = listener
        self._grace_seconds = settings.grace_seconds
        self._on_ready = on_ready
        self._engine_thread.on_broken = self.stop

    def run_until_stopped(self) -> None:
        """Serve until SIGINT, SIGTERM or `stop`. Raises ServeError if the engine fails."""
        self.run(sockets=[self._listener])
        if self._engine_thread.broken:
            raise ServeError("the engine failed, so the server has stopped; see the log above for the place")

    def stop(self) -> None:
        """Shut down as after SIGTERM: running requests may finish within the grace period."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._engine_thread.closing = True
        asyncio.get_running_loop().call_later(self._grace_seconds, self._engine_thread.end_all, EndedBy.SHUTDOWN)
        await super().shutdown(sockets)
