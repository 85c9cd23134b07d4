"""Ctrl-C during a call that does not come back to the interpreter before it is done, such as a program in the sandbox."""

from collections.abc import Callable
from concurrent.futures import Future, wait
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")

_LOOK_SECONDS = 0.2
"""How long the main thread sleeps at most: on Windows a sleeping one does not see Ctrl-C."""


def interruptible(work: Callable[[], Result]) -> Result:
    """What `work` returns or raises. Ctrl-C raises KeyboardInterrupt at once; the work then goes on, but holds up no exit."""
    future: Future[Result] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    while not future.done():
        wait([future], timeout=_LOOK_SECONDS)
    return future.result()
