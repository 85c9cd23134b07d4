"""Groups of solver rollouts as a round leaves them, with states that heads can learn from."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tina_azr.rollout.types import Completion, StopCause
from tina_azr.tasks.types import Role, Task, Verdict

if TYPE_CHECKING:
    from tina_azr.selfplay.types import Rollout, RolloutGroup

LAYERS, HIDDEN = 2, 32


def completion(
    think_tokens: int, *, forced: int = 0, closed: bool = True, states: np.ndarray | None = None, tag: int = 0
) -> Completion:
    """A thought of `think_tokens`, the last `forced` of them put there by a wall; `tag` tells equal ones apart."""
    length = think_tokens + 3 * closed
    forced_T = np.zeros(length, dtype=np.bool_)
    forced_T[think_tokens - forced : think_tokens + (forced > 0)] = forced > 0
    return Completion(
        ids_T=np.full(length, tag, dtype=np.int64),
        logprobs_T=np.where(forced_T, 0.0, -0.5).astype(np.float32),
        forced_T=forced_T,
        stop_cause=StopCause.STOP_ID if closed else StopCause.LENGTH,
        think_tokens=think_tokens,
        forced_close=forced > 0,
        close_states_LH=states,
    )


@pytest.fixture
def attempt() -> "Callable[..., Rollout]":
    """A solver rollout, right or wrong; further fields are those of `completion`."""
    from tina_azr.selfplay.types import Rollout

    def make(right: bool, think_tokens: int = 10, **fields: Any) -> "Rollout":
        return Rollout(
            role=Role.SOLVER,
            mode="deduction",
            group="",
            prompt_ids=(1, 2),
            completion=completion(think_tokens, **fields),
            answer="",
            verdict=Verdict.CORRECT if right else Verdict.WRONG,
        )

    return make


@pytest.fixture
def solved() -> "Callable[..., RolloutGroup]":
    """A group of these rollouts of a task of that key and a program of its own; further fields are those of `RolloutGroup`."""
    from tina_azr.selfplay.types import RolloutGroup

    def make(
        rollouts: "Sequence[Rollout]", *, key: str = "f" * 64, states: np.ndarray | None = None, **fields: Any
    ) -> "RolloutGroup":
        if states is None:
            states = np.zeros((LAYERS, HIDDEN), dtype=np.float32)
        task = Task(key=key, mode="deduction", program=f"def f(x):\n    return x + {int(key, 16)}", input="1", output="1")
        own = tuple(replace(rollout, group=key, index=index) for index, rollout in enumerate(rollouts))
        return RolloutGroup(task=task, rollouts=own, prompt_states_LH=states, **fields)

    return make
