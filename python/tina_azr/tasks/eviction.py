"""Which tasks a full buffer lets go: a pure rule over what is known of each."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

NEW = 0.5
"""Share of the buffer's size over which a task's newness falls to 1/e."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What eviction sees of a task."""

    id: int
    """Order of arrival."""
    mode: str
    structure: str
    step: int
    pass_rate: float | None


def choose_evicted(candidates: Sequence[Candidate], *, size: int, step: int) -> list[int]:
    """Ids to drop so that `size` tasks stay; the original kept the oldest and froze (it never let a new task in).

    A task is worth 4 p (1 - p) for its pass rate (untried ones count as p = 1/2), up to 1 for being new, and 1/k for being the k-th
    best of its structure. Those of the current step stay, unless there are too many of them.
    """
    surplus = len(candidates) - size
    if surplus <= 0:
        return []
    newest_first = sorted(candidates, key=lambda candidate: -candidate.id)
    worth = {
        candidate.id: _frontier(candidate.pass_rate) + math.exp(-age / (NEW * size)) for age, candidate in enumerate(newest_first)
    }
    better: Counter[tuple[str, str]] = Counter()
    for candidate in sorted(candidates, key=lambda candidate: (-worth[candidate.id], -candidate.id)):
        better[candidate.mode, candidate.structure] += 1
        worth[candidate.id] += 1.0 / better[candidate.mode, candidate.structure]
    leaving = sorted(candidates, key=lambda candidate: (candidate.step == step, worth[candidate.id], candidate.id))
    return [candidate.id for candidate in leaving[:surplus]]


def _frontier(pass_rate: float | None) -> float:
    return 1.0 if pass_rate is None else 4.0 * pass_rate * (1.0 - pass_rate)
