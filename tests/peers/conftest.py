"""Server and version report for tests against other products. Runs in the product's environment, where tina-azr is not installed."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

PEERS = Path(__file__).parent


def required(requirements: Path) -> list[str]:
    """Return the names of the packages that a requirements file lists."""
    lines = requirements.read_text(encoding="utf-8").splitlines()
    return [found[0] for line in lines if (found := re.match(r"[A-Za-z0-9._-]+", line))]


def pytest_report_header(config: pytest.Config) -> str:
    """Return the versions that the run shows, for docs/peers.md."""
    folders = {Path(argument.partition("::")[0]).resolve() for argument in config.args}
    files = sorted(file for folder in folders for file in folder.glob("requirements.txt"))
    ours = subprocess.run([os.environ["TINA_AZR"], "--version"], capture_output=True, text=True, check=True).stdout.strip()
    theirs = [f"{name} {version(name)}" for file in files for name in required(file)]
    return f"peers: {', '.join([ours, *theirs, f'Python {sys.version.split()[0]}'])}"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """URL of `tina-azr serve` with the embedded model, on a free port."""
    command = [os.environ["TINA_AZR"], "serve", "--port", "0", "--set", "run.threads=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        found = next((found[1] for line in process.stdout if (found := re.search(r"Serving at (\S+) ", line))), None)
        try:
            assert found is not None, "the server ended before it was ready: its message is on standard error"
            yield found
        finally:
            process.terminate()
            process.communicate(timeout=60)
