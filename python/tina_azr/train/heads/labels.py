"""Labels of the heads: verdicts on a step's rollouts, with the states that were read before the verdicts were known.

A window of the newest steps, as flat arrays, so that a checkpoint can hold it. Axes: `_N` tasks, `_G` rollouts of a task, `_L` tapped
layers, `_H` hidden, `_M` single rollouts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray

from tina_azr.introspection.introspector import close_extras
from tina_azr.rollout.types import StopCause
from tina_azr.selfplay.plan_probes import plan_target
from tina_azr.selfplay.types import Rollout, RolloutGroup
from tina_azr.tasks.identity import program_structure
from tina_azr.tasks.types import Task, Verdict

CLOSES = 4
"""Rollouts of a group, at most, whose state at `</think>` is kept: the first ones."""
NO_LENGTH = -1
"""In `lengths_NG`: the rollout does not show how much reasoning the task needs."""


def program_digest(task: Task) -> str:
    """Return the digest that must not be on both sides of a split: of the canonical program. Programs recur with other inputs."""
    return program_structure(task.program, mask_constants=False)


def is_calibration(task: Task, share: float) -> bool:
    """Return whether the task is kept from the heads: by hash of the program, so the same in every run."""
    return int(program_digest(task)[:8], 16) < share * 2**32


def fold_of(task: Task) -> int:
    """Return which of the two cross-fitted heads may learn from the task, 0 or 1: by hash of the program."""
    return int(program_digest(task)[8:16], 16) & 1


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadLabels:
    """Labels of some tasks."""

    step_N: NDArray[np.int64]
    states_NLH: NDArray[np.float32]
    fold_N: NDArray[np.int64]
    pass_rate_N: NDArray[np.float32]
    lengths_NG: NDArray[np.int64]
    """Reasoning tokens of correct answers; `NO_LENGTH` for wrong ones."""
    censored_NG: NDArray[np.bool_]
    """The reasoning was closed by force or not at all: the task needs at least this length."""
    plan_NP: NDArray[np.float32]
    """Target; all zero where the plan was not probed."""
    close_step_M: NDArray[np.int64]
    close_states_MLH: NDArray[np.float32]
    close_extras_MX: NDArray[np.float32]
    close_correct_M: NDArray[np.float32]

    @classmethod
    def of(cls, step: int, groups: Sequence[RolloutGroup]) -> Self | None:
        """Labels of these groups; None if none of them was read."""
        read = [group for group in groups if group.prompt_states_LH is not None]
        if not read:
            return None
        closes = [rollout for group in read for rollout in _some_closes(group)]
        states = [rollout.completion.close_states_LH for rollout in closes]
        layers, hidden = read[0].prompt_states_LH.shape  # type: ignore[union-attr]
        return cls(
            step_N=np.full(len(read), step),
            states_NLH=np.stack([group.prompt_states_LH for group in read if group.prompt_states_LH is not None]),
            fold_N=np.array([fold_of(group.task) for group in read]),
            pass_rate_N=np.array([group.pass_rate for group in read], dtype=np.float32),
            lengths_NG=np.array([[_length(rollout) for rollout in group.rollouts] for group in read]),
            censored_NG=np.array([[_censored(rollout) for rollout in group.rollouts] for group in read]),
            plan_NP=np.array(
                [plan_target(group.pass_rate, group.probe) if group.probe else (0.0,) * 4 for group in read], dtype=np.float32
            ),
            close_step_M=np.full(len(closes), step),
            close_states_MLH=np.stack([state for state in states if state is not None])
            if closes
            else np.empty((0, layers, hidden), dtype=np.float32),
            close_extras_MX=np.stack([close_extras(rollout.completion) for rollout in closes])
            if closes
            else np.empty((0, 3), dtype=np.float32),
            close_correct_M=np.array([rollout.verdict is Verdict.CORRECT for rollout in closes], dtype=np.float32),
        )

    def __len__(self) -> int:
        return len(self.step_N)

    def joined(self, later: Self, *, since: int) -> Self:
        """These and later ones, those of steps before `since` left out."""
        whole = {f.name: np.concatenate([getattr(self, f.name), getattr(later, f.name)]) for f in fields(self)}
        tasks, closes = whole["step_N"] >= since, whole["close_step_M"] >= since
        return type(self)(**{name: array[closes if name.startswith("close_") else tasks] for name, array in whole.items()})

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """By name, for a checkpoint."""
        return {f.name: getattr(self, f.name) for f in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The counterpart of `arrays`. Raises KeyError for one that is missing."""
        return cls(**{f.name: arrays[f.name] for f in fields(cls)})  # type: ignore[arg-type]


def _some_closes(group: RolloutGroup) -> list[Rollout]:
    # Equal ones count as often as they come: they are mostly right, and heads that saw each once would be less sure than they may be.
    return [rollout for rollout in group.rollouts if rollout.completion.close_states_LH is not None][:CLOSES]


def _length(rollout: Rollout) -> int:
    completion = rollout.completion
    if _censored(rollout):
        return completion.think_tokens - int(completion.forced_T[: completion.think_tokens].sum())
    return completion.think_tokens if rollout.verdict is Verdict.CORRECT else NO_LENGTH


def _censored(rollout: Rollout) -> bool:
    completion = rollout.completion
    return completion.forced_close or (
        completion.stop_cause is StopCause.LENGTH and completion.think_tokens == len(completion.ids_T)
    )
