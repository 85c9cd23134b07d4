"""`tina-azr runs`: the list of runs, one run's report, and the comparison of two runs."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tina_azr.errors import CheckpointError, ConfigError, RunError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from tina_azr.runs.folder import RunFolder

EPILOG = """\b
Examples:
  tina-azr runs                  the runs below ./runs
  tina-azr runs elsewhere/       the runs below another folder
  tina-azr runs 20260304-1012-tiny
                                 one run: its closing table, its checkpoints
  tina-azr runs long --against first
                                 the first run compared with the second, task by task
  tina-azr runs --json | jq '.[] | select(.state == "finished") | .end.accuracy'
"""


@click.command(epilog=EPILOG)
@click.argument("where", required=False, default="runs", metavar="[FOLDER | RUN]")
@click.option("--against", metavar="RUN", help="Compare one run's last held-out evaluation with that of another, task by task.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of runs, one run's report, or the rows of a comparison.")
def runs(where: str, against: str | None, as_json: bool) -> None:
    """List the runs in a folder (default: ./runs), or show one run."""
    from rich.console import Console

    from tina_azr.config import RUNS
    from tina_azr.runs.find import find_run
    from tina_azr.runs.folder import find_runs

    folder = Path(where)
    named_run = not folder.exists() and (RUNS / where).is_dir()
    if named_run or (folder / "config.yaml").is_file():
        run = find_run(where)
        if against is not None:
            _print_comparison(run, find_run(against), as_json=as_json)
        elif as_json:
            click.echo(json.dumps(_report_json(run), indent=2))
        else:
            _print_one(run, Console())
        return
    if against is not None:
        raise RunError(f"--against compares one run with another, and {where} is not a run: tina-azr runs RUN --against RUN")
    if not folder.is_dir() and where != str(RUNS):
        raise RunError(f"no folder {where}, and no run of that name below ./{RUNS}.")
    summaries = sorted((_summary(run) for run in find_runs(folder)), key=lambda summary: str(summary["started"]))
    if as_json:
        click.echo(json.dumps(summaries, indent=2))
    elif summaries:
        Console(markup=False).print(_table(summaries))
    else:
        click.echo(f"no runs below {where}/ yet; `tina-azr train` makes one.")


def _print_comparison(run: "RunFolder", other: "RunFolder", *, as_json: bool) -> None:
    from rich.console import Console

    from tina_azr.runs.report import closing_table, compare_runs, footnote

    rows, what = compare_runs(run, other)
    if as_json:
        click.echo(json.dumps([row.to_json() for row in rows], indent=2))
        return
    console = Console()
    console.print(closing_table(rows, what))
    console.print(footnote(rows), style="dim", highlight=False)


def _summary(run: "RunFolder") -> dict[str, object]:
    from tina_azr.runs.metrics_file import read_metrics

    base: dict[str, object] = {"name": run.name, "path": str(run.path)}
    try:
        status = run.read_status()
        heldouts = read_metrics(run).heldouts
    except CheckpointError as error:
        # One damaged run must not hide the others.
        unknown = dict.fromkeys(("model", "seed", "step", "steps", "seconds", "started", "updated", "start", "end"))
        return base | {"state": "unreadable", "message": str(error)} | unknown
    return base | {
        "state": status.state.value,
        "model": status.model,
        "seed": status.seed,
        "step": status.step,
        "steps": status.steps,
        "seconds": round(status.seconds, 3),
        "started": status.started,
        "updated": status.updated,
        "message": status.message,
        "start": heldouts[0].in_distribution.to_json() if heldouts else None,
        "end": heldouts[-1].in_distribution.to_json() if len(heldouts) > 1 else None,
    }


def _table(summaries: list[dict[str, object]]) -> "RenderableType":
    from rich.table import Table
    from rich.text import Text

    from tina_azr.formatting import duration

    colors = {"finished": "green", "running": "cyan", "interrupted": "yellow", "failed": "red", "unreadable": "red"}
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("run", overflow="fold")
    table.add_column("state", no_wrap=True)
    for name in ("step", "time", "T=1 %", "greedy %"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in summaries:
        state = str(row["state"])
        seconds = row["seconds"]
        table.add_row(
            str(row["name"]),
            Text(state, style=colors[state]),
            "-" if row["step"] is None else f"{row['step']}/{row['steps']}",
            duration(seconds) if isinstance(seconds, float) else "-",
            _change(row, "accuracy"),
            _change(row, "accuracy_greedy"),
        )
    return table


def _change(row: dict[str, object], field: str) -> str:
    start, end = row["start"], row["end"]
    shares = [one[field] for one in (start, end) if isinstance(one, dict)]
    if not shares or None in shares:
        return "-"
    return " > ".join(f"{100 * share:.1f}" for share in shares)


def _report_json(run: "RunFolder") -> dict[str, object]:
    from tina_azr.runs.metrics_file import read_metrics
    from tina_azr.runs.report import make_report

    return make_report(run, read_metrics(run), run.read_status()).to_json() | {"checkpoints": run.checkpoint_steps()}


def _print_one(run: "RunFolder", console: "Console") -> None:
    from rich.markup import escape

    from tina_azr.cli.console import print_line
    from tina_azr.cli.train.plan import resume_command
    from tina_azr.runs.metrics_file import read_metrics
    from tina_azr.runs.report import make_report, print_report
    from tina_azr.runs.status import RunState

    status = run.read_status()
    where = f"model {escape(status.model)}, seed {status.seed}"
    report = make_report(run, read_metrics(run), status)
    console.print(f"[bold]{escape(str(run.path))}[/bold]  {status.state.value} at step {status.step} of {status.steps}, {where}")
    if status.message:
        print_line(console, status.message)
    print_report(report, console)
    steps = ", ".join(f"step-{step}" for step in run.checkpoint_steps()) or "none"
    console.print(f"checkpoints: {steps}", highlight=False)
    writer = run.writer()
    if writer is not None:
        print_line(console, f"process {writer} is writing to it; --resume works once that has ended")
    elif status.step < status.steps:
        try:
            config = run.read_config()
        except ConfigError as error:
            # The run may be of another version, which is not an error for `tina-azr runs`.
            print_line(console, f"this version cannot continue the run: {error}")
            return
        command = resume_command(run, config, status.seconds, time_over=status.state is RunState.FINISHED)
        print_line(console, f"continue it with: {command}")
