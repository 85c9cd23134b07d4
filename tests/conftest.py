"""Shared by every test: the checkout's root, and no network."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's root."""
    return ROOT


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    # A hub name in a test must fail at once instead of waiting for a network.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
