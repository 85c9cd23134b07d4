"""Comparison of two evaluations on the same held-out tasks, with standard errors.

If the task-by-task results of both are available, the difference is *paired*: its standard error is that of the per-task differences,
which is smaller than two separate errors suggest. Otherwise the two variances are added, and the row says so.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

from tina_azr.formatting import counted
from tina_azr.runs.metrics import HeldoutCell, HeldoutMetrics, HeldoutOutcome
from tina_azr.tasks.types import IN_DISTRIBUTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """End minus start."""

    value: float
    stderr: float
    paired: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparisonRow:
    """One part of the held-out set at start and end."""

    label: str
    start: HeldoutCell
    end: HeldoutCell
    change: Difference
    change_greedy: Difference | None

    def to_json(self) -> dict[str, object]:
        return asdict(self)


def compare(
    start: HeldoutMetrics,
    end: HeldoutMetrics,
    start_outcomes: Sequence[HeldoutOutcome] = (),
    end_outcomes: Sequence[HeldoutOutcome] = (),
) -> tuple[ComparisonRow, ...]:
    """Return rows for the headline, each mode, each program length, and the longer programs together."""
    pairs = _pair(start_outcomes, end_outcomes)
    rows = [_row("steps 1-3", start.in_distribution, end.in_distribution, pairs, lambda o: o.stratum in IN_DISTRIBUTION)]
    modes = [mode for mode in start.by_mode if mode in end.by_mode]
    rows += [_row(mode, start.by_mode[mode], end.by_mode[mode], pairs, _of_mode(mode)) for mode in modes]
    strata = sorted(set(start.by_stratum) & set(end.by_stratum))
    for stratum in strata:
        label = counted(stratum, "step")
        rows.append(_row(label, start.by_stratum[stratum], end.by_stratum[stratum], pairs, _of_stratum(stratum)))
    longer = [stratum for stratum in strata if stratum not in IN_DISTRIBUTION]
    if longer:
        first, last = pool([start.by_stratum[s] for s in longer]), pool([end.by_stratum[s] for s in longer])
        rows.append(_row(f"steps {longer[0]}-{longer[-1]}", first, last, pairs, lambda o: o.stratum not in IN_DISTRIBUTION))
    return tuple(row for row in rows if row.start.n and row.end.n)


def pool(cells: Sequence[HeldoutCell]) -> HeldoutCell:
    """One cell for several disjoint ones."""
    n = sum(cell.n for cell in cells)
    share = sum(cell.n * cell.accuracy for cell in cells) / n
    greedy = None
    if all(cell.accuracy_greedy is not None for cell in cells):
        greedy = sum(cell.n * (cell.accuracy_greedy or 0.0) for cell in cells) / n
    return HeldoutCell(
        n=n,
        accuracy=share,
        stderr=_binomial_stderr(share, n),
        accuracy_greedy=greedy,
        stderr_greedy=None if greedy is None else _binomial_stderr(greedy, n),
        think_tokens=sum(cell.n * cell.think_tokens for cell in cells) / n,
    )


Pair = tuple[HeldoutOutcome, HeldoutOutcome]


def _pair(start: Sequence[HeldoutOutcome], end: Sequence[HeldoutOutcome]) -> list[Pair]:
    # Deduction and abduction share keys: a task is its key and its mode.
    before = {(outcome.key, outcome.mode): outcome for outcome in start}
    after = {(outcome.key, outcome.mode): outcome for outcome in end}
    return [(before[task], after[task]) for task in before if task in after] if before.keys() == after.keys() else []


def _of_mode(mode: str) -> Callable[[HeldoutOutcome], bool]:
    return lambda outcome: outcome.mode == mode and outcome.stratum in IN_DISTRIBUTION


def _of_stratum(stratum: int) -> Callable[[HeldoutOutcome], bool]:
    return lambda outcome: outcome.stratum == stratum


def _row(
    label: str, start: HeldoutCell, end: HeldoutCell, pairs: Sequence[Pair], belongs: Callable[[HeldoutOutcome], bool]
) -> ComparisonRow:
    chosen = [pair for pair in pairs if belongs(pair[0])]
    change = _paired([after.correct - before.correct for before, after in chosen])
    greedy = _paired(
        [
            after.correct_greedy - before.correct_greedy
            for before, after in chosen
            if before.correct_greedy is not None and after.correct_greedy is not None
        ]
    )
    return ComparisonRow(
        label=label,
        start=start,
        end=end,
        change=change or _unpaired(start.accuracy, end.accuracy, start.stderr, end.stderr),
        change_greedy=greedy or _unpaired_greedy(start, end),
    )


def _paired(differences: Sequence[float]) -> Difference | None:
    n = len(differences)
    if n < 2:
        return None
    mean = sum(differences) / n
    variance = sum((d - mean) ** 2 for d in differences) / (n - 1)
    return Difference(value=mean, stderr=math.sqrt(variance / n), paired=True)


def _unpaired(start: float, end: float, start_stderr: float, end_stderr: float) -> Difference:
    return Difference(value=end - start, stderr=math.hypot(start_stderr, end_stderr), paired=False)


def _unpaired_greedy(start: HeldoutCell, end: HeldoutCell) -> Difference | None:
    if start.accuracy_greedy is None or end.accuracy_greedy is None:
        return None
    return _unpaired(start.accuracy_greedy, end.accuracy_greedy, start.stderr_greedy or 0.0, end.stderr_greedy or 0.0)


def _binomial_stderr(share: float, n: int) -> float:
    return math.sqrt(share * (1 - share) / max(n - 1, 1))
