"""Ctrl-C and TERM as a request: once to stop where nothing is lost, twice to stop now.

A signal that struck between the buffer's commit and the optimizer's step would leave the two at different steps. So the first
signal only sets a flag, which is looked at where a step can still be given up without a trace.
"""

import signal
import threading
from types import FrameType, TracebackType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopAsked(Exception):
    """Somebody asked for the run to stop, and here it can. Not a KeyboardInterrupt: that one strikes anywhere."""


class StopRequest:
    """While entered: the first signal is remembered, the second acts as it always did."""

    def __init__(self) -> None:
        self.requested = False
        self._told = False
        self._previous: dict[signal.Signals, object] = {}

    def check(self) -> None:
        """Raise StopAsked if a stop was asked for."""
        if self.requested:
            raise StopAsked

    def is_news(self) -> bool:
        """Whether a stop was asked for and nobody has been told yet; true once."""
        untold = self.requested and not self._told
        self._told = self.requested
        return untold

    def __enter__(self) -> Self:
        # Signals reach the main thread only, and only there may handlers be set: elsewhere Ctrl-C is somebody else's.
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._restore()

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # typeshed's handler type is private
        self._previous.clear()
