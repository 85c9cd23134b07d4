"""Held-out accuracy: pooling and errors by hand, paired differences, and an evaluation with a scripted policy."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tina_azr.config import Config, load_config
from tina_azr.model.loading import Policy
from tina_azr.selfplay.heldout import HeldoutReport, evaluate_heldout, report
from tina_azr.tasks.types import HeldoutTask, Task


def heldout(mode: str, stratum: int, number: int) -> HeldoutTask:
    program = f"def f(x):\n    return x + {number}"
    task = Task(key=f"{mode[0]}{stratum}-{number}", mode=mode, program=program, input="1", output=str(1 + number))
    return HeldoutTask(task=task, stratum=stratum)


TASKS = tuple(heldout(mode, stratum, n) for mode in ("deduction", "abduction") for stratum in (1, 3, 5) for n in range(4))


def result(correct: list[bool], greedy: list[bool] | None = None) -> HeldoutReport:
    shares = np.array(correct, dtype=np.float64)
    return report(TASKS, shares, None if greedy is None else np.array(greedy), np.arange(len(TASKS), dtype=np.float64))


def test_strata_one_to_three_are_the_headline_and_the_others_stand_apart() -> None:
    correct = [task.stratum < 5 for task in TASKS]
    evaluated = result(correct, [not one for one in correct])
    assert (evaluated.in_distribution.n, evaluated.in_distribution.accuracy, evaluated.in_distribution.accuracy_greedy) == (
        16,
        1.0,
        0.0,
    )
    assert (evaluated.longer.n, evaluated.longer.accuracy, evaluated.longer.accuracy_greedy) == (8, 0.0, 1.0)


def test_cells_pool_what_their_names_say() -> None:
    evaluated = result([task.task.mode == "deduction" for task in TASKS])
    by_mode = {mode: (cell.n, cell.accuracy) for mode, cell in evaluated.by_mode.items()}
    by_stratum = {stratum: (cell.n, cell.accuracy) for stratum, cell in evaluated.by_stratum.items()}
    assert by_mode == {"deduction": (8, 1.0), "abduction": (8, 0.0)}
    assert by_stratum == dict.fromkeys((1, 3, 5), (8, 0.5))
    assert evaluated.in_distribution.accuracy_greedy is None
    assert evaluated.by_stratum[1].think_tokens == np.mean([0, 1, 2, 3, 12, 13, 14, 15])


def test_the_standard_error_is_the_samples_own() -> None:
    evaluated = result([number % 4 == 0 for number in range(24)])
    share = 0.25
    assert evaluated.in_distribution.stderr == pytest.approx(np.sqrt(share * (1 - share) / 15))


@pytest.fixture
def config() -> Config:
    return load_config(overrides=["selfplay.temperature=0.7"])


def answering(prompt: str, index: int) -> str | None:
    """Right for even numbers, cut short for 3, wrong for 1."""
    number = int(prompt.split("x + ")[1][0])
    if number == 3:
        return None
    value = 1 + number if number % 2 == 0 else -1
    return f"mm\n</think>\n\n```output\n{value}\n```\n" if "Predict" in prompt else f"\n</think>\n\n```input\n{value}\n```\n"


def test_an_evaluation_samples_at_temperature_one_and_greedily(
    byte_policy: Policy, in_process: Any, scripted: Callable[..., Any], config: Config
) -> None:
    engine = scripted(answering)
    tasks = [task for task in TASKS if task.task.mode == "deduction"]
    seen: list[tuple[int, int]] = []
    evaluated = evaluate_heldout(
        byte_policy, engine, in_process, tasks, config=config, seed=3, on_progress=lambda done, total: seen.append((done, total))
    )
    assert evaluated.in_distribution.accuracy == evaluated.in_distribution.accuracy_greedy == 0.5
    assert [request.params.temperature for request in engine.requests] == [1.0] * 12 + [0.0] * 12
    assert evaluated.shares_N.tolist() == [1.0, 0.0, 1.0, 0.0] * 3
    assert evaluated.think_tokens_N.tolist()[:2] == [3.0, 3.0]
    assert seen == [(0, 24), (12, 24)]


def test_two_evaluations_of_a_run_draw_with_the_same_seeds(
    byte_policy: Policy, in_process: Any, scripted: Callable[..., Any], config: Config
) -> None:
    engine = scripted(answering)
    for seed in (3, 3, 4):
        evaluate_heldout(byte_policy, engine, in_process, TASKS[:4], config=config, seed=seed)
    seeds = [request.seed for request in engine.requests]
    assert seeds[:4] == seeds[8:12]
    assert seeds[:4] != seeds[16:20]
