"""`tina-azr train`: the command. The training loop is in `tina_azr.train.trainer`.

The configuration is checked before torch is imported, so that a wrong flag is reported at once.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tina_azr.cli.main import INTERRUPTED
from tina_azr.cli.model_options import config_options
from tina_azr.errors import ConfigError

if TYPE_CHECKING:
    from tina_azr.cli.train.plan import Plan
    from tina_azr.config import Flag


EPILOG = """\b
Examples:
  tina-azr train                                the embedded model, 15 minutes on two cores
  tina-azr train --steps 5 --name first         a short try, in runs/first
  tina-azr train --preset qwen3-4b-thinking --dry-run
                                                check whether it would work here, and what it needs
  tina-azr train --set learning.lr=1e-4 --seed 1
  tina-azr train --resume                       resume the run that was last written to
  tina-azr train --resume runs/first --steps 90 resume it with a later goal

\b
Exit status: 0 finished, 130 stopped by Ctrl-C (saved), 2 wrong configuration or flag, 1 anything else.
"""


@click.command(epilog=EPILOG)
@config_options
@click.option("--steps", type=int, metavar="N", help="The same as --set run.steps=N.")
@click.option("--minutes", type=float, metavar="M", help="The same as --set run.max_minutes=M.")
@click.option("--seed", type=int, metavar="S", help="The same as --set seed=S.")
@click.option("--name", metavar="NAME", help="Name of the run: its folder is runs/NAME. Default: date, time and model.")
@click.option("--run-dir", type=click.Path(path_type=Path), metavar="FOLDER", help="Folder of the run itself, anywhere.")
@click.option("--resume", is_flag=False, flag_value="latest", metavar="[RUN]", help="Resume a run; without RUN the latest.")
@click.option("--from-step", type=int, metavar="N", help="With --resume: from the checkpoint of step N instead of the newest.")
@click.option("--dry-run", is_flag=True, help="Check everything and print what would be run; train nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end (report.json); the rest goes to stderr.")
def train(
    preset: str | None,
    config_file: Path | None,
    overrides: tuple[str, ...],
    steps: int | None,
    minutes: float | None,
    seed: int | None,
    name: str | None,
    run_dir: Path | None,
    resume: str | None,
    from_step: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Train a model by self-play; without arguments the embedded one, for 15 minutes.

    The model proposes tasks, the sandbox validates them, the model solves them and learns from the outcome. Accuracy is measured on
    held-out tasks. Everything a run makes is in one folder; Ctrl-C saves and shows how to resume.
    """
    from rich.console import Console

    from tina_azr.cli.console import loading, print_line
    from tina_azr.config import Flag

    flags = (Flag("--steps", "run.steps", steps), Flag("--minutes", "run.max_minutes", minutes), Flag("--seed", "seed", seed))
    changes: tuple[str | Flag, ...] = (*overrides, *(flag for flag in flags if flag.value is not None))
    plan = _plan(preset, config_file, changes, name=name, run_dir=run_dir, resume=resume, from_step=from_step)
    console = Console(stderr=as_json, highlight=False)
    if dry_run:
        with loading("torch", shown=not as_json):
            from tina_azr.cli.train.dry_run import check_plan

        check_plan(plan, console)
        return
    try:
        with loading("torch", shown=not as_json):
            from tina_azr.cli.train.session import run_session

        report, stopped = run_session(plan, console)
    except KeyboardInterrupt:
        print_line(console, _stopped_at_once(plan))
        raise click.exceptions.Exit(INTERRUPTED) from None
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    if stopped:
        raise click.exceptions.Exit(INTERRUPTED)


def _plan(
    preset: str | None,
    config_file: Path | None,
    changes: "tuple[str | Flag, ...]",
    *,
    name: str | None,
    run_dir: Path | None,
    resume: str | None,
    from_step: int | None,
) -> "Plan":
    from tina_azr.cli.train.plan import plan_new, plan_resume
    from tina_azr.config import RUNS

    if name is not None and run_dir is not None:
        raise ConfigError("--name and --run-dir both set the folder of the run: give one.")
    if name is not None and (Path(name).name != name or name in ("", ".", "..")):
        raise ConfigError(f"--name {name}: a name is one plain word below {RUNS}/; a path goes with --run-dir.")
    path = RUNS / name if name is not None else run_dir
    if resume is None:
        if from_step is not None:
            raise ConfigError("--from-step belongs to --resume: a new run starts at step 0.")
        return plan_new(config_file, changes, preset=preset, path=path)
    if config_file is not None or preset is not None:
        raise ConfigError("--resume continues with the run's own config.yaml: leave --config and --preset out.")
    return plan_resume(resume, changes, path=path, from_step=from_step)


def _stopped_at_once(plan: "Plan") -> str:
    from tina_azr.runs.folder import RunFolder

    if not plan.path.exists():
        return "Stopped before the run began; nothing was written."
    steps = RunFolder(plan.path).checkpoint_steps()
    where = f"checkpoint step-{steps[-1]}" if steps else "the beginning, because there is no checkpoint yet"
    return f"Stopped at once, without saving. To resume from {where}: tina-azr train --resume {plan.path}"
