"""What a person sees while a run goes: a live panel in a terminal, one line a step anywhere else.

Both are listeners and context managers; `open_display` chooses.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from tina_azr.formatting import accuracy, duration, percent, points, rate, signed, sparkline, whole
from tina_azr.runs.metrics import HeldoutMetrics, Listener, StepMetrics
from tina_azr.runs.progress import Goal, Progress

_WIDTH = 80
_REFRESH_PER_SECOND = 3


class Display(Listener, Protocol):
    """A listener that is open for as long as the run goes."""

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None: ...

    def recall(self, heldouts: Sequence[HeldoutMetrics]) -> None:
        """What was measured before this session: the curve goes on, nothing is announced."""
        ...


def open_display(console: Console, *, title: str, goal: Goal) -> Display:
    """The live panel where the console is a terminal, plain lines where it is a file, a pipe or a CI log."""
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveDisplay(console, title=title, goal=goal)
    return PlainDisplay(goal=goal, file=console.file)


class PlainDisplay:
    """One line a step, and one at each end of an evaluation, flushed at once."""

    def __init__(self, *, goal: Goal, file: IO[str] | None = None) -> None:
        self._progress = Progress(goal)
        self._file = file or sys.stdout
        self._evaluated_step: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        return None

    def recall(self, heldouts: Sequence[HeldoutMetrics]) -> None:
        """The log has it already."""

    def on_phase(self, step: int, phase: str, done: int, total: int) -> None:
        """Too often for a log, but for the start of an evaluation: that takes longer than a step, and the first one comes first."""
        if phase == "heldout" and step != self._evaluated_step:
            self._evaluated_step = step
            self._say(f"evaluating at step {step}, on {total} held-out tasks")

    def on_step(self, metrics: StepMetrics) -> None:
        self._progress.on_step(metrics)
        reward = f"reward P {signed(_mean(metrics.reward.get('proposer')))} S {signed(_mean(metrics.reward.get('solver')))}"
        think = whole(_mean(metrics.think_tokens.get("solver")))
        left = self._progress.seconds_left
        self._say(
            f"step {metrics.step:>{len(str(self._progress.goal.steps))}}/{self._progress.goal.steps}  {duration(metrics.seconds):>5}"
            f"  valid {percent(metrics.valid_rate, 0)}  new {percent(metrics.distinct_rate, 0)}  solved {percent(metrics.pass_rate, 0)}"
            f"  {reward}  think {think}  {rate(metrics.programs_per_second)} programs/s  {rate(metrics.tokens_per_second)} tokens/s"
            + (f"  {duration(left)} left" if left is not None else "")
        )

    def on_heldout(self, metrics: HeldoutMetrics) -> None:
        self._progress.on_heldout(metrics)
        cell = metrics.in_distribution
        modes = ", ".join(f"{mode} {100 * part.accuracy:.1f}" for mode, part in metrics.by_mode.items())
        self._say(
            f"held-out at step {metrics.step}: T=1 {accuracy(cell.accuracy, cell.stderr)} %  "
            f"greedy {accuracy(cell.accuracy_greedy, cell.stderr_greedy)} %  ({modes}; n={cell.n}, think {whole(cell.think_tokens)})"
        )

    def on_checkpoint(self, step: int, path: Path) -> None:
        self._say(f"saved {path}")

    def on_note(self, text: str) -> None:
        self._say(text)

    def _say(self, text: str) -> None:
        print(text, file=self._file, flush=True)


class LiveDisplay:
    """Panel that a thread of its own redraws three times a second."""

    def __init__(self, console: Console, *, title: str, goal: Goal) -> None:
        self._console = console
        self._title = title
        self._progress = Progress(goal)
        self._live = Live(console=console, get_renderable=self.render, refresh_per_second=_REFRESH_PER_SECOND)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def recall(self, heldouts: Sequence[HeldoutMetrics]) -> None:
        self._progress.heldouts = (*heldouts, *self._progress.heldouts)

    def on_phase(self, step: int, phase: str, done: int, total: int) -> None:
        self._progress.on_phase(step, phase, done, total)

    def on_step(self, metrics: StepMetrics) -> None:
        self._progress.on_step(metrics)

    def on_heldout(self, metrics: HeldoutMetrics) -> None:
        self._progress.on_heldout(metrics)

    def on_checkpoint(self, step: int, path: Path) -> None:
        self._progress.on_checkpoint(step, path)

    def on_note(self, text: str) -> None:
        self._progress.on_note(text)

    def render(self) -> RenderableType:
        """The panel as it is now."""
        parts: list[RenderableType] = [self._bars()]
        if self._progress.heldouts:
            parts += [Text(), self._heldout()]
        if self._progress.metrics:
            parts += [Text(), self._modes(self._progress.metrics), Text(), self._rates(self._progress.metrics)]
        if self._progress.note:
            parts += [Text(), Text(self._progress.note, style="yellow")]
        return Panel(
            Padding(Group(*parts), (0, 1)),
            title=Text(self._title, style="bold"),
            title_align="left",
            width=min(_WIDTH, self._console.width),
        )

    def _bars(self) -> RenderableType:
        progress = self._progress
        left = progress.seconds_left
        table = Table.grid(padding=(0, 2))
        table.add_column(width=18)
        table.add_column(width=24)
        table.add_column(justify="right", width=28)
        steps = progress.goal.steps
        table.add_row(
            Text(f"step {min(progress.step + 1, steps)}/{steps}", style="bold"),
            ProgressBar(total=steps, completed=progress.step, width=24),
            f"{duration(progress.seconds)} gone" + (f", {duration(left)} left" if left is not None else ""),
        )
        if progress.phase:
            known = progress.total > 0
            table.add_row(
                Text(progress.phase, style="cyan"),
                ProgressBar(total=progress.total if known else None, completed=progress.done, width=24, pulse=not known),
                f"{progress.done}/{progress.total}" if known else "",
            )
        return table

    def _heldout(self) -> RenderableType:
        first, last = self._progress.heldouts[0], self._progress.heldouts[-1]
        table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
        table.add_column("held-out, steps 1-3", width=20)
        for name, width in (("start %", 10), (f"step {last.step} %", 10), ("change", 7)):
            table.add_column(name, justify="right", width=width)
        table.add_column("over time", width=20)
        rows = (
            ("temperature 1", [(m.in_distribution.accuracy, m.in_distribution.stderr) for m in self._progress.heldouts]),
            ("greedy", [(m.in_distribution.accuracy_greedy, m.in_distribution.stderr_greedy) for m in self._progress.heldouts]),
        )
        for name, series in rows:
            values = [value for value, _ in series if value is not None]
            if not values:
                continue
            change = points(values[-1] - values[0]) if last is not first else "-"
            table.add_row(
                Text(name, style="bold"),
                accuracy(*series[0]),
                Text(accuracy(*series[-1]), style="bold green"),
                change,
                Text(sparkline(values, width=20, least_span=0.1), style="green"),
            )
        return table

    def _modes(self, metrics: StepMetrics) -> RenderableType:
        table = Table(box=None, padding=(0, 1), pad_edge=False, header_style="dim")
        table.add_column("\nmode", width=11)
        for name, width in (
            ("held-out\n%", 10),
            ("greedy\n%", 6),
            ("own tasks\nsolved", 9),
            ("think\ntokens", 6),
            ("reward of\nproposer", 9),
            ("\nsolver", 7),
        ):
            table.add_column(name, justify="right", width=width)
        last = self._progress.heldouts[-1] if self._progress.heldouts else None
        proposer, solver = metrics.reward.get("proposer", {}), metrics.reward.get("solver", {})
        for mode in dict.fromkeys((*(last.by_mode if last else ()), *metrics.pass_rate_by_mode, *solver, *proposer)):
            cell = last.by_mode.get(mode) if last else None
            table.add_row(
                mode,
                accuracy(cell.accuracy, cell.stderr) if cell else "-",
                accuracy(cell.accuracy_greedy, None) if cell else "-",
                percent(metrics.pass_rate_by_mode.get(mode), 0),
                whole(metrics.think_tokens.get("solver", {}).get(mode)),
                signed(proposer.get(mode)),
                signed(solver.get(mode)),
            )
        return table

    def _rates(self, metrics: StepMetrics) -> RenderableType:
        phases = ", ".join(f"{phase} {spent:.1f}" for phase, spent in metrics.seconds_by_phase.items() if spent >= 0.05)
        rejected = ", ".join(f"{reason} {count}" for reason, count in _largest(metrics.rejects, 4)) or "none"
        table = Table.grid(padding=(0, 2))
        table.add_column(style="dim", width=10)
        table.add_column()
        table.add_row(
            "proposals",
            f"{percent(metrics.valid_rate, 0)} valid, {percent(metrics.distinct_rate, 0)} of them new; rejected: {rejected}",
        )
        table.add_row(
            "rates", f"{rate(metrics.programs_per_second)} programs/s in the sandbox, {rate(metrics.tokens_per_second)} tokens/s"
        )
        table.add_row("seconds", phases)
        return table


def _mean(values: Mapping[str, float] | None) -> float | None:
    return sum(values.values()) / len(values) if values else None


def _largest(counts: Mapping[str, int], most: int) -> list[tuple[str, int]]:
    return sorted(((name, count) for name, count in counts.items() if count), key=lambda pair: -pair[1])[:most]
