"""Metrics as a run would report them, and a run folder to put them in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tina_azr.config import Config, load_config
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import HeldoutCell, HeldoutMetrics, HeldoutOutcome, StepMetrics

MODES = ("deduction", "abduction", "induction")


@pytest.fixture
def config() -> Config:
    return load_config(overrides=["run.steps=20", "run.keep_checkpoints=2"])


@pytest.fixture
def run(tmp_path: Path, config: Config) -> RunFolder:
    return RunFolder.create(tmp_path / "runs" / "first", config)


@pytest.fixture
def step_metrics() -> Callable[..., StepMetrics]:
    def make(step: int = 1, **fields: object) -> StepMetrics:
        values: dict[str, object] = {
            "step": step,
            "seconds": 6.5 * step,
            "proposals": 42,
            "valid_rate": 0.95,
            "distinct_rate": 0.9,
            "rejects": {"raises": 1, "duplicate": 3},
            "tasks": 37,
            "reward": {"proposer": dict.fromkeys(MODES, 0.25), "solver": dict.fromkeys(MODES, -0.125)},
            "pass_rate": 0.5,
            "pass_rate_by_mode": dict.fromkeys(MODES, 0.5),
            "think_tokens": {"proposer": dict.fromkeys(MODES, 4.0), "solver": dict.fromkeys(MODES, 21.0)},
            "proposed_steps": 2.5,
            "samples": 338,
            "strata_dropped": 0,
            "loss": -0.0125,
            "grad_norm": 0.4,
            "entropy": 0.3,
            "clip_fraction": 0.0,
            "programs": 512,
            "programs_per_second": 1234.5,
            "tokens": 21000,
            "tokens_per_second": 7900.0,
            "seconds_by_phase": {"propose": 0.9, "validate": 0.3, "solve": 2.8, "grade": 0.2, "learn": 2.3},
        }
        return StepMetrics(**{**values, **fields})  # type: ignore[arg-type]

    return make


@pytest.fixture
def heldout_metrics() -> Callable[..., HeldoutMetrics]:
    def cell(n: int, accuracy: float) -> HeldoutCell:
        stderr = (accuracy * (1 - accuracy) / (n - 1)) ** 0.5
        return HeldoutCell(
            n=n,
            accuracy=accuracy,
            stderr=stderr,
            accuracy_greedy=accuracy + 0.05,
            stderr_greedy=stderr,
            think_tokens=20.0,
        )

    def make(step: int = 0, accuracy: float = 0.5, outcomes: tuple[HeldoutOutcome, ...] = ()) -> HeldoutMetrics:
        return HeldoutMetrics(
            step=step,
            seconds=6.5 * step,
            in_distribution=cell(576, accuracy),
            by_mode={mode: cell(192, accuracy) for mode in MODES},
            by_stratum={stratum: cell(192, accuracy * (7 - stratum) / 6) for stratum in range(1, 7)},
            outcomes=outcomes,
        )

    return make
