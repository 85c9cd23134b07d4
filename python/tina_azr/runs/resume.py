"""Bring a run folder back to a checkpoint, so that going on gives what an uninterrupted run would have given.

Safe to repeat: killed half-way, the next resume does the same again.
"""

import shutil

from tina_azr.config import Config
from tina_azr.errors import CheckpointError
from tina_azr.runs.checkpoint import Checkpoint, find_checkpoint
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics_file import cut_metrics
from tina_azr.runs.rollouts_file import cut_rollouts


def rewind(run: RunFolder, config: Config, step: int | None = None) -> Checkpoint | None:
    """Cut metrics, rollouts and tasks back to the checkpoint of `step` (None: the newest) and return it.

    None when the run was stopped before its first checkpoint: then it starts over, in the same folder. Checkpoints later than the
    chosen one are set aside under another name, not deleted.
    """
    checkpoint = find_checkpoint(run, step)
    if checkpoint is None:
        cut_metrics(run, -1)
        cut_rollouts(run, -1)
        _remove_tasks(run)
        return None
    if not run.is_digest_of(checkpoint.config_digest, config):
        raise CheckpointError(
            f"{checkpoint.path} was made with another configuration than {run.config_file} now holds; only the `run` section may "
            "change on the way. Put the old values back, or start a new run from its weights: "
            f"tina-azr train --config {run.config_file} --set model.name={checkpoint.model_folder}"
        )
    for later in (n for n in run.checkpoint_steps() if n > checkpoint.step):
        _set_aside(run, later)
    cut_metrics(run, checkpoint.step)
    cut_rollouts(run, checkpoint.step)
    _remove_tasks(run)
    with run.writing("tasks.sqlite"):
        shutil.copyfile(checkpoint.tasks_file, run.tasks_file)
    return checkpoint


def _remove_tasks(run: RunFolder) -> None:
    # With its write-ahead log: replayed onto another database that would corrupt it.
    for suffix in ("", "-wal", "-shm"):
        run.tasks_file.with_name(run.tasks_file.name + suffix).unlink(missing_ok=True)


def _set_aside(run: RunFolder, step: int) -> None:
    aside, count = run.checkpoints / f"aside-step-{step}", 1
    while aside.exists():
        count += 1
        aside = run.checkpoints / f"aside-step-{step}-{count}"
    run.checkpoint(step).rename(aside)
