"""Server-sent events over POST: lines for a run's events as they come, a comment when there are none, an end when the client leaves."""

import asyncio
import contextlib
import json
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tina_azr.engine.types import Event
from tina_azr.serve.in_flight import Run
from tina_azr.serve.types import EndedBy

PING = ": ping\n\n"
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class Teller(Protocol):
    """How events are said in one of the two APIs."""

    def opening(self) -> Iterable[str]:
        """Blocks before the first event."""
        ...

    def tell(self, event: Event) -> Iterable[str]:
        """Blocks for one event."""
        ...

    def closing(self) -> Iterable[str]:
        """Blocks after the last event."""
        ...


class EventStream(Response):
    """The response. Whatever ends it, the run does not outlive it."""

    media_type = "text/event-stream"

    def __init__(self, run: Run, teller: Teller) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        # The length of a stream is not known.
        del self.headers["content-length"]
        self._run = run
        self._teller = teller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        writing = asyncio.create_task(self._write(send))
        leaving = asyncio.create_task(left(receive))
        try:
            await asyncio.wait((writing, leaving), return_when=asyncio.FIRST_COMPLETED)
            if writing.done():
                writing.result()
        finally:
            self._run.end(EndedBy.CLIENT)
            await stop(writing, leaving)

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _send(send, "".join(self._teller.opening()))
        async for events in self._run.batches():
            await _send(send, "".join(block for event in events for block in self._teller.tell(event)) if events else PING)
        await _send(send, "".join(self._teller.closing()))
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def block(value: Mapping[str, object], name: str | None = None) -> str:
    """One event: its data on one line, after its name if it has one."""
    data = _encode(value)
    return f"data: {data}\n\n" if name is None else f"event: {name}\ndata: {data}\n\n"


async def left(receive: Receive) -> None:
    """Wait until the client is gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def stop(*tasks: "asyncio.Task[Any]") -> None:
    """Cancel tasks and wait for their end."""
    for task in tasks:
        task.cancel()
    for task in tasks:
        if not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _send(send: Send, text: str) -> None:
    if text:
        await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
