"""Other ways to run Python, to compare the sandbox with. None of them isolates as it does: they run a corpus unprotected."""

import importlib
import importlib.util
import io
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager, redirect_stdout
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from tina_azr.benchmarks.sandbox import Contestant, Ran, Row, Runner
from tina_azr.sandbox.sandbox import Sandbox

EXEC = "in-process exec"
MONTY = "pydantic-monty"
SUBPROCESS_LIMIT = 200
"""Programs that the subprocess peer runs in a round at most: each takes the start of an interpreter."""
TIMEOUT_S = 10.0

_Run = Callable[[str, str], str | None]


@contextmanager
def peers(sandbox: Sandbox) -> Iterator[list[Contestant]]:
    """In-process `exec`, a fresh `python -I` for each program, and pydantic-monty where it is installed."""
    found = [
        Contestant(EXEC, _one_by_one(_exec, sandbox)),
        Contestant("subprocess", _one_by_one(_subprocess, sandbox), SUBPROCESS_LIMIT),
    ]
    if importlib.util.find_spec("pydantic_monty") is None:
        yield found
        return
    pydantic_monty = importlib.import_module("pydantic_monty")
    with pydantic_monty.Monty(max_processes=1, request_timeout=TIMEOUT_S) as pool:

        def monty(program: str, call: str) -> str | None:
            try:
                with pool.checkout() as session:
                    return repr(session.feed_run(f"{program}\n{call}", print_callback=lambda *_: None))
            except pydantic_monty.MontyError:
                return None

        yield [*found, Contestant(MONTY, _one_by_one(monty, sandbox))]


def _one_by_one(run: _Run, sandbox: Sandbox) -> Runner:
    """One program after the other. `sandbox` reads what they return as literals."""

    def run_all(rows: Sequence[Row]) -> Ran:
        texts: list[str | None] = []
        wall_us: list[float] = []
        # What programs write by a relative name shall not lie about in the caller's folder. This is tidiness, and no protection.
        with TemporaryDirectory() as folder, chdir(folder), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Those of the programs, which are the programs' own.
            for row in rows:
                start = perf_counter()
                texts.append(run(row.program, row.call))
                wall_us.append((perf_counter() - start) * 1e6)
        return Ran(sandbox.literals(["" if text is None else text for text in texts]), wall_us, sum(wall_us) / 1e6)

    return run_all


def _exec(program: str, call: str) -> str | None:
    space: dict[str, Any] = {}
    try:
        with redirect_stdout(io.StringIO()):
            exec(program, space)  # noqa: S102
            return repr(eval(call, space))  # noqa: S307
    except (Exception, SystemExit):  # noqa: BLE001 - a program may raise anything
        return None


def _subprocess(program: str, call: str) -> str | None:
    try:
        ended = subprocess.run(
            [sys.executable, "-I", "-X", "utf8", "-c", f"{program}\nprint(repr({call}))"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except (subprocess.TimeoutExpired, ValueError, OSError):
        # The last two: a zero byte or half a surrogate pair in the program, or a program too long for a command line.
        return None
    lines = ended.stdout.decode("utf-8", "replace").splitlines()
    return lines[-1] if ended.returncode == 0 and lines else None
