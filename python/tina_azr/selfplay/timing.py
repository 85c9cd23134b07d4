"""What a step is busy with, for how long, and who is told."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Progress = Callable[[str, int, int], None]
"""Phase, units done, units in all (0: unknown). Called often; may raise to stop the phase."""


def nobody(phase: str, done: int, total: int) -> None:
    """Progress that nobody follows."""


class Phases:
    """Stopwatch over named phases that also reports their progress."""

    def __init__(self, report: Progress = nobody) -> None:
        self._report = report
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, total: int = 0) -> Iterator[Callable[[int, int], None]]:
        """Time a phase; what it yields takes (done, total) as the phase goes on."""
        self._report(name, 0, total)
        began = time.perf_counter()
        try:
            yield lambda done, of: self._report(name, done, of)
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
