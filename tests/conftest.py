"""Shared by every test: no network, and property tests that cannot fail by being slow."""

import os
import signal
from collections.abc import Iterator

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


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c() -> Iterator[None]:
    # A shell that starts something in the background has it ignore Ctrl-C, which is what some tests are about.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
