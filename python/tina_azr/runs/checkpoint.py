"""Checkpoints: everything that a resume needs, written beside and renamed, checked byte for byte before it is used.

    checkpoints/step-N/
        model/                  the policy as an ordinary model folder: `--set model.name=.../step-N/model` plays with it
        optimizer.safetensors   the optimizer's moments
        heads.safetensors       the heads' weights and moments, and the labels that they still learn from
        trainer.json            step, seconds, the learner's plain state, the configuration's digest
        tasks.sqlite            the task buffer as it was
        manifest.json           SHA-256 and size of each of these; written last

There is no random state to save: every random choice derives from (seed, step, phase). Nothing here is a pickle.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from safetensors.torch import load_file, save_file
from torch import Tensor

from tina_azr.config import Config
from tina_azr.errors import CheckpointError, RunError
from tina_azr.introspection.calibration import CALIBRATION
from tina_azr.introspection.heads_file import AnyHeads, HeadFacts, save_all_heads, weights_digest
from tina_azr.model.loading import Policy
from tina_azr.model.saving import save_policy
from tina_azr.runs.files import sync, write_text
from tina_azr.runs.folder import RunFolder, config_digest

_FORMAT = 1
_MANIFEST = "manifest.json"
_SPARE_BYTES = 4 * 1024 * 1024


class LearnerState(Protocol):
    """The part of `Learner` that a checkpoint holds beside the policy's weights."""

    def state_tensors(self) -> dict[str, Tensor]: ...

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None: ...

    def state_json(self) -> Mapping[str, object]: ...

    def load_state_json(self, state: Mapping[str, object]) -> None: ...


class HeadState(Protocol):
    """The part of `HeadLearner` that a checkpoint holds."""

    @property
    def heads(self) -> Mapping[str, AnyHeads]: ...

    @property
    def labels(self) -> int: ...

    def state_tensors(self) -> dict[str, Tensor]: ...

    def state_json(self) -> Mapping[str, object]: ...

    def load_state(self, tensors: Mapping[str, Tensor], state: Mapping[str, object]) -> None: ...


class TaskStore(Protocol):
    """The part of `TaskBuffer` that a checkpoint holds."""

    def snapshot_to(self, path: Path) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint whose every byte has been verified."""

    path: Path
    step: int
    seconds: float
    config_digest: str
    learner_state: Mapping[str, object]
    heads_state: Mapping[str, object] | None = None
    """None for a run without heads."""

    @property
    def model_folder(self) -> Path:
        """For `load_policy`."""
        return self.path / "model"

    @property
    def tasks_file(self) -> Path:
        return self.path / "tasks.sqlite"

    def restore_learner(self, learner: LearnerState, heads: HeadState | None = None) -> None:
        """Give a learner, built on the policy of `model_folder`, the optimizer state that it had; and so the heads."""
        learner.load_state_tensors(load_file(self.path / "optimizer.safetensors"))
        learner.load_state_json(self.learner_state)
        if heads is not None and self.heads_state is not None:
            heads.load_state(load_file(self.path / "heads.safetensors"), self.heads_state)


def save_checkpoint(
    run: RunFolder,
    *,
    step: int,
    seconds: float,
    config: Config,
    policy: Policy,
    learner: LearnerState,
    buffer: TaskStore,
    heads: HeadState | None = None,
) -> Path:
    """Write the checkpoint of `step`, then `prune_checkpoints`. What exists is touched only after it is whole."""
    final = run.checkpoint(step)
    if final.exists():
        read_checkpoint(final)
        return final
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in learner.state_tensors().items()}
    _check_space(run, policy, tensors, step)
    beside = final.with_name(f".step-{step}.part")
    _remove_unfinished(run)
    try:
        with run.writing(f"checkpoint step-{step}"):
            beside.mkdir(parents=True)
            save_policy(policy, beside / "model")
            save_file(tensors, beside / "optimizer.safetensors")
            if heads is not None:
                _save_heads(heads, policy, step, beside)
            buffer.snapshot_to(beside / "tasks.sqlite")
            trainer = {
                "format": _FORMAT,
                "step": step,
                "seconds": seconds,
                "config_digest": config_digest(config),
                "learner": learner.state_json(),
                "heads": heads.state_json() if heads is not None else None,
            }
            write_text(beside / "trainer.json", json.dumps(trainer, indent=2) + "\n")
            _write_manifest(beside, step)
            if run.metrics_file.exists():
                sync(run.metrics_file)  # a checkpoint promises that the lines up to its step are there
            beside.rename(final)
            sync(run.checkpoints)
    except RunError:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    prune_checkpoints(run, keep=config.run.keep_checkpoints, needed=policy.folder)
    return final


def read_checkpoint(path: Path) -> Checkpoint:
    """Verify a checkpoint against its manifest and read what is small. Raises CheckpointError naming the first fault."""
    manifest = _read_json(path / _MANIFEST)
    files = manifest.get("files")
    if manifest.get("format") != _FORMAT or not isinstance(files, dict):
        raise CheckpointError(f"{path / _MANIFEST} is not of format {_FORMAT}: the checkpoint is from another version or damaged")
    for name, expected in files.items():
        if not (path / name).is_file():
            raise CheckpointError(f"{path / name} is missing")
        if (path / name).stat().st_size != expected["bytes"] or _sha256(path / name) != expected["sha256"]:
            raise CheckpointError(f"{path / name} is damaged: its content is not what was written")
    trainer = _read_json(path / "trainer.json")
    try:
        return Checkpoint(
            path=path,
            step=trainer["step"],
            seconds=trainer["seconds"],
            config_digest=trainer["config_digest"],
            learner_state=trainer["learner"],
            heads_state=trainer["heads"],
        )
    except KeyError as error:
        raise CheckpointError(f"{path / 'trainer.json'} lacks the field {error}: the checkpoint is from another version") from error


def find_checkpoint(run: RunFolder, step: int | None = None) -> Checkpoint | None:
    """The checkpoint of `step`, or the newest; None if the run has none yet. A damaged one is never passed over silently."""
    steps = run.checkpoint_steps()
    if step is not None and step not in steps:
        there = ", ".join(map(str, steps)) or "none yet"
        raise CheckpointError(f"{run.path} has no checkpoint of step {step} (there are: {there})")
    if not steps:
        return None
    chosen = steps[-1] if step is None else step
    try:
        return read_checkpoint(run.checkpoint(chosen))
    except CheckpointError as error:
        raise CheckpointError(f"{error}. {_way_out(run, chosen)}") from error


def renew_heads_in_manifest(model_folder: Path) -> None:
    """Where a checkpoint's model has been given other heads: its manifest speaks of these. Nothing happens to any other folder."""
    path = model_folder.parent / _MANIFEST
    if not path.is_file():
        return
    manifest = _read_json(path)
    entries = {file.relative_to(path.parent).as_posix(): _entry(file) for file in model_folder.glob("heads*")}
    write_text(path, json.dumps({**manifest, "files": {**manifest["files"], **entries}}, indent=2) + "\n")


def prune_checkpoints(run: RunFolder, *, keep: int, needed: Path | None = None) -> None:
    """Remove the oldest checkpoints, so that `keep` remain.

    The one that holds the folder `needed` stays as well: a resumed policy's tokenizer files are copied from there with every save. And
    so does each that `tina-azr calibrate` has written to: what was fitted belongs to those weights and lies nowhere else.
    """
    for step in run.checkpoint_steps()[:-keep]:
        lived_in = needed is not None and needed.resolve().is_relative_to(run.checkpoint(step).resolve())
        if lived_in or (run.checkpoint(step) / "model" / CALIBRATION).exists():
            continue
        gone = run.checkpoints / f".step-{step}.pruned"
        run.checkpoint(step).rename(gone)  # so that a kill half-way leaves nothing that looks like a checkpoint
        shutil.rmtree(gone)


def _save_heads(heads: HeadState, policy: Policy, step: int, folder: Path) -> None:
    """For the resume, all of their state; beside the policy, what an engine loads: the acting heads, and the others by name."""
    save_file({name: tensor.cpu().contiguous() for name, tensor in heads.state_tensors().items()}, folder / "heads.safetensors")
    facts = HeadFacts(policy_digest=weights_digest(policy.module), labels=heads.labels, step=step)
    save_all_heads(heads.heads, facts, folder / "model")


def _way_out(run: RunFolder, damaged: int) -> str:
    for step in reversed(run.checkpoint_steps()):
        if step != damaged and _is_whole(run.checkpoint(step)):
            return f"Nothing was changed. Checkpoint step-{step} is whole: tina-azr train --resume {run.path} --from-step {step}"
    return f"Nothing was changed. No other checkpoint is whole; to start over: tina-azr train --config {run.config_file} --name ANOTHER"


def _is_whole(path: Path) -> bool:
    try:
        read_checkpoint(path)
    except CheckpointError:
        return False
    return True


def _check_space(run: RunFolder, policy: Policy, tensors: Mapping[str, Tensor], step: int) -> None:
    # Better to stop before the first byte than after most of 48 GB. The write itself may still fail and is guarded as well.
    weights = sum(p.numel() * p.element_size() for p in policy.module.parameters())
    tasks = run.tasks_file.stat().st_size if run.tasks_file.exists() else 0
    needed = weights + tasks + sum(t.numel() * t.element_size() for t in tensors.values()) + _SPARE_BYTES
    if shutil.disk_usage(run.path).free < needed:
        raise run.full_disk(f"checkpoint step-{step} ({needed / 1e6:.0f} MB)")


def _remove_unfinished(run: RunFolder) -> None:
    for leftover in (*run.checkpoints.glob(".step-*.part"), *run.checkpoints.glob(".step-*.pruned")):
        shutil.rmtree(leftover)


def _write_manifest(folder: Path, step: int) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        sync(path)
    entries = {path.relative_to(folder).as_posix(): _entry(path) for path in files}
    write_text(folder / _MANIFEST, json.dumps({"format": _FORMAT, "step": step, "files": entries}, indent=2) + "\n")


def _entry(path: Path) -> dict[str, object]:
    return {"sha256": _sha256(path), "bytes": path.stat().st_size}


def _read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is damaged: no JSON object")
    return value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
