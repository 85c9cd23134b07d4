"""Decoding: the `RolloutEngine` protocol and its backends."""

from collections.abc import Callable

from tina_azr.config import choose
from tina_azr.model.loading import Policy
from tina_azr.rollout.engine import DecodeEngine
from tina_azr.rollout.hf import HFEngine
from tina_azr.rollout.types import RolloutEngine

BACKENDS: dict[str, Callable[[Policy, int], RolloutEngine]] = {
    "native": lambda policy, slots: DecodeEngine(policy, slots=slots),
    "hf": lambda policy, slots: HFEngine(policy, slots=slots),
}
"""Every backend by its configured name."""


def build_engine(policy: Policy, backend: str, *, slots: int) -> RolloutEngine:
    """The engine of that name. Raises ConfigError for an unknown one."""
    return choose(BACKENDS, backend, "selfplay.backend")(policy, slots)
