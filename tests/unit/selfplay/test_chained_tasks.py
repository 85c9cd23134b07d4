"""Tasks beyond reach are two known programs, one after the other: tried for the heads, neither trained on nor remembered."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tina_azr.config import Config, load_config
from tina_azr.introspection.heads import HeadShape, build_heads
from tina_azr.introspection.introspector import Introspector
from tina_azr.model.loading import Policy
from tina_azr.selfplay.chained_tasks import chained_proposals, chained_tasks, compose
from tina_azr.selfplay.episode import SelfPlay
from tina_azr.selfplay.introspection import SelfPlayIntrospection
from tina_azr.selfplay.types import Episode
from tina_azr.tasks.buffer import TaskBuffer, TaskResult
from tina_azr.tasks.types import Task
from tina_azr.tasks.validation import Validator

PROGRAMS = (
    "def f(x):\n    return x + 1",
    "def f(x):\n    y = x * 3\n    return y - 2",
    "def f(y):\n    y = y * y\n    return y",
    "def f(n):\n    total = 0\n    for i in range(n):\n        total += i\n    return total",
)


def run(program: str, value: int) -> int:
    space: dict[str, Any] = {}
    exec(program, space)
    return int(space["f"](value))


@pytest.mark.parametrize("first", PROGRAMS)
@pytest.mark.parametrize("second", PROGRAMS)
def test_a_chain_gives_what_one_gives_to_the_other(first: str, second: str) -> None:
    chained = compose(first, second)
    assert chained is not None
    for value in (0, 1, 5, 12):
        assert run(chained, value) == run(second, run(first, value))


@pytest.mark.parametrize(
    "program",
    [
        "def f(x):\n    if x:\n        return 1\n    return 2",
        "def f(x, y):\n    return x + y",
        "def f(x=1):\n    return x",
        "def f(*x):\n    return x",
        "def f(x):\n    x = 1",
        "def f(x):\n    return",
        "def f(x):\n    return [(lambda a: a)(x)]",
        "def g(x):\n    return x",
        "k = 2\ndef f(x):\n    return k",
        "def f(x:",
    ],
)
def test_what_cannot_be_chained_as_it_is_written_is_none(program: str) -> None:
    assert compose("def f(x):\n    return x", program) is None


def config(*overrides: str) -> Config:
    small = (
        "tasks.modes=[deduction]",
        "selfplay.proposals_per_mode=2",
        "selfplay.group_size=4",
        "tasks.max_prompt_tokens=600",
        "introspection.probe_share=1",
    )
    return load_config(overrides=[*small, *overrides])


@pytest.fixture
def buffer(tmp_path: Path) -> Iterator[TaskBuffer]:
    """Eight known tasks of one step each."""
    with TaskBuffer.create(tmp_path / "tasks.sqlite", config().tasks, ()) as opened:
        tasks = [
            Task(key=f"{n:064x}", mode="deduction", program=f"def f(x):\n    return x * {n} + {n}", input="3", output=str(4 * n))
            for n in range(2, 10)
        ]
        opened.record_step(1, [TaskResult(task=task, correct=1, attempts=2) for task in tasks])
        yield opened


def test_tasks_are_chained_in_pairs_with_the_inputs_of_the_first(buffer: TaskBuffer) -> None:
    known = buffer.sample_tasks(np.random.default_rng(0), "deduction", 7)
    proposals = chained_proposals(known)
    assert len(proposals) == 3
    for first, proposal in zip(known[::2], proposals, strict=False):
        assert proposal.inputs == (first.input,)
        assert proposal.program.count("x *") == 2
    assert chained_proposals(known[:1]) == []


def test_what_the_sandbox_accepts_of_chained_tasks_is_kept_once(in_process: Any, buffer: TaskBuffer) -> None:
    known = buffer.sample_tasks(np.random.default_rng(0), "deduction", 8)
    found = chained_tasks(known, Validator(in_process, config().tasks), np.random.default_rng(1), rounds=3)
    assert 4 < len(found) <= 12
    assert len({task.key for task in found}) == len(found)
    assert all(task.length == 2 and task.output == str(run(task.program, 3)) for task in found)


def talk(prompt: str, index: int, seed: int) -> str | None:
    if "Predict" not in prompt:
        return None
    return f"\n</think>\n\n```output\n{index}\n```\n"


Play = Callable[..., Episode]


@pytest.fixture
def play(byte_policy: Policy, in_process: Any, tapped_engine: Any, buffer: TaskBuffer) -> Play:
    def once(*overrides: str, step: int = 2, heads: bool = True) -> Episode:
        settings, engine = config(*overrides), tapped_engine(byte_policy, talk, (0, 1))
        reader = Introspector(build_heads(HeadShape(kind="tap", taps=(0, 1), hidden_size=32, width=8), seed=1))
        introspection = SelfPlayIntrospection(byte_policy, engine, in_process, reader, settings) if heads else None
        return SelfPlay(byte_policy, engine, in_process, buffer, settings, introspection=introspection).play(step)

    return once


def test_they_are_forecast_and_labelled_and_neither_trained_on_nor_remembered(play: Play, buffer: TaskBuffer) -> None:
    before = len(buffer)
    episode = play("introspection.chained_share=1")
    assert len(episode.chained) == 2
    for group in episode.chained:
        assert group.forecast is not None
        assert group.probe is None
        assert len(group.rollouts) == 4
        assert not buffer.is_known(group.task.key)
    trained = {sample.group for sample in episode.rollouts}
    assert not trained & {group.task.key for group in episode.chained}
    assert len(buffer) == before


def test_there_are_none_where_they_are_not_asked_for_or_nobody_reads_them(play: Play) -> None:
    assert play("introspection.chained_share=0", step=2).chained == ()
    assert play("introspection.chained_share=1", step=3, heads=False).chained == ()
