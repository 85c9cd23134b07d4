"""Work beside the model, on a thread: one piece at a time, few waiting, so that it can slow the engine down but never bury it."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from tina_azr.serve.types import ApiError

Result = TypeVar("Result")


class Turnstile:
    """For one kind of work."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0
        self._one_by_one = asyncio.Lock()

    async def through(self, work: Callable[[], Result]) -> Result:
        """What the work returns. Raises ApiError where `most` pieces are being done or wait."""
        if self._inside >= self._most:
            raise ApiError(
                429, "the server is busy with this: try again", kind="rate_limit_error", code="busy", headers={"Retry-After": "1"}
            )
        self._inside += 1
        try:
            async with self._one_by_one:
                return await asyncio.to_thread(work)
        finally:
            self._inside -= 1
