"""Shared by every test: no network, no habits of the machine, and property tests that cannot fail by being slow."""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# CI repeats itself exactly; a developer's machine goes on looking for new examples. Neither is a stopwatch.
settings.register_profile("any", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("any"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "any")

# A hub name in a test must fail at once instead of waiting for a network. It is read when transformers is imported, before any fixture.
os.environ["HF_HUB_OFFLINE"] = "1"

COLORS = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PYTHON_COLORS", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
PROXIES = tuple(spelled for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY") for spelled in (name, name.lower()))


@pytest.fixture(autouse=True, scope="session")
def _plain_surroundings() -> Iterator[None]:
    # How wide and how colorful a terminal is, and through whom it is reached, is not what tests are about.
    with pytest.MonkeyPatch.context() as patch:
        for name in (*COLORS, *PROXIES, "LINES", "TINA_AZR_API_KEY"):
            patch.delenv(name, raising=False)
        patch.setenv("COLUMNS", "80")
        patch.setenv("TERM", "xterm")
        yield


@pytest.fixture(autouse=True, scope="session")
def _ctrl_c() -> Iterator[None]:
    # A shell that starts something in the background has it ignore Ctrl-C, which is what some tests are about.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
