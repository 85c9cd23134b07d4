"""Plan of a `tina-azr train` command line: a new or an existing run, and its configuration. Nothing is written here."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tina_azr.config import RUNS, Config, Flag, load_config
from tina_azr.errors import ConfigError, RunError
from tina_azr.formatting import counted
from tina_azr.runs.find import find_run, latest_run
from tina_azr.runs.folder import RunFolder, config_digest, new_run_path
from tina_azr.runs.status import RunState, RunStatus

LATEST = "latest"
"""Value of `--resume` without a run: the run that was last written to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Run to start or to resume."""

    path: Path
    config: Config
    resume: bool
    from_step: int | None = None
    """Checkpoint to resume from; None: the newest."""


def plan_new(config_file: Path | None, overrides: Sequence[str | Flag], *, preset: str | None = None, path: Path | None) -> Plan:
    """Plan a new run at `path`, or under a dated name below `./runs`. Raises ConfigError."""
    config = load_config(config_file, overrides, preset=preset)
    return Plan(path=path or new_run_path(RUNS, config.model.name, datetime.now()), config=config, resume=False)


def plan_resume(run_name: str, overrides: Sequence[str | Flag], *, path: Path | None, from_step: int | None) -> Plan:
    """Plan to resume a run with its own configuration. `overrides` may change only the `run` section.

    Raises ConfigError for any other change, and RunError if no steps are left to train.
    """
    if path is not None and run_name != LATEST:
        raise ConfigError(f"--resume {run_name} and --run-dir or --name {path} name a run each: give one.")
    if path is None:
        path = (latest_run() if run_name == LATEST else find_run(run_name)).path
    run = RunFolder.open(path)
    own, config = run.read_config(), run.read_config(overrides)
    if config_digest(own) != config_digest(config):
        raise ConfigError(
            f"{run.path} resumes with the configuration that it was started with: only values of the `run` section (--steps, --minutes, "
            "--set run.*) may change. For anything else start a new run, if you like from its weights: "
            "--set model.name=RUN/checkpoints/step-N/model"
        )
    minutes = "" if own.run.max_minutes is None else f" or {own.run.max_minutes:g} minutes"
    if _is_over(run, own) and config.run == own.run and from_step is None:
        raise RunError(
            f"{run.path} is {run.describe()} and has reached its goal of {counted(own.run.steps, 'step')}{minutes}. "
            "To train it further give a later one: --steps N, --minutes M, or both."
        )
    done = run.read_status().step if run.status_file.exists() else 0
    # A run that was stopped in its last evaluation has all of its own steps, and something to do.
    asked = config.run.steps != own.run.steps or _is_over(run, own)
    if asked and done >= config.run.steps and from_step is None:
        raise RunError(
            f"{run.path} is {run.describe()}, so nothing is left to do of {counted(config.run.steps, 'step')}. "
            f"Give more than {done}, or --from-step N to resume from an earlier checkpoint."
        )
    return Plan(path=run.path, config=config, resume=True, from_step=from_step)


def resume_command(run: RunFolder, config: Config, seconds: float, *, time_over: bool) -> str:
    """Return the command that resumes a run after `seconds` of training. If its time is over, the command doubles its minutes."""
    minutes = max(config.run.max_minutes or 0.0, math.ceil(seconds / 60))
    return f"tina-azr train --resume {run.path}" + (f" --minutes {2 * minutes:g}" if time_over else "")


def _is_over(run: RunFolder, config: Config) -> bool:
    if not run.status_file.exists():
        return False
    status: RunStatus = run.read_status()
    return status.state is RunState.FINISHED
