"""Programs a second through the sandbox, beside other ways to run Python.

A corpus is JSON Lines in the form that Absolute Zero Reasoner published its tasks in: `snippet`, `imports`, and `input` with `output` or
`inputs` with `outputs`. Outputs are compared as canonical literals.

Machines are noisy, so what is compared runs in the same round: one way after the other, again and again, and every figure is the median
over rounds.
"""

import json
import resource
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from tina_azr.errors import ConfigError
from tina_azr.sandbox.sandbox import Sandbox
from tina_azr.sandbox.types import OutcomeKind

CALLS_OF_A_PROGRAM = 20
"""A prepared program is called at least so many times, its calls over and over, since calls are what is measured."""
BATCH = 256


@dataclass(frozen=True, slots=True)
class Row:
    """One program, one call, and what the corpus says comes out; None if it says nothing that is a literal."""

    program: str
    call: str
    expected: str | None


@dataclass(frozen=True, slots=True)
class Ran:
    """What one way of running made of some rows."""

    values: list[str | None]
    """A literal for each row, None where there was none."""
    wall_us: list[float]
    """Microseconds of each program or call."""
    seconds: float


Runner = Callable[[Sequence[Row]], Ran]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way of running Python."""

    name: str
    run: Runner
    most: int | None = None
    """Rows of a round at most, drawn evenly: for what takes long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Of one way of running programs: medians over rounds."""

    programs: int
    """In each round."""
    programs_per_second: float
    """Calls a second, where programs are prepared."""
    p50_us: float
    """Median time of one program, in microseconds: in the guest for the sandbox, which adds resets and policy in `programs_per_second`."""
    p99_us: float
    page_faults: float
    """Minor faults a program, those of child processes included."""
    agreement: float
    """Share of all programs whose result is the recorded output, as canonical literals. A record that is no literal agrees with nothing."""
    share: float | None
    """Of the first peer's programs a second in the same round; None without peers."""

    def to_json(self) -> dict[str, float | int | None]:
        return asdict(self)


@dataclass(slots=True)
class _Rounds:
    """What is measured in each round."""

    seconds_a_program: list[float] = field(default_factory=list)
    faults: list[float] = field(default_factory=list)
    wall_us: list[float] = field(default_factory=list)
    agreement: float = 0.0


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


def whole_programs(sandbox: Sandbox) -> Runner:
    """Each row defined and called from the start."""

    def run(rows: Sequence[Row]) -> Ran:
        start = perf_counter()
        outcomes = []
        for first in range(0, len(rows), BATCH):
            outcomes += sandbox.run_many([(row.program, row.call) for row in rows[first : first + BATCH]])
        return Ran([outcome.value for outcome in outcomes], [outcome.wall_ms * 1e3 for outcome in outcomes], perf_counter() - start)

    return run


def prepared_programs(sandbox: Sandbox) -> Runner:
    """Each program defined once, and called again and again. A call's time is that of all calls, shared out."""

    def run(rows: Sequence[Row]) -> Ran:
        calls: dict[str, list[int]] = {}
        for index, row in enumerate(rows):
            calls.setdefault(row.program, []).append(index)
        jobs = [(program, [rows[index].call for index in of] * -(-CALLS_OF_A_PROGRAM // len(of))) for program, of in calls.items()]
        start = perf_counter()
        outcomes = sandbox.run_calls(jobs)
        seconds = perf_counter() - start
        values: list[str | None] = [None] * len(rows)
        for indices, of_program in zip(calls.values(), outcomes, strict=True):
            for index, outcome in zip(indices, of_program, strict=False):
                values[index] = outcome.value
        a_call = seconds / sum(len(of_program) for _, of_program in jobs)
        return Ran(values, [a_call * 1e6] * len(rows), a_call * len(rows))

    return run


def measure(
    contestants: Sequence[Contestant],
    base: str | None,
    sandbox: Sandbox,
    rows: Sequence[Row],
    rounds: int,
    on_progress: Callable[[], None],
) -> dict[str, Figures]:
    """All contestants in every round, after one that is not counted; `base` is the one that the others' shares are of."""
    parts = {one.name: rows if one.most is None else evenly(rows, one.most) for one in contestants}
    measured = {one.name: _Rounds() for one in contestants}
    for number in range(rounds + 1):
        for one in contestants:
            part, of = parts[one.name], measured[one.name]
            faults = _faults()
            ran = one.run(part if number else part[:BATCH])
            if number:
                of.faults.append((_faults() - faults) / len(part))
                of.seconds_a_program.append(ran.seconds / len(part))
                of.wall_us += ran.wall_us
                of.agreement = sum(
                    row.expected is not None and row.expected == value for row, value in zip(part, ran.values, strict=True)
                )
            on_progress()
    return {name: _figures(of, measured[base] if base else None, len(parts[name])) for name, of in measured.items()}


def _figures(of: _Rounds, base: _Rounds | None, programs: int) -> Figures:
    shares = [theirs / ours for ours, theirs in zip(of.seconds_a_program, base.seconds_a_program, strict=True)] if base else None
    return Figures(
        programs=programs,
        programs_per_second=round(1 / median(of.seconds_a_program), 1),
        p50_us=round(float(np.percentile(of.wall_us, 50)), 1),
        p99_us=round(float(np.percentile(of.wall_us, 99)), 1),
        page_faults=round(median(of.faults), 2),
        agreement=round(of.agreement / programs, 4),
        share=None if shares is None else round(median(shares), 3),
    )


def _faults() -> int:
    return sum(resource.getrusage(who).ru_minflt for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def disagreements(sandbox: Sandbox, rows: Sequence[Row]) -> dict[str, int]:
    """Why rows do not agree with their record: how many for each reason, most frequent first."""
    outcomes = sandbox.run_many([(row.program, row.call) for row in rows])
    wrong = [
        (row, outcome) for row, outcome in zip(rows, outcomes, strict=True) if row.expected is None or row.expected != outcome.value
    ]
    checked = sandbox.check_many([(row.program, [row.call]) for row, _ in wrong])
    reasons: Counter[str] = Counter()
    for (row, outcome), (check,) in zip(wrong, checked, strict=True):
        if not outcome.ok:
            reasons[f"ended: {outcome.kind}"] += 1
        elif check.kind is OutcomeKind.NONDETERMINISTIC:
            reasons["depends on hash seed or addresses"] += 1
        else:
            reasons["recorded output is no literal" if row.expected is None else "another value"] += 1
    return dict(reasons.most_common())
