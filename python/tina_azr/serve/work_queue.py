"""Work beside the model, on a thread: one piece at a time, few waiting, so that it can slow the engine down but never bury it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from tina_azr.serve.types import ApiError

Result = TypeVar("Result")


class Turnstile:
    """For one kind of work. Belongs to the event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tina-azr-turnstile")
        self._pieces: list[Future[Any]] = []

    async def through(self, work: Callable[[], Result]) -> Result:
        """What the work returns. Raises ApiError where `most` pieces are being done or wait.

        Who is cancelled while waiting leaves its place to others. Work that has begun cannot be stopped: it keeps its place to its end.
        """
        self._pieces = [piece for piece in self._pieces if not piece.done()]
        if len(self._pieces) >= self._most:
            raise ApiError(
                429, "the server is busy with this: try again", kind="rate_limit_error", code="busy", headers={"Retry-After": "1"}
            )
        piece = self._thread.submit(work)
        self._pieces.append(piece)
        return await asyncio.wrap_future(piece)
