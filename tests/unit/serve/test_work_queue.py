"""Tests of the work queue: one job at a time, bounded waiting, cancellation."""

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from tina_azr.serve.types import ApiError
from tina_azr.serve.work_queue import WorkQueue


class Work:
    """Job that lasts until it is released."""

    def __init__(self) -> None:
        self.begun, self.may_end = threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.may_end.wait(60)
        return "done"


def with_one_at_work(scenario: Callable[[WorkQueue, Work, "asyncio.Task[str]"], Awaitable[None]]) -> None:
    """Run a scenario on a queue of capacity two with one running job."""

    async def main() -> None:
        work_queue, work = WorkQueue(2), Work()
        running_job = asyncio.create_task(work_queue.run(work))
        assert await asyncio.to_thread(work.begun.wait, 60)
        try:
            await scenario(work_queue, work, running_job)
        finally:
            work.may_end.set()

    asyncio.run(main())


async def cancel(task: "asyncio.Task[str]") -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_cancelled_running_job_keeps_its_place_until_it_ends() -> None:
    async def scenario(work_queue: WorkQueue, work: Work, running_job: "asyncio.Task[str]") -> None:
        await cancel(running_job)
        other = Work()
        other.may_end.set()
        waiting = asyncio.create_task(work_queue.run(other))
        assert not await asyncio.to_thread(other.begun.wait, 0.05)
        with pytest.raises(ApiError):
            await work_queue.run(other)
        work.may_end.set()
        assert await waiting == "done"

    with_one_at_work(scenario)


def test_cancelled_waiting_job_frees_its_place_and_never_runs() -> None:
    async def scenario(work_queue: WorkQueue, work: Work, running_job: "asyncio.Task[str]") -> None:
        never, third = Work(), Work()
        third.may_end.set()
        waiting = asyncio.create_task(work_queue.run(never))
        await asyncio.sleep(0)
        await cancel(waiting)
        after = asyncio.create_task(work_queue.run(third))
        await asyncio.sleep(0)
        work.may_end.set()
        assert (await running_job, await after) == ("done", "done")
        assert not never.begun.is_set()

    with_one_at_work(scenario)


def test_failed_job_frees_its_place() -> None:
    async def main() -> None:
        work_queue = WorkQueue(1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await work_queue.run(lambda: 1 // 0)

    asyncio.run(main())
