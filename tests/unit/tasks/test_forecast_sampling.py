"""Known tasks are tried again by what was last forecast of them: low confidence is sought by sampling, which no gradient can game."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tina_azr.config import TasksConfig
from tina_azr.tasks.buffer import TaskBuffer, TaskResult
from tina_azr.tasks.sampling import forecast_weights
from tina_azr.tasks.types import Task


def task(number: int) -> Task:
    return Task(
        key=f"{number:064x}", mode="deduction", program=f"def f(x):\n    return x + {number}", input="1", output=str(1 + number)
    )


def tried(number: int, c0: float | None, *, correct: int = 4) -> TaskResult:
    return TaskResult(task=task(number), correct=correct, attempts=8, confidence_before=c0)


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[TaskBuffer]:
    with TaskBuffer.create(tmp_path / "tasks.sqlite", TasksConfig(), ()) as opened:
        yield opened


def drawn(buffer: TaskBuffer, times: int = 2_000, *, by_confidence: bool = True) -> dict[str, float]:
    draw = np.random.default_rng(0)
    counts = Counter(buffer.sample_tasks(draw, "deduction", 1, by_confidence=by_confidence)[0].key for _ in range(times))
    return {key: count / times for key, count in counts.items()}


def test_weights_are_a_tenth_and_four_c0_one_minus_c0() -> None:
    c0 = np.array([0.0, 0.1, 0.5, 1.0])
    expected = np.array([0.1, 0.46, 1.1, 0.1])
    np.testing.assert_allclose(forecast_weights(c0), expected / expected.sum())


def test_what_was_never_forecast_counts_as_even_odds() -> None:
    unknown, even, _ = forecast_weights(np.array([np.nan, 0.5, 0.9]))
    assert unknown == even


def test_tasks_are_drawn_with_the_weights_of_their_last_forecast(buffer: TaskBuffer) -> None:
    forecasts = {1: 0.5, 2: 0.9, 3: 0.02, 4: None}
    buffer.record_step(1, [tried(number, 0.5) for number in forecasts])
    buffer.record_step(2, [tried(number, c0) for number, c0 in forecasts.items()])
    weights = forecast_weights(np.array([0.5, 0.9, 0.02, np.nan]))
    shares = drawn(buffer)
    assert [shares[task(number).key] for number in forecasts] == pytest.approx(weights.tolist(), abs=0.04)


def test_pass_rates_decide_where_forecasts_are_not_asked_for(buffer: TaskBuffer) -> None:
    buffer.record_step(1, [tried(1, 0.99, correct=4), tried(2, 0.5, correct=8)])
    assert drawn(buffer, 200, by_confidence=False)[task(1).key] > 0.9
    assert drawn(buffer, 200)[task(2).key] > 0.7


def test_different_tasks_are_drawn_and_no_more_than_there_are(buffer: TaskBuffer) -> None:
    buffer.record_step(1, [tried(number, 0.1 * number) for number in range(1, 6)])
    keys = [one.key for one in buffer.sample_tasks(np.random.default_rng(1), "deduction", 9, by_confidence=True)]
    assert len(keys) == len(set(keys)) == 5


def test_recorded_forecasts_do_not_change_what_is_drawn_by_pass_rate(tmp_path: Path) -> None:
    draws = []
    for name, c0 in (("with", 0.3), ("without", None)):
        with TaskBuffer.create(tmp_path / f"{name}.sqlite", TasksConfig(), ()) as each:
            each.record_step(1, [tried(number, c0, correct=number) for number in range(1, 8)])
            draws.append([one.key for one in each.sample_tasks(np.random.default_rng(2), "deduction", 4)])
    assert draws[0] == draws[1]
