"""Fixtures of a small engine: a random policy that never ends its turn by itself, untrained heads, a log of events."""

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
    """Return a policy whose completions only a test ends, with a short closing sentence."""
    byte_policy.tokenizer.stop_ids = ()
    return replace(byte_policy, closing_ids=tuple(byte_policy.tokenizer.encode(CLOSING)))


@pytest.fixture
def introspector(policy: "Policy") -> "Introspector":
    """Return untrained heads, which forecast about 30 to 50 think tokens and a confidence near .5."""
    from tina_azr.introspection.heads import HeadShape, build_heads
    from tina_azr.introspection.introspector import Introspector

    shape = HeadShape(kind="linked", taps=(0, 1), hidden_size=policy.module.config.hidden_size, width=8)
    return Introspector(build_heads(shape, seed=3))


Make = Callable[..., "IntrospectiveEngine"]


@pytest.fixture
def make_engine(policy: "Policy", introspector: "Introspector") -> Make:
    """Return a function that makes an engine. `heads=False` omits the heads, `budget` holds fields of `BudgetSettings`."""
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
