"""A small engine: a random policy that never ends its turn by itself, heads that were never trained, and a log of events."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tina_azr.engine.engine import IntrospectiveEngine
    from tina_azr.introspection.introspector import Introspector
    from tina_azr.model.loading import Policy

CLOSING = "so\n</think>\n\n"


@pytest.fixture
def policy(byte_policy: "Policy") -> "Policy":
    """A completion ends by what a test does; the sentence that closes a thought is short."""
    byte_policy.tokenizer.stop_ids = ()
    return replace(byte_policy, closing_ids=tuple(byte_policy.tokenizer.encode(CLOSING)))


@pytest.fixture
def introspector(policy: "Policy") -> "Introspector":
    """Untrained: they forecast some 30 to 50 think tokens, and even odds."""
    from tina_azr.introspection.heads import HeadShape, build_heads
    from tina_azr.introspection.introspector import Introspector

    shape = HeadShape(kind="linked", taps=(0, 1), hidden_size=policy.module.config.hidden_size, width=8)
    return Introspector(build_heads(shape, seed=3))


Make = Callable[..., "IntrospectiveEngine"]


@pytest.fixture
def make_engine(policy: "Policy", introspector: "Introspector") -> Make:
    """An engine with heads (`heads=False`: without); `budget` fields in a dictionary, the others are those of `EngineSettings`."""
    from tina_azr.engine.engine import IntrospectiveEngine
    from tina_azr.engine.settings import EngineSettings
    from tina_azr.introspection.budget import BudgetSettings

    def make(*, heads: bool = True, budget: dict[str, Any] | None = None, **settings: Any) -> "IntrospectiveEngine":
        limits = BudgetSettings(**({"answer_reserve": 16} | (budget or {})))
        return IntrospectiveEngine(
            policy,
            introspector=introspector if heads else None,
            settings=EngineSettings(budget=limits, **({"slots": 8} | settings)),
        )

    return make
