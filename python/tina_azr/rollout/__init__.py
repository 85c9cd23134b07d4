"""Decoding: the `RolloutEngine` protocol and its backends."""

from collections.abc import Callable, Sequence

from tina_azr.config import choose
from tina_azr.model.loading import Policy
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.hf import HFEngine
from tina_azr.rollout.types import RolloutEngine

BACKENDS: dict[str, Callable[[Policy, int, Sequence[int]], RolloutEngine]] = {
    "native": lambda policy, slots, taps: DecodeEngine(policy, slots=slots, taps=taps),
    "hf": lambda policy, slots, taps: HFEngine(policy, slots=slots, taps=taps),
}
"""Every backend by its configured name."""


def build_engine(policy: Policy, backend: str, *, slots: int, taps: Sequence[int] = ()) -> RolloutEngine:
    """The engine of that name. Raises ConfigError for an unknown one, and for taps where it has none."""
    return choose(BACKENDS, backend, "selfplay.backend")(policy, slots, taps)
