"""Programs a second through the sandbox, beside two ways to run Python that isolate nothing.

A corpus is JSON Lines in the form that Absolute Zero Reasoner published its tasks in: `snippet`, `imports`, and `input` with `output` or
`inputs` with `outputs`. Outputs are compared as canonical literals.
"""

import io
import json
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import numpy as np

from tina_azr.errors import ConfigError
from tina_azr.sandbox.sandbox import Sandbox

SUBPROCESS_LIMIT = 200
"""Programs that the subprocess peer runs at most: each takes the start of an interpreter."""
SUBPROCESS_TIMEOUT_S = 10.0
BATCH = 256


@dataclass(frozen=True, slots=True)
class Row:
    """One program, one call, and what the corpus says comes out; None if it says nothing that is a literal."""

    program: str
    call: str
    expected: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one way of running programs."""

    programs: int
    programs_per_second: float
    """Throughput, on all workers where there are several."""
    p50_us: float
    """Median time of one program, in microseconds, without waiting for a worker."""
    p99_us: float
    agreement: float
    """Share of all programs whose result is the recorded output, as canonical literals. A record that is no literal agrees with nothing."""

    def to_json(self) -> dict[str, float | int]:
        return asdict(self)


def evenly(rows: Sequence[Row], most: int) -> list[Row]:
    """At most `most` of the rows, drawn evenly from all of them, so that a short look sees every file."""
    count = min(most, len(rows))
    return [rows[index * len(rows) // count] for index in range(count)]


def read_corpus(paths: Sequence[Path], sandbox: Sandbox) -> list[Row]:
    """Rows of all files, and of all `*.jsonl` in folders. Raises ConfigError naming the file and line that cannot be read."""
    raw: list[tuple[str, str, str]] = []
    for path in paths:
        for file in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
            raw += _rows(file)
    if not raw:
        raise ConfigError(f"no tasks in {', '.join(map(str, paths))}: give a JSONL file of tasks, or a folder of such files")
    expected = sandbox.literals([output for _, _, output in raw])
    return [Row(program, call, literal) for (program, call, _), literal in zip(raw, expected, strict=True)]


def _rows(file: Path) -> Iterator[tuple[str, str, str]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                task = json.loads(line)
                program = "\n".join([*(task.get("imports") or []), task["snippet"]])
                inputs, outputs = (task["inputs"], task["outputs"]) if "inputs" in task else ([task["input"]], [task["output"]])
                calls = list(zip(inputs, outputs, strict=True))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise ConfigError(
                    f"{file}, line {number}: not a task ({error!r}); a line is an object with snippet, input and output, "
                    "or inputs and outputs of one length"
                ) from error
            yield from ((program, f"f({given})", str(output)) for given, output in calls)


def time_sandbox(sandbox: Sandbox, rows: Sequence[Row], on_progress: Callable[[int], None]) -> Figures:
    """Each row in a fresh instance, on all workers."""
    sandbox.run("", "None")  # so that nothing below waits for the compiler
    values: list[str | None] = []
    wall_us: list[float] = []
    start = perf_counter()
    for first in range(0, len(rows), BATCH):
        outcomes = sandbox.run_many([(row.program, row.call) for row in rows[first : first + BATCH]])
        values += [outcome.value for outcome in outcomes]
        wall_us += [outcome.wall_ms * 1e3 for outcome in outcomes]
        on_progress(len(outcomes))
    return _figures(rows, values, wall_us, perf_counter() - start)


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
            timeout=SUBPROCESS_TIMEOUT_S,
            check=False,
        )
    except (subprocess.TimeoutExpired, ValueError, OSError):
        # The last two: a zero byte or half a surrogate pair in the program, or a program too long for a command line.
        return None
    lines = ended.stdout.decode("utf-8", "replace").splitlines()
    return lines[-1] if ended.returncode == 0 and lines else None


PEERS: dict[str, Callable[[str, str], str | None]] = {"in-process exec": _exec, "subprocess": _subprocess}
"""They run a corpus unprotected: only for one that is trusted."""


def time_peer(name: str, sandbox: Sandbox, rows: Sequence[Row], on_progress: Callable[[int], None]) -> Figures:
    """One program after the other, in this process or in a fresh one each."""
    run = PEERS[name]
    texts: list[str | None] = []
    wall_us: list[float] = []
    # What programs write by a relative name shall not lie about in the caller's folder. This is tidiness, and no protection.
    with TemporaryDirectory() as folder, chdir(folder), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Those of the programs, which are the programs' own.
        for row in rows:
            start = perf_counter()
            texts.append(run(row.program, row.call))
            wall_us.append((perf_counter() - start) * 1e6)
            on_progress(1)
    values = sandbox.literals(["" if text is None else text for text in texts])
    return _figures(rows, values, wall_us, sum(wall_us) / 1e6)


def _figures(rows: Sequence[Row], values: Sequence[str | None], wall_us: Sequence[float], seconds: float) -> Figures:
    agreeing = sum(row.expected is not None and row.expected == value for row, value in zip(rows, values, strict=True))
    return Figures(
        programs=len(rows),
        programs_per_second=round(len(rows) / seconds, 1),
        p50_us=round(float(np.percentile(wall_us, 50)), 1),
        p99_us=round(float(np.percentile(wall_us, 99)), 1),
        agreement=round(agreeing / len(rows), 4),
    )
