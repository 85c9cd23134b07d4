"""Labels for a calibration: what has none says so."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tina_azr.engine.introspector import Introspector
from tina_azr.errors import ScoreError
from tina_azr.model.metacog import HeadShape, build_heads
from tina_azr.selfplay.solving import Tries
from tina_azr.tasks.types import Verdict
from tina_azr.train.calibrating import GradedTries, claims_of

Group = Callable[..., Any]
STATES = np.ones((2, 32), dtype=np.float32)
SHAPE = HeadShape(kind="tap", taps=(0, 1), hidden_size=32, width=8)


@pytest.fixture
def introspector() -> Introspector:
    """New heads."""
    return Introspector(build_heads(SHAPE, seed=0))


def test_no_tasks_are_refused(introspector: Introspector) -> None:
    with pytest.raises(ScoreError, match="there are no tasks to calibrate on"):
        claims_of(introspector, GradedTries(tries=[], correct=[]))


def graded(*groups: Any) -> GradedTries:
    """These groups, as they are after sampling and grading."""
    return GradedTries(
        tries=[
            Tries(
                task=group.task,
                prompt_ids=group.prompt_ids,
                completions_G=tuple(one.completion for one in group.attempts),
                answers_G=("",) * len(group.attempts),
                prompt_states_LH=group.prompt_states_LH,
            )
            for group in groups
        ],
        correct=[[one.verdict is Verdict.CORRECT for one in group.attempts] for group in groups],
    )


def test_thoughts_that_never_close_are_refused(introspector: Introspector, solved: Group, attempt: Group) -> None:
    with pytest.raises(ScoreError, match="no thought closed"):
        claims_of(introspector, graded(solved([attempt(False, closed=False)])))


def test_tasks_of_one_program_are_never_parted(introspector: Introspector, solved: Group, attempt: Group) -> None:
    first, second = (solved([attempt(True, states=STATES)], key=key) for key in ("a", "b"))
    same = replace(second, task=replace(second.task, program=first.task.program.replace("x", "n"), mode="abduction"))
    claimed = claims_of(introspector, graded(first, second, same))
    for groups in (claimed.c0.group_N, claimed.cE.group_N, claimed.used_group_N):
        assert groups[0] == groups[2] != groups[1]
