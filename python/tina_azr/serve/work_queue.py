"""Bounded work queue with one worker thread, so that side work cannot take all cores from the engine."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from tina_azr.serve.types import ApiError

Result = TypeVar("Result")


class WorkQueue:
    """Queue for one kind of work. Only the event loop may use it."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tina-azr-worker")
        self._jobs: list[Future[Any]] = []

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run `work` on the worker thread and return its result. Raises ApiError if `capacity` jobs are running or waiting.

        A job that is cancelled while it waits frees its place. A job that has begun cannot be stopped and keeps its place until it ends.
        """
        self._jobs = [job for job in self._jobs if not job.done()]
        if len(self._jobs) >= self._capacity:
            raise ApiError(
                429,
                "too many requests of this kind are waiting; try again in 1 s",
                kind="rate_limit_error",
                code="busy",
                headers={"Retry-After": "1"},
            )
        job = self._thread.submit(work)
        self._jobs.append(job)
        return await asyncio.wrap_future(job)
