"""Labels for a calibration: what has none says so."""

from collections.abc import Callable
from typing import Any

import pytest

from tina_azr.engine.introspector import Introspector
from tina_azr.errors import ScoreError
from tina_azr.model.metacog import HeadShape, build_heads
from tina_azr.selfplay.solving import Tries
from tina_azr.train.calibrating import GradedTries, claims_of

SHAPE = HeadShape(kind="tap", taps=(0, 1), hidden_size=32, width=8)


@pytest.fixture
def introspector() -> Introspector:
    """New heads."""
    return Introspector(build_heads(SHAPE, seed=0))


def test_no_tasks_are_refused(introspector: Introspector) -> None:
    with pytest.raises(ScoreError, match="there are no tasks to calibrate on"):
        claims_of(introspector, GradedTries(tries=[], correct=[]))


def test_thoughts_that_never_close_are_refused(
    introspector: Introspector, solved: Callable[..., Any], attempt: Callable[..., Any]
) -> None:
    group = solved([attempt(False, closed=False)])
    tries = Tries(
        task=group.task,
        prompt_ids=group.prompt_ids,
        completions_G=tuple(one.completion for one in group.attempts),
        answers_G=(None,),
        prompt_states_LH=group.prompt_states_LH,
    )
    with pytest.raises(ScoreError, match="no thought closed"):
        claims_of(introspector, GradedTries(tries=[tries], correct=[[False]]))
