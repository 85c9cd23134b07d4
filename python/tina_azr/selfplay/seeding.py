"""Random generators of a run: every choice derives from (seed, step, phase).

A resumed run draws what an uninterrupted one would have drawn, although no generator state is saved.
"""

from enum import IntEnum

import numpy as np


class RandomStream(IntEnum):
    """Purpose of a generator. The numbers are part of every run's identity: add, never renumber."""

    REFERENCES = 0
    """Which programs the proposer is shown."""
    PROPOSE = 1
    """Proposer completions."""
    KNOWN_TASKS = 2
    """Which known tasks are solved again."""
    SOLVE = 3
    """Solver completions."""
    RANDOM_REWARDS = 4
    """The shuffled rewards of the control."""
    HELDOUT = 5
    """Evaluation completions; drawn at step 0 whatever the step, so that evaluations share their luck."""
    HEADS = 6
    """Minibatches of the heads, and their first weights."""
    PROBE = 7
    """Which tasks are probed, and the probes' completions."""
    BUDGET = 8
    """Which groups are held to the predicted think limit."""
    CHAINED = 9
    """Which programs are chained, and the rollouts of the chained tasks."""


def generator(seed: int, step: int, phase: RandomStream) -> np.random.Generator:
    """Return the generator of one phase of one step."""
    return np.random.default_rng(_sequence(seed, step, phase))


def request_seeds(seed: int, step: int, phase: RandomStream, count: int) -> list[int]:
    """Return one seed for each of `count` rollout requests; the first k do not depend on `count`."""
    # 63 bits: what both torch and a signed integer column can hold.
    return [int(state) >> 1 for state in _sequence(seed, step, phase).generate_state(count, np.uint64)]


def _sequence(seed: int, step: int, phase: RandomStream) -> np.random.SeedSequence:
    return np.random.SeedSequence((seed, step, int(phase)))
