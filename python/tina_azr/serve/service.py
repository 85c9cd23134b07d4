"""State that the routes share, and functions that submit a request and wait for its completions."""

import asyncio
import secrets
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from starlette.types import Receive

from tina_azr.config import ServeConfig
from tina_azr.engine.types import Failed, Finished, Generation, GenerationRequest
from tina_azr.sandbox.types import Outcome
from tina_azr.serve.engine_thread import EngineThread
from tina_azr.serve.in_flight import InFlightRequest
from tina_azr.serve.metrics import Metrics
from tina_azr.serve.openai.request import RequestLimits
from tina_azr.serve.openai.sse import cancel_tasks, wait_for_disconnect
from tina_azr.serve.types import ApiError, EndedBy, ServedModel, ServerLimits, server_error

Result = TypeVar("Result")

CLIENT_CLOSED_REQUEST = 499
"""nginx's status code for a client that disconnected. Only the metrics show it."""


class Checker(Protocol):
    """Part of a sandbox that the sandbox endpoint uses."""

    def check_many(self, jobs: Sequence[tuple[str, Sequence[str]]]) -> list[list[Outcome]]:
        """Run programs and calls; see `tina_azr.sandbox.types.Executor`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """State of one server that its routes share."""

    engine_thread: EngineThread
    model: ServedModel
    settings: ServeConfig
    metrics: Metrics
    checker: Checker | None
    """None: no sandbox endpoint."""
    key_required: bool
    server_limits: ServerLimits

    @property
    def limits(self) -> RequestLimits:
        """Limits of one request."""
        return RequestLimits(
            messages=self.server_limits.messages,
            prompt_chars=self.server_limits.prompt_chars,
            choices=min(self.server_limits.choices, self.settings.queue),
            allow_visible=self.settings.allow_visible_reasoning,
        )


def new_id(prefix: str) -> str:
    """Return an id that cannot be guessed, because the control endpoint accepts any id that it knows."""
    return f"{prefix}{secrets.token_hex(16)}"


def now() -> int:
    """Return the seconds since 1970, as in OpenAI's `created`."""
    return int(time.time())


async def submit_request(
    engine_thread: EngineThread, request_id: str, request: GenerationRequest, receive: Receive
) -> InFlightRequest:
    """Submit a request and return it once the engine has accepted it.

    If the client disconnects first, a prompt that is still queued is not tokenized.
    """
    return await _cancel_on_disconnect(engine_thread.submit(request_id, request), receive)


async def wait_for_generations(in_flight: InFlightRequest, receive: Receive) -> list[Generation]:
    """Return all completions of a request, in order. If the client disconnects first, the request is ended at once."""
    try:
        return await _cancel_on_disconnect(_generations(in_flight), receive)
    finally:
        in_flight.end(EndedBy.CLIENT)


async def _cancel_on_disconnect(work: Coroutine[Any, Any, Result], receive: Receive) -> Result:
    """Return the result of `work`. If the client disconnects first, cancel the work and raise ApiError."""
    task = asyncio.create_task(work)
    disconnect = asyncio.create_task(wait_for_disconnect(receive))
    try:
        await asyncio.wait((task, disconnect), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ApiError(CLIENT_CLOSED_REQUEST, "the client disconnected", code="client_left")
        return task.result()
    finally:
        await cancel_tasks(task, disconnect)


async def _generations(in_flight: InFlightRequest) -> list[Generation]:
    found: list[Generation] = []
    async for events in in_flight.batches():
        for event in events:
            if isinstance(event, Failed):
                raise server_error(event.message)
            if isinstance(event, Finished):
                found.append(event.generation)
    return sorted(found, key=lambda generation: generation.index)
