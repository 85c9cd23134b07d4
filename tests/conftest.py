"""Setup of all tests: markers by folder and fixture, no network, a plain terminal, property tests without deadlines."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

# CI repeats itself exactly; a developer's machine goes on looking for new examples. Neither is a stopwatch.
settings.register_profile("any", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("any"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "any")

# A hub name in a test must fail at once instead of waiting for a network. It is read when transformers is imported, before any fixture.
os.environ["HF_HUB_OFFLINE"] = "1"

# Two test processes whose torch threads wait for each other on the same cores are several times slower than one.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

TESTS = Path(__file__).parent
MARKERS_BY_PATH = (
    ("integration/page/", ("browser",)),
    ("integration/", ("slow",)),
    ("native/", ("slow",)),
    ("unit/sandbox/", ("sandbox",)),
    ("unit/model/", ("model",)),
    ("unit/engine/test_qwen3_shape.py", ("model",)),
    ("unit/benchmarks/test_rollout_benchmark.py", ("model", "slow")),
    ("unit/train/test_introspective_training.py", ("slow",)),
)
MARKERS_BY_FIXTURE = {"byte_model": "model", "sandbox": "sandbox", "box": "sandbox", "browser": "browser"}
ONE_PROCESS = ("tests/integration/", "tests/contracts/test_readme.py")
"""Files whose tests share something that takes long to make: a server, a browser, a run, the README's folder."""


@pytest.hookimpl(tryfirst=True)  # `-m` reads the markers in this hook too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Add the markers that follow from a test's folder and fixtures. Measured slow tests carry `slow` themselves."""
    for item in items:
        path = item.path.relative_to(TESTS).as_posix()
        found = [name for start, names in MARKERS_BY_PATH if path.startswith(start) for name in names]
        found += [MARKERS_BY_FIXTURE[name] for name in getattr(item, "fixturenames", ()) if name in MARKERS_BY_FIXTURE]
        for name in dict.fromkeys(found):
            item.add_marker(name)


class OneProcessAFile(LoadScopeScheduling):
    """Scheduler of pytest-xdist that keeps the files of ONE_PROCESS whole and hands out all other tests one by one.

    `--dist loadgroup` would do the same with a marker, but in pytest-xdist 3.8.0 it has no effect under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.startswith(ONE_PROCESS) else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Return the scheduler that `pytest -n` uses."""
    return OneProcessAFile(config, log)


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
