"""Metrics of a run: one step, one held-out evaluation, and the protocol of listeners.

The trainer makes these objects; the display, the metrics file and the report consume them. `to_json()` is the documented line of
`metrics.jsonl`, so a field here is a promise to scripts: add, never rename. To add a metric, give `StepMetrics` a field with a default
(older runs lack it), compute it in `train/step_metrics.py`, and describe it in `docs/run_folder.md`.

Everything but `WALL_CLOCK_FIELDS` is a function of configuration and seed and repeats to the bit on a CPU. "The same metrics" means that.
"""

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias

PHASES = ("propose", "validate", "solve", "grade", "probe", "chained", "learn", "heads", "heldout", "checkpoint")
"""Names that `on_phase` and `seconds_by_phase` use, in the order of a step."""

PHASE_KEYS = {"chained": "stretch"}
"""Phases whose key in `seconds_by_phase` of `metrics.jsonl` is older than their name."""

WALL_CLOCK_FIELDS = frozenset({"seconds", "seconds_by_phase", "programs_per_second", "tokens_per_second"})
"""Fields that depend on the machine and its load; the only ones that differ between two runs of one configuration."""

DIGITS = {"seconds": 3, "programs_per_second": 1, "tokens_per_second": 1}
"""Decimals kept of wall-clock fields."""

ByMode: TypeAlias = Mapping[str, float]
ByRoleAndMode: TypeAlias = Mapping[str, ByMode]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMetrics:
    """One step of self-play and learning. A mode or role without a sample is absent from its mapping, never zero."""

    step: int
    """Counted from 1."""
    seconds: float
    """Of training so far, held-out evaluation included; goes on where it was after a resume."""
    proposals: int
    """Proposer rollouts."""
    valid_rate: float
    """Share of proposals that pass every check; being known already does not count against them."""
    distinct_rate: float
    """Share of those valid ones that are new: not a duplicate of a known task, nor of another in this step."""
    rejects: Mapping[str, int]
    """Proposals turned down, by `RejectReason` value."""
    tasks: int
    """Proposals that became tasks and were solved."""
    reward: ByRoleAndMode
    """Mean, by role (`proposer`, `solver`), then mode."""
    pass_rate: float | None
    """Mean over the step's tasks; None if there were none. Of own tasks: never the curve that shows learning."""
    pass_rate_by_mode: ByMode
    think_tokens: ByRoleAndMode
    """Mean ids before `</think>`, by role, then mode."""
    proposed_steps: float | None
    """Mean length (`Task.length`) of the step's new tasks."""
    samples: int
    """Rollouts that the learner trained on."""
    strata_dropped: int
    """Role x mode strata left out because all their rewards were equal."""
    loss: float
    grad_norm: float
    """Before clipping."""
    entropy: float
    """Mean over completion tokens, nats."""
    clip_fraction: float
    """Share of completion tokens whose ratio left the clip range."""
    programs: int
    """Sandbox runs in this step."""
    programs_per_second: float
    """Sandbox runs over the seconds spent in them (`validate` and `grade`)."""
    tokens: int
    """Completion tokens sampled in this step."""
    tokens_per_second: float
    """Completion tokens over the seconds of `propose` and `solve`."""
    seconds_by_phase: Mapping[str, float]
    """By name in `PHASES`."""
    introspection: Mapping[str, float | None] | None = None
    """How the heads' forecasts of this step fared, by name (`train/heads/metrics`); None for a run without heads."""

    def to_json(self) -> dict[str, object]:
        """Return the line of `metrics.jsonl`."""
        line = {each.name: _json_value(getattr(self, each.name), DIGITS.get(each.name)) for each in fields(self)}
        seconds = {PHASE_KEYS.get(phase, phase): round(spent, 3) for phase, spent in self.seconds_by_phase.items()}
        return {"kind": "step", **line, "rejects": dict(sorted(self.rejects.items())), "seconds_by_phase": seconds}

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Self:
        """Read a `step` line back. Raises KeyError for a missing field that has no default; unknown fields are ignored."""
        values = {each.name: line[each.name] for each in fields(cls) if each.name in line or each.default is MISSING}
        names = {key: phase for phase, key in PHASE_KEYS.items()}
        values["seconds_by_phase"] = {names.get(key, key): spent for key, spent in values["seconds_by_phase"].items()}
        return cls(**values | {name: _nan_if_null(values[name]) for name in ("loss", "grad_norm", "entropy", "clip_fraction")})


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldoutCell:
    """Accuracy on one part of the held-out set."""

    n: int
    """Tasks; 0 in a headline whose strata the set does not have."""
    accuracy: float
    """At temperature 1, mean over tasks."""
    stderr: float
    """Of `accuracy`: standard deviation of the tasks' results over sqrt(n)."""
    accuracy_greedy: float | None
    """None where greedy decoding is switched off."""
    stderr_greedy: float | None
    think_tokens: float
    """Mean at temperature 1."""

    def to_json(self) -> dict[str, object]:
        return {
            "n": self.n,
            "accuracy": _number(self.accuracy),
            "stderr": _number(self.stderr),
            "accuracy_greedy": _number(self.accuracy_greedy),
            "stderr_greedy": _number(self.stderr_greedy),
            "think_tokens": _number(self.think_tokens),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Read one cell back. Raises KeyError for a field that is not there."""
        return cls(**{each.name: values[each.name] for each in fields(cls)})


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldoutOutcome:
    """One held-out task's result: what a paired comparison of two evaluations needs."""

    key: str
    mode: str
    stratum: int
    """Length of the task's program."""
    correct: float
    """Share of its samples at temperature 1: 0 or 1 where there is one."""
    correct_greedy: float | None
    think_tokens: float

    def to_json(self) -> dict[str, object]:
        return {
            "key": self.key,
            "mode": self.mode,
            "stratum": self.stratum,
            "correct": self.correct,
            "correct_greedy": self.correct_greedy,
            "think_tokens": self.think_tokens,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldoutMetrics:
    """One evaluation on the frozen held-out set; step 0 is the model before any training."""

    step: int
    seconds: float
    """Of training so far, as in `StepMetrics`."""
    in_distribution: HeldoutCell
    """The headline: program lengths 1 to 3, all modes."""
    by_mode: Mapping[str, HeldoutCell]
    """Program lengths 1 to 3, by mode."""
    by_stratum: Mapping[int, HeldoutCell]
    """All modes, by program length."""
    outcomes: tuple[HeldoutOutcome, ...] = field(default=(), repr=False)
    """Task by task, kept in `heldout/step-N.jsonl`, not in the metrics line."""

    def to_json(self) -> dict[str, object]:
        """Return the line of `metrics.jsonl`: the headline at top level, then its parts."""
        return {
            "kind": "heldout",
            "step": self.step,
            "seconds": round(self.seconds, 3),
            **self.in_distribution.to_json(),
            "by_mode": {mode: cell.to_json() for mode, cell in self.by_mode.items()},
            "by_stratum": {str(stratum): cell.to_json() for stratum, cell in sorted(self.by_stratum.items())},
        }

    @classmethod
    def from_json(cls, line: Mapping[str, Any]) -> Self:
        """Read a `heldout` line back, without the outcomes. Raises KeyError for a field that is not there."""
        return cls(
            step=line["step"],
            seconds=line["seconds"],
            in_distribution=HeldoutCell.from_json(line),
            by_mode={mode: HeldoutCell.from_json(cell) for mode, cell in line["by_mode"].items()},
            by_stratum={int(stratum): HeldoutCell.from_json(cell) for stratum, cell in line["by_stratum"].items()},
        )


class Listener(Protocol):
    """Receiver of a run's events. Called from the trainer's thread; must be quick and must not raise."""

    def on_phase(self, step: int, phase: str, done: int, total: int) -> None:
        """`phase` (of `PHASES`) of `step` has finished `done` of `total` units; (0, total) opens it, total 0 means unknown."""
        ...

    def on_step(self, metrics: StepMetrics) -> None:
        """A step is complete: played, learned from, and its tasks committed to the buffer."""
        ...

    def on_heldout(self, metrics: HeldoutMetrics) -> None: ...

    def on_checkpoint(self, step: int, path: Path) -> None:
        """The checkpoint of `step` is complete on disk. Held-out evaluation of the same step comes before it."""
        ...

    def on_note(self, text: str) -> None:
        """A message for people: a resume, a cut file, a limit that was reached."""
        ...


def deterministic(line: Mapping[str, object]) -> dict[str, object]:
    """Return a line of `metrics.jsonl` without wall-clock fields: equal for equal configuration and seed, resumed or not."""
    return {name: value for name, value in line.items() if name not in WALL_CLOCK_FIELDS}


def _number(value: float | None) -> float | None:
    # JSON has no NaN; null says "no number" to every reader.
    return value if value is not None and math.isfinite(value) else None


def _nan_if_null(value: float | None) -> float:
    return math.nan if value is None else value


def _json_value(value: object, digits: int | None = None) -> object:
    if isinstance(value, Mapping):
        return {name: _json_value(one) for name, one in value.items()}
    if isinstance(value, float):
        return _number(value) if digits is None else round(value, digits)
    return value
