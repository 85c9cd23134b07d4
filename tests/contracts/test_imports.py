"""What importing costs: the command line and everything up to `tasks` work without torch."""

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from tina_azr.cli.main import SUBCOMMANDS

PACKAGE = Path(__file__).parents[2] / "python" / "tina_azr"
HEAVY = ("torch", "transformers", "matplotlib")
TORCH_FREE = ("errors", "config", "text", "sandbox", "tasks")


def loaded_after(code: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after running `code`."""
    script = f"{code}\nimport sys, json\nsys.stderr.write(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    return set(json.loads(done.stderr))


def torch_free_modules() -> list[str]:
    paths = [path for part in TORCH_FREE for path in [*(PACKAGE / part).rglob("*.py"), PACKAGE / f"{part}.py"] if path.exists()]
    names = [".".join(("tina_azr", *path.relative_to(PACKAGE).with_suffix("").parts)) for path in paths]
    return sorted(name.removesuffix(".__init__") for name in names)


def test_tasks_and_all_below_import_without_torch() -> None:
    loaded = loaded_after("\n".join(f"import {name}" for name in torch_free_modules()))
    assert not loaded & set(HEAVY)


@pytest.mark.parametrize("arguments", [[], *([name] for name in SUBCOMMANDS)], ids=" ".join)
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    call = f"from tina_azr.cli.main import cli\ncli([*{arguments!r}, '--help'], prog_name='tina-azr', standalone_mode=False)"
    assert not loaded_after(call) & {*HEAVY, "numpy"}


def test_help_is_instant() -> None:
    # Processor time, not wall time: another process on the machine must not fail this.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "tina_azr", "--help"], capture_output=True, timeout=60, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime) < 0.8


def test_the_engines_arithmetic_imports_without_torch() -> None:
    names = ("budget", "calibration", "checks", "fitting", "scores", "types")
    assert not loaded_after("\n".join(f"import tina_azr.engine.{name}" for name in names)) & set(HEAVY)
