"""Heads of every form, and states for them to read."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tina_azr.introspection.heads_file import AnyHeads


@pytest.fixture
def make_heads() -> "Callable[..., AnyHeads]":
    """Heads over three tapped layers of 12 features; further fields are those of `HeadShape`."""
    from tina_azr.introspection.heads import HeadShape, build_heads

    def make(kind: str = "tap", *, seed: int = 1, **fields: Any) -> "AnyHeads":
        values: dict[str, Any] = {"taps": (0, 2, 5), "hidden_size": 12, "width": 16}
        return build_heads(HeadShape(kind=kind, **(values | fields)), seed=seed)  # type: ignore[arg-type]

    return make
