"""Fixtures of the server tests: a shared scripted server. Tests that need another one start it with `running`."""

from collections.abc import Iterator

import httpx
import pytest

from scripted_chat import ScriptedChatEngine
from scripted_server import RunningServer, running


@pytest.fixture(scope="session")
def plain() -> Iterator[RunningServer]:
    """Serve with hidden reasoning, no key and small limits."""
    with running(ScriptedChatEngine(), body_bytes=20_000, messages=8, prompt_chars=9_000, choices=4) as server:
        yield server


@pytest.fixture
def client(plain: RunningServer) -> Iterator[httpx.Client]:
    with plain.client() as http:
        yield http
