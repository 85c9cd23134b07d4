"""The closing word of a run: start against end on the held-out set, as a table, `report.md` and `report.json`."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tina_azr.errors import RunError
from tina_azr.formatting import accuracy, counted, duration, percent, points, rate, whole
from tina_azr.runs.comparison import ComparisonRow, Difference, compare
from tina_azr.runs.files import write_text
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import StepMetrics
from tina_azr.runs.metrics_file import History, read_metrics, read_outcomes
from tina_azr.runs.status import RunStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """What a run did, over all its steps."""

    steps: int
    seconds: float
    """The run's clock, as in `run.json`: every evaluation is in it."""
    samples: int
    """Rollouts trained on."""
    tasks: int
    """New tasks that were solved."""
    programs: int
    """Sandbox runs."""
    programs_per_second: float
    """Median over steps."""
    tokens_per_second: float
    """Median over steps."""
    valid_rate: float
    """Mean over steps."""
    valid_rate_least: float
    distinct_rate: float
    """Mean over steps."""
    seconds_by_phase: dict[str, float]
    """Mean a step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One run's outcome."""

    name: str
    status: RunStatus
    start_step: int
    end_step: int
    rows: tuple[ComparisonRow, ...]
    """Empty until the held-out set has been evaluated twice."""
    totals: Totals | None
    """None before the first step."""

    def to_json(self) -> dict[str, object]:
        """The content of `report.json`: shares, not percent."""
        return {
            "name": self.name,
            "status": self.status.to_json(),
            "start_step": self.start_step,
            "end_step": self.end_step,
            "rows": [row.to_json() for row in self.rows],
            "totals": asdict(self.totals) if self.totals else None,
        }


def make_report(run: RunFolder, history: History, status: RunStatus) -> Report:
    """Compare the first and the last held-out evaluation, and add up the steps."""
    rows: tuple[ComparisonRow, ...] = ()
    start_step = end_step = 0
    if len(history.heldouts) >= 2:
        first, last = history.heldouts[0], history.heldouts[-1]
        start_step, end_step = first.step, last.step
        rows = compare(first, last, read_outcomes(run, first.step), read_outcomes(run, last.step))
    totals = _totals(history.steps, status.seconds) if history.steps else None
    return Report(name=run.name, status=status, start_step=start_step, end_step=end_step, rows=rows, totals=totals)


def compare_runs(run: RunFolder, other: RunFolder) -> tuple[tuple[ComparisonRow, ...], str]:
    """The last evaluation of `run` against the last of `other`, paired by task where both kept the same tasks, and what they are called.

    Raises RunError where one of them has not been evaluated.
    """
    last = [read_metrics(one).heldouts[-1:] for one in (other, run)]
    for one, found in zip((other, run), last, strict=True):
        if not found:
            raise RunError(f"{one.path} has no held-out evaluation to compare: let it run, or name another run.")
    ((start,), (end,)) = last
    rows = compare(start, end, read_outcomes(other, start.step), read_outcomes(run, end.step))
    return rows, f"{other.name} at step {start.step} against {run.name} at step {end.step}"


def write_report(run: RunFolder, report: Report, plots: Sequence[Path]) -> None:
    """Write `report.json` and `report.md` (for people, with the plots)."""
    with run.writing("the report"):
        write_text(run.path / "report.json", json.dumps(report.to_json(), indent=2) + "\n")
        write_text(run.path / "report.md", _markdown(run, report, plots))


def print_report(report: Report, console: Console) -> None:
    """The closing table and the facts, as `tina-azr train` ends with them."""
    if report.rows:
        console.print(closing_table(report.rows, f"step {report.start_step} against step {report.end_step}"))
        console.print(footnote(report.rows), style="dim", highlight=False)
        console.print()
    for fact in facts(report.totals) if report.totals else ():
        console.print(fact, highlight=False)


def closing_table(rows: Sequence[ComparisonRow], what: str) -> Table:
    """The table that `tina-azr train` prints last; it fits into 80 columns. `what` names start and end."""
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", title_justify="left")
    table.title = f"Held-out accuracy in %, {what}"
    table.add_column("\n")
    for name in ("T=1\nstart", "\nend", "\nchange", "greedy\nstart", "\nend", "\nchange", "think\ntokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for position, row in enumerate(rows):
        if row.label == "1 step":
            table.add_row()
        label, start, end, change, greedy_start, greedy_end, greedy_change, think = _cells(row)
        # The greedy error is in the change; two more of them would not fit.
        greedy = (greedy_start.partition(" ")[0], greedy_end.partition(" ")[0])
        table.add_row(label, start, end, change, *greedy, greedy_change, think, style="bold" if position == 0 else "")
    return table


def footnote(rows: Sequence[ComparisonRow]) -> str:
    """What the table's numbers mean, in one line."""
    how = "paired by task" if rows and rows[0].change.paired else "not paired"
    return f"± one standard error; n = {rows[0].start.n if rows else 0}; changes in points, {how}"


def facts(totals: Totals) -> list[str]:
    """The run in a few lines."""
    phases = ", ".join(f"{phase} {seconds:.2f}" for phase, seconds in totals.seconds_by_phase.items())
    valid, least = percent(totals.valid_rate), percent(totals.valid_rate_least)
    return [
        f"{counted(totals.steps, 'step')} in {duration(totals.seconds)}; {totals.samples} rollouts trained on, {totals.tasks} new tasks",
        f"proposals: {valid} valid (least in a step {least}), {percent(totals.distinct_rate)} of them new",
        f"sandbox: {totals.programs} programs, {rate(totals.programs_per_second)} a second",
        f"decoding: {rate(totals.tokens_per_second)} tokens a second",
        f"seconds a step: {phases}",
    ]


def _totals(steps: Sequence[StepMetrics], seconds: float) -> Totals:
    phases = dict.fromkeys(phase for step in steps for phase in step.seconds_by_phase)
    return Totals(
        steps=steps[-1].step,
        seconds=seconds,
        samples=sum(step.samples for step in steps),
        tasks=sum(step.tasks for step in steps),
        programs=sum(step.programs for step in steps),
        programs_per_second=_median(step.programs_per_second for step in steps),
        tokens_per_second=_median(step.tokens_per_second for step in steps),
        valid_rate=sum(step.valid_rate for step in steps) / len(steps),
        valid_rate_least=min(step.valid_rate for step in steps),
        distinct_rate=sum(step.distinct_rate for step in steps) / len(steps),
        seconds_by_phase={
            phase: round(sum(step.seconds_by_phase.get(phase, 0.0) for step in steps) / len(steps), 3) for phase in phases
        },
    )


def _median(values: Iterable[float]) -> float:
    ordered = sorted(values)
    return ordered[len(ordered) // 2]


def _cells(row: ComparisonRow) -> tuple[str, ...]:
    start, end = row.start, row.end
    return (
        row.label,
        accuracy(start.accuracy, start.stderr),
        accuracy(end.accuracy, end.stderr),
        _change(row.change),
        accuracy(start.accuracy_greedy, start.stderr_greedy),
        accuracy(end.accuracy_greedy, end.stderr_greedy),
        _change(row.change_greedy),
        f"{whole(start.think_tokens)} > {whole(end.think_tokens)}",
    )


def _change(difference: Difference | None) -> str:
    return "-" if difference is None else f"{points(difference.value)} ±{100 * difference.stderr:.1f}"


def _markdown(run: RunFolder, report: Report, plots: Sequence[Path]) -> str:
    status = report.status
    lines = [f"# {report.name}", "", f"Model `{status.model}`, seed {status.seed}, {status.state.value} at step {status.step}."]
    if status.message:
        lines += ["", status.message]
    if report.rows:
        lines += ["", f"Held-out accuracy in percent at step {report.start_step} and step {report.end_step}.", ""]
        lines += ["| | start | end | change | greedy start | end | change | think tokens |", "|---|" + "---:|" * 7]
        lines += ["| " + " | ".join(_cells(row)) + " |" for row in report.rows]
        lines += ["", footnote(report.rows)]
    if report.totals:
        lines += ["", *(f"- {fact}" for fact in facts(report.totals))]
    for plot in plots:
        lines += ["", f"![{plot.stem}]({plot.relative_to(run.path).as_posix()})"]
    return "\n".join(lines) + "\n"
