"""`tina-azr tasks`: the tasks that a run invented, and the history and rollouts of one of them.

A model wrote the text that is shown, so control characters are escaped and cannot reach the terminal.
"""

import json
from typing import TYPE_CHECKING, Any

import click

from tina_azr.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console
    from rich.padding import Padding
    from rich.table import Table

    from tina_azr.runs.folder import RunFolder
    from tina_azr.tasks.schema import StoredTask

KEY_DIGITS = 12
"""Digits of a key, of 64, that lists show: enough to be unique, and short enough to type."""

EPILOG = """\b
Examples:
  tina-azr tasks runs/first                         the newest
  tina-azr tasks runs/first --mode induction --sort hardest --limit 10
  tina-azr tasks runs/first 3f9a2c                  one task, by the start of its key
  tina-azr tasks runs/first 3f9a2c --full           with all reasoning in full
  tina-azr tasks runs/first --json | jq '.[].program'
"""


@click.command(epilog=EPILOG)
@click.argument("run_name", metavar="RUN")
@click.argument("key", required=False)
@click.option("--mode", metavar="MODE", help="Only tasks of this mode.")
@click.option("--contains", metavar="TEXT", help="Only tasks with this text in their program or message.")
@click.option("--sort", default="newest", show_default=True, metavar="ORDER", help="newest, oldest, hardest, longest or tried.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(min=1), help="Most tasks to list.")
@click.option("--full", is_flag=True, help="With KEY: the reasoning in full, not its first line.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of tasks, or one with its history and rollouts.")
def tasks(
    run_name: str, key: str | None, mode: str | None, contains: str | None, sort: str, limit: int, full: bool, as_json: bool
) -> None:
    """List the tasks of RUN, or show the one whose key starts with KEY.

    A task is shown with its program, its pass rate over time, and the rollouts that proposed it and tried to solve it.
    """
    from rich.console import Console

    from tina_azr.runs.find import find_run

    run = find_run(run_name)
    if key is None:
        _list(run, mode=mode, contains=contains, sort=sort, limit=limit, as_json=as_json)
    else:
        _show(run, key.lower(), Console(highlight=False), full=full, as_json=as_json)


def _list(run: "RunFolder", *, mode: str | None, contains: str | None, sort: str, limit: int, as_json: bool) -> None:
    from rich.console import Console

    from tina_azr.cli.console import print_line
    from tina_azr.config import choose
    from tina_azr.tasks.modes import MODES
    from tina_azr.tasks.queries import TaskFilter, count_tasks, list_tasks, summarise

    if mode is not None:
        choose(MODES, mode, "--mode")
    wanted = TaskFilter(mode=mode, contains=contains)
    stored = list_tasks(run.tasks_file, wanted, order=sort, limit=limit)
    if as_json:
        click.echo(json.dumps([_task_json(each) for each in stored], indent=2))
        return
    console = Console(highlight=False, markup=False)  # Programs have brackets of their own.
    if stored:
        console.print(_table(stored))
    summary = summarise(run.tasks_file)
    matching = "" if wanted == TaskFilter() else f"{count_tasks(run.tasks_file, wanted)} that match, among "
    modes = ", ".join(f"{count} {name}" for name, count in summary.by_mode.items())
    advice = f"; one of them: tina-azr tasks {run.path} KEY" if stored else ""
    print_line(console, f"{len(stored)} of {matching}{summary.kept} tasks{f' ({modes})' if modes else ''}{advice}", "dim")


def _table(stored: "Sequence[StoredTask]") -> "Table":
    from rich.table import Table
    from rich.text import Text

    from tina_azr.formatting import percent, visible

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in ("key", "mode"):
        table.add_column(name, no_wrap=True)
    for name in ("step", "solved"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("program")  # may wrap, because rich narrows such columns first. Its cells are cut, not wrapped.
    for each in stored:
        task = each.task
        program = Text(visible(_one_line(task.program)), no_wrap=True, overflow="ellipsis")
        table.add_row(task.key[:KEY_DIGITS], task.mode, str(each.step), percent(each.pass_rate, 0), program)
    return table


def _show(run: "RunFolder", key: str, console: "Console", *, full: bool, as_json: bool) -> None:
    from tina_azr.runs.rollouts_file import rollouts_of
    from tina_azr.tasks.queries import find_task

    stored: StoredTask | None = None
    try:
        stored = find_task(run.tasks_file, key)
    except ConfigError:
        # An evicted task is no longer in the buffer, but its rollouts are.
        lines = list(rollouts_of(run, key)) if key else []
        if len({line["key"] for line in lines}) != 1:
            raise
    else:
        lines = list(rollouts_of(run, stored.task.key))
    if as_json:
        known = _task_json(stored) if stored else {"key": lines[0]["key"], "mode": lines[0]["mode"]}
        click.echo(json.dumps(known | {"rollouts": lines}, indent=2))
        return
    if stored is not None:
        _print_task(stored, console)
    else:
        _print_evicted(lines, console)
    for line in lines:
        _print_rollout(line, console, full=full)


def _print_task(stored: "StoredTask", console: "Console") -> None:
    from tina_azr.formatting import counted, percent, visible

    task = stored.task
    console.print(f"[bold]{task.mode}[/bold]  {task.key}")
    console.print(
        f"from step {stored.step}; {counted(task.length, 'step')}; solved {percent(stored.pass_rate, 0)}, {stored.tried} attempts"
    )
    _print_program(task.program, console)
    if task.message:
        console.print(f"message: {visible(task.message)}", markup=False)
    if task.visible or task.hidden:
        for name, examples in (("shown", task.visible), ("hidden", task.hidden)):
            for example in examples:
                console.print(f"{name}: f({visible(example.input)}) = {visible(example.output)}", markup=False)
    else:
        console.print(f"f({visible(task.input)}) = {visible(task.output)}", markup=False)
    history = ", ".join(f"{each.correct}/{each.attempts} at step {each.step}" for each in stored.estimates)
    console.print(f"attempts: {history or 'none'}")


def _print_evicted(lines: list[dict[str, Any]], console: "Console") -> None:
    console.print(f"[bold]{lines[0]['mode']}[/bold]  {lines[0]['key']}")
    console.print("evicted from the buffer; this is from the rollouts")
    program = next((line["program"] for line in lines if line["kind"] == "task"), "")
    _print_program(program, console)


def _print_program(program: str, console: "Console") -> None:
    from rich.padding import Padding
    from rich.syntax import Syntax

    from tina_azr.formatting import visible

    console.print(Padding(Syntax(visible(program), "python", background_color="default", word_wrap=True), (1, 2)))


def _print_rollout(line: dict[str, Any], console: "Console", *, full: bool) -> None:
    from rich.text import Text

    from tina_azr.formatting import percent, signed

    if line["kind"] == "proposal":
        console.print(Text(f"\nproposed at step {line['step']}, reward {signed(line['reward'])}", style="bold"))
        console.print(_reasoning(line, full=full))
        return
    console.print(Text(f"\ntried at step {line['step']}: {percent(line['pass_rate'], 0)} correct", style="bold"))
    colors = {"correct": "green", "wrong": "red", "malformed": "yellow"}
    for attempt in line["attempts"]:
        verdict = attempt["verdict"]
        console.print(Text(f"{verdict:9}  {attempt['think_tokens']} think tokens", style=colors.get(verdict, "")))
        console.print(_reasoning(attempt, full=full))


def _reasoning(part: dict[str, Any], *, full: bool) -> "Padding":
    from rich.padding import Padding
    from rich.text import Text

    from tina_azr.formatting import visible

    reasoning, answer = visible(part["thought"]), visible(part["answer"] or "(no answer)")
    if not full:
        reasoning, answer = _one_line(reasoning), _one_line(answer)
    text = Text.assemble((reasoning, "dim italic"), "\n" if reasoning else "", answer, overflow="fold" if full else "ellipsis")
    text.no_wrap = not full
    return Padding(text, (0, 0, 0, 2))


def _task_json(stored: "StoredTask") -> dict[str, Any]:
    from tina_azr.tasks.codec import task_to_json

    return {
        **task_to_json(stored.task),
        "step": stored.step,
        "pass_rate": stored.pass_rate,
        "tried": stored.tried,
        "image": stored.image,
        "estimates": [{"step": e.step, "correct": e.correct, "attempts": e.attempts} for e in stored.estimates],
    }


def _one_line(text: str) -> str:
    return " / ".join(line.strip() for line in text.splitlines() if line.strip())
