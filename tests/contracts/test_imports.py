"""Cost of imports: the command line and everything up to `tasks` work without torch."""

import json
import subprocess
import sys
from pathlib import Path

from tina_azr.cli.main import SUBCOMMANDS

PACKAGE = Path(__file__).parents[2] / "python" / "tina_azr"
HEAVY = ("torch", "transformers", "matplotlib")
TORCH_FREE = ("errors", "formatting", "config", "text", "sandbox", "tasks")


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


def test_help_of_every_command_loads_nothing_heavy() -> None:
    offenders = []
    for arguments in ([], *([name] for name in SUBCOMMANDS)):
        call = f"from tina_azr.cli.main import cli\ncli([*{arguments!r}, '--help'], prog_name='tina-azr', standalone_mode=False)"
        offenders += [
            f"{' '.join(['tina-azr', *arguments])} --help loads {name}" for name in sorted(loaded_after(call) & {*HEAVY, "numpy"})
        ]
    assert not offenders, "\n".join(offenders)


def test_help_is_instant() -> None:
    # In calls of functions, not in seconds: neither a slow machine nor a busy one must fail this.
    script = (
        "import sys\ncalls = []\nsys.setprofile(lambda frame, event, argument: calls.append(event))\n"
        "from tina_azr.cli.main import cli\ncli(['--help'], standalone_mode=False)\n"
        "sys.setprofile(None)\nsys.stderr.write(str(calls.count('call')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True)
    assert int(done.stderr) < 80_000  # 24,000 it was; numpy alone takes 50,000


def test_arithmetic_of_introspection_imports_without_torch() -> None:
    names = ("introspection.budget", "introspection.calibration", "introspection.fitting", "introspection.scores", "engine.types")
    assert not loaded_after("\n".join(f"import tina_azr.{name}" for name in (*names, "engine.checks"))) & set(HEAVY)
