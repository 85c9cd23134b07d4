"""Shared by every test: no network, and property tests that cannot fail by being slow."""

import os

import pytest
from hypothesis import settings

# CI repeats itself exactly; a developer's machine goes on looking for new examples.
settings.register_profile("ci", deadline=None, derandomize=True)
settings.register_profile("developer", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "developer")


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> None:
    # A hub name in a test must fail at once instead of waiting for a network.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
