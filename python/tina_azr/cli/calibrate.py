"""`tina-azr calibrate`: fit confidences and budgets of the heads on held-out labels.

The calibration is written into the policy's folder, where `serve`, `chat` and `observe` find it.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tina_azr.introspection.fitting import Method
    from tina_azr.introspection.scores import Interval

EPILOG = """\b
Examples:
  tina-azr calibrate runs/first                  fit, write, and show before and after
  tina-azr calibrate runs/first --samples 16     more rollouts of each task: steadier labels
  tina-azr calibrate runs/first --refit          train the heads once more on fresh rollouts first
  tina-azr calibrate runs/first --model tiny --refit --out heads/
                                                 heads for another policy, learned on the tasks of this run

\b
The labels are fresh rollouts of tasks that the run did not train its heads on (introspection.calibration_share), and of at most
as many chained tasks (see introspection.chained_share), so that hopeless tasks are among them. With --on choose they are rollouts
of frozen tasks that no model is trained on, with the program lengths of the held-out set.
Figures under "held-out" come from the frozen held-out set, which neither heads nor calibration have seen.

\b
Exit status: 0 fitted, 1 no heads, or labels that are too few or all equal, 2 wrong flag, 130 Ctrl-C.
"""


@click.command(epilog=EPILOG)
@click.argument("run_name", metavar="RUN")
@click.option("--model", metavar="MODEL", help="Policy to use instead of the run's newest checkpoint: a name, a folder or a run.")
@click.option("--refit", is_flag=True, help="Train heads on fresh rollouts of the run's other tasks before calibrating them.")
@click.option("--method", default="platt", show_default=True, type=click.Choice(["temperature", "platt", "isotonic"]))
@click.option(
    "--on",
    "source",
    default="run",
    show_default=True,
    type=click.Choice(["run", "choose"]),
    help="Source of the labels: tasks of the run, or the embedded set of tasks for choosing settings.",
)
@click.option("--tasks", "most", default=400, show_default=True, type=click.IntRange(min=50), help="Most tasks to calibrate on.")
@click.option("--samples", default=8, show_default=True, type=click.IntRange(min=2), help="Rollouts of each task.")
@click.option(
    "--heldout", default=16, show_default=True, type=click.IntRange(min=0), help="Held-out tasks a mode and stratum; 0: none."
)
@click.option("--seed", default=0, show_default=True, help="Seed of the rollouts and the bootstrap.")
@click.option("--threads", default=0, show_default=True, type=click.IntRange(min=0), help="Threads of torch; 0: torch's default.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="FOLDER",
    help="Write to this folder instead of the policy's.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; progress goes to stderr.")
def calibrate(
    run_name: str,
    model: str | None,
    refit: bool,
    method: str,
    source: str,
    most: int,
    samples: int,
    heldout: int,
    seed: int,
    threads: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Calibrate the heads of RUN and show how good their forecasts are.

    Fits one map from predicted to true confidence before (c0) and after reasoning (cE), for each task mode with enough labels, and
    a factor for each budget quantile so that it covers the share that it names. Writes calibration.json and calibration.png.
    """
    from tina_azr.cli.console import loading
    from tina_azr.runs.find import find_run

    run = find_run(run_name)
    # Imported after the run is found, because it imports torch.
    with loading("torch", shown=not as_json):
        from tina_azr.train.calibration.session import CalibrationOptions, calibrate_run

    report = calibrate_run(
        run,
        CalibrationOptions(
            model=model,
            refit=refit,
            method=cast("Method", method),
            source=source,
            most=most,
            samples=samples,
            heldout=heldout,
            seed=seed,
            threads=threads,
            out=out,
        ),
    )
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
        return
    for title, by_heads in report.sections.items():
        _print_table(title, by_heads)
    click.echo(f"calibration {report.digest} is in {report.path}")
    click.echo(f"picture: {report.picture}")


def _print_table(title: str, scores: "Mapping[str, Mapping[str, Interval]]") -> None:
    """Print a table with one column for each set of heads, the primary heads first: each value with its 95 % interval."""
    click.echo(f"{title}\n{'':12}" + "".join(f"{name:>22}" for name in scores))
    for row in next(iter(scores.values())):
        cells = (f"{one.value:.3f} [{one.low:.3f}, {one.high:.3f}]" for one in (by_row[row] for by_row in scores.values()))
        click.echo(f"{row.replace('_', ' '):12}" + "".join(f"{cell:>22}" for cell in cells))
    click.echo()
