"""Server-sent events over POST. A silent stream gets a comment as a ping, and a client's disconnect ends the request."""

import asyncio
import contextlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tina_azr.engine.types import Event
from tina_azr.serve.in_flight import InFlightRequest
from tina_azr.serve.types import EndedBy

PING = ": ping\n\n"
_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class StreamEncoder(Protocol):
    """Encoder of engine events for one of the two APIs."""

    def start(self) -> Iterable[str]:
        """Return the blocks before the first event."""
        ...

    def encode(self, event: Event) -> Iterable[str]:
        """Return the blocks for one event."""
        ...

    def end(self) -> Iterable[str]:
        """Return the blocks after the last event."""
        ...


class EventStream(Response):
    """Streaming response. When it ends for any reason, its request is ended too."""

    media_type = "text/event-stream"

    def __init__(self, in_flight: InFlightRequest, encoder: StreamEncoder) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        # The length of a stream is not known.
        del self.headers["content-length"]
        self._in_flight = in_flight
        self._encoder = encoder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writing = asyncio.create_task(self._write(send))
        disconnect = asyncio.create_task(wait_for_disconnect(receive))
        try:
            await asyncio.wait((writing, disconnect), return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
        finally:
            self._in_flight.end(EndedBy.CLIENT)
            await cancel_tasks(writing, disconnect)

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _send(send, "".join(self._encoder.start()))
        async for events in self._in_flight.batches():
            await _send(send, "".join(block for event in events for block in self._encoder.encode(event)) if events else PING)
        await _send(send, "".join(self._encoder.end()))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def block(value: Mapping[str, object], name: str | None = None) -> str:
    """Format one event: its name, if it has one, then its data on one line."""
    data = _to_json(value)
    return f"data: {data}\n\n" if name is None else f"event: {name}\ndata: {data}\n\n"


async def wait_for_disconnect(receive: Receive) -> None:
    """Wait until the client has disconnected."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def cancel_tasks(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait until they have ended."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        if not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _send(send: Send, text: str) -> None:
    if text:
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
