"""Where a run stands, gathered from its events: what both displays draw, and how long it still takes."""

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tina_azr.runs.metrics import HeldoutMetrics, StepMetrics

_RECENT_STEPS = 8
_STEPS_OF_A_GUESS = 4
"""Steps before anything is said of the time that is left: a pace taken from the first one or two is far off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """When a run ends: whichever comes first."""

    steps: int
    seconds: float | None
    """None: no limit of time."""


@dataclass(slots=True)
class Progress:
    """A listener that only remembers. Read by a display's thread while the trainer's thread writes: fields are replaced whole."""

    goal: Goal
    clock: Callable[[], float] = time.monotonic
    step: int = 0
    phase: str = ""
    phase_step: int = 0
    """Step that the phase belongs to."""
    done: int = 0
    total: int = 0
    metrics: StepMetrics | None = None
    heldouts: tuple[HeldoutMetrics, ...] = ()
    note: str = ""
    checkpoint: int | None = None
    _ends: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT_STEPS))
    _seen_at: float | None = None

    def on_phase(self, step: int, phase: str, done: int, total: int) -> None:
        self.phase_step, self.phase, self.done, self.total = step, phase, done, total

    def on_step(self, metrics: StepMetrics) -> None:
        self.step, self.metrics = metrics.step, metrics
        self._ends.append(metrics.seconds)
        self._seen_at = self.clock()

    def on_heldout(self, metrics: HeldoutMetrics) -> None:
        self.heldouts = (*self.heldouts, metrics)
        if self._seen_at is None:
            self._ends.append(metrics.seconds)
            self._seen_at = self.clock()

    def on_checkpoint(self, step: int, path: Path) -> None:
        self.checkpoint = step

    def on_note(self, text: str) -> None:
        self.note = text

    @property
    def seconds(self) -> float:
        """Of training up to now, between the events as well."""
        if self._seen_at is None:
            return 0.0
        return self._ends[-1] + self.clock() - self._seen_at

    @property
    def seconds_a_step(self) -> float | None:
        """Over the last few steps, evaluation and checkpoints included; None while they are too few to go by."""
        if len(self._ends) <= _STEPS_OF_A_GUESS:
            return None
        return (self._ends[-1] - self._ends[0]) / (len(self._ends) - 1)

    @property
    def seconds_left(self) -> float | None:
        """Until the goal's steps or minutes, whichever is nearer; None before the first few steps."""
        pace = self.seconds_a_step
        if pace is None:
            return None
        since = self.seconds - self._ends[-1]
        by_steps = max(0.0, (self.goal.steps - self.step) * pace - since)
        return by_steps if self.goal.seconds is None else min(by_steps, max(0.0, self.goal.seconds - self.seconds))
