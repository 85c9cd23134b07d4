"""Checkpoints: whole or not there, verified before use, never lost to the next one."""

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import Qwen3Config, Qwen3ForCausalLM

from tina_azr.config import Config, load_config
from tina_azr.errors import CheckpointError, RunError
from tina_azr.introspection.calibration import CALIBRATION, Calibration
from tina_azr.model.loading import Policy, load_policy
from tina_azr.runs import checkpoint as module
from tina_azr.runs.checkpoint import find_checkpoint, read_checkpoint, save_checkpoint
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import HeldoutMetrics, StepMetrics
from tina_azr.runs.metrics_file import MetricsWriter, read_metrics
from tina_azr.runs.resume import rewind
from tina_azr.tasks.buffer import TaskBuffer, TaskResult
from tina_azr.tasks.types import Task
from tina_azr.text.style import PromptStyle


class Moments:
    """A learner's state and nothing else."""

    def __init__(self) -> None:
        self.tensors = {"exp_avg.weight": torch.zeros(3, 2), "exp_avg_sq.weight": torch.zeros(3, 2)}
        self.json: Mapping[str, object] = {"updates": 0}

    def state_tensors(self) -> dict[str, Tensor]:
        return self.tensors

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = dict(tensors)

    def state_json(self) -> Mapping[str, object]:
        return self.json

    def load_state_json(self, state: Mapping[str, object]) -> None:
        self.json = state


@pytest.fixture
def policy(tmp_path: Path) -> Policy:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "tokenizer.json").write_text("{}")
    torch.manual_seed(0)
    shape = Qwen3Config(
        vocab_size=32,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        tie_word_embeddings=True,
    )
    return Policy(
        module=Qwen3ForCausalLM(shape),
        tokenizer=cast(Any, None),  # saving copies the tokenizer's files; it never asks the tokenizer
        name="test",
        folder=folder,
        style=PromptStyle.COMPACT,
        device=torch.device("cpu"),
        closing_ids=(),
    )


@pytest.fixture
def buffer(run: RunFolder, config: Config) -> Iterator[TaskBuffer]:
    with TaskBuffer.create(run.tasks_file, config.tasks, ()) as buffer:
        yield buffer


Save = Callable[..., Path]


@pytest.fixture
def save(run: RunFolder, config: Config, policy: Policy, buffer: TaskBuffer) -> Save:
    """`save(step, learner)` after a step that added a task."""

    def save(step: int, learner: Moments | None = None, policy: Policy = policy) -> Path:
        last = buffer.last_step or 0
        for each in range(last + 1, step + 1):
            task = Task(key=f"{each:064x}", mode="deduction", program=f"def f(x):\n    return x + {each}", input="1", output="2")
            buffer.record_step(each, [TaskResult(task=task, correct=1, attempts=2)])
        return save_checkpoint(
            run, step=step, seconds=6.5 * step, config=config, policy=policy, learner=learner or Moments(), buffer=buffer
        )

    return save


def _keys(path: Path) -> list[str]:
    connection = sqlite3.connect(path)
    try:
        return [key for (key,) in connection.execute("select key from tasks order by id")]
    finally:
        connection.close()


def _flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


def test_everything_comes_back_to_the_bit(run: RunFolder, save: Save, policy: Policy) -> None:
    learner = Moments()
    learner.tensors = {"exp_avg.weight": torch.randn(5, 3), "exp_avg_sq.weight": torch.rand(5, 3)}
    learner.json = {"updates": 7}
    save(7, learner)
    checkpoint = find_checkpoint(run)
    assert checkpoint is not None
    assert (checkpoint.step, checkpoint.seconds) == (7, 45.5)

    restored = Moments()
    checkpoint.restore_learner(restored)
    assert restored.json == {"updates": 7}
    assert all(torch.equal(restored.tensors[name], tensor) for name, tensor in learner.tensors.items())
    weights = Qwen3ForCausalLM.from_pretrained(checkpoint.model_folder).state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in policy.module.state_dict().items())


def test_the_manifest_covers_every_other_file(save: Save) -> None:
    folder = save(1)
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert set(json.loads((folder / "manifest.json").read_text())["files"]) == files - {"manifest.json"}
    assert {"model/config.json", "model/model.safetensors", "model/tokenizer.json"} < files
    assert {"optimizer.safetensors", "trainer.json", "tasks.sqlite"} < files


def test_nothing_is_a_pickle(save: Save) -> None:
    for path in save(1).rglob("*"):
        assert path.suffix in ("", ".json", ".safetensors", ".sqlite")


def test_the_newest_are_kept(run: RunFolder, save: Save) -> None:
    for step in (1, 2, 3, 10):
        save(step)
    assert run.checkpoint_steps() == [3, 10]
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["step-10", "step-3"]


def test_the_checkpoint_that_a_resumed_policy_lives_in_is_not_pruned(run: RunFolder, save: Save, policy: Policy) -> None:
    resumed = Policy(
        **{name: getattr(policy, name) for name in ("module", "tokenizer", "name", "style", "device", "closing_ids")},
        folder=save(1) / "model",
    )
    for step in (2, 3, 4):
        save(step, policy=resumed)
    assert run.checkpoint_steps() == [1, 3, 4]
    assert (run.checkpoint(4) / "model" / "tokenizer.json").is_file()


def test_a_checkpoint_that_holds_a_calibration_is_not_pruned(run: RunFolder, save: Save) -> None:
    Calibration.identity().save(save(1) / "model" / CALIBRATION)
    for step in (2, 3, 4):
        save(step)
    assert run.checkpoint_steps() == [1, 3, 4]
    assert (run.checkpoint(1) / "model" / CALIBRATION).is_file()


def test_saving_a_step_again_changes_nothing(save: Save) -> None:
    first = {path: path.stat().st_mtime_ns for path in save(2).rglob("*")}
    assert {path: path.stat().st_mtime_ns for path in save(2).rglob("*")} == first


@pytest.mark.parametrize(
    "name", ["model/model.safetensors", "model/config.json", "optimizer.safetensors", "trainer.json", "tasks.sqlite"]
)
def test_one_changed_bit_is_found_and_the_way_out_is_named(run: RunFolder, save: Save, name: str) -> None:
    save(1)
    _flip_a_byte(save(2) / name)
    before = sorted(run.path.rglob("*"))
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint(run)
    assert str(caught.value) == (
        f"{run.checkpoint(2) / name} is damaged: its content is not what was written. Nothing was changed. "
        f"Checkpoint step-1 is whole: tina-azr train --resume {run.path} --from-step 1"
    )
    assert sorted(run.path.rglob("*")) == before


def test_a_missing_file_is_found(run: RunFolder, save: Save) -> None:
    (save(1) / "optimizer.safetensors").unlink()
    with pytest.raises(
        CheckpointError, match=r"optimizer\.safetensors is missing\. Nothing was changed\. No other checkpoint is whole"
    ):
        find_checkpoint(run)


def test_an_unreadable_manifest_is_found(run: RunFolder, save: Save) -> None:
    (save(1) / "manifest.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"manifest\.json cannot be read"):
        find_checkpoint(run)


def test_a_manifest_of_another_format_is_refused(save: Save) -> None:
    folder = save(1)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"format": 2}))
    with pytest.raises(CheckpointError, match="not of format 1"):
        read_checkpoint(folder)


def test_a_step_that_was_never_saved_names_those_that_were(run: RunFolder, save: Save) -> None:
    save(1)
    save(2)
    with pytest.raises(CheckpointError, match=r"has no checkpoint of step 5 \(there are: 1, 2\)"):
        find_checkpoint(run, 5)


@pytest.mark.parametrize("part", ["save_policy", "save_file", "_write_manifest"])
def test_a_disk_that_fills_up_keeps_the_previous_checkpoint(
    run: RunFolder, save: Save, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    save(1)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, part, fail)
    with pytest.raises(RunError) as caught:
        save(2)
    assert str(caught.value) == (
        f"the disk is full: could not write checkpoint step-2 in {run.path}; checkpoint step-1 is whole and kept. "
        f"Free some space, then: tina-azr train --resume {run.path}"
    )
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-1"]
    monkeypatch.undo()
    save(2)
    found = find_checkpoint(run)
    assert found is not None
    assert found.step == 2


def test_a_disk_with_too_little_room_is_refused_before_the_first_byte(
    run: RunFolder, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(1)
    usage = shutil.disk_usage(run.path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(RunError, match=r"could not write checkpoint step-2 \(4 MB\)"):
        save(2)
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-1"]


def test_what_a_kill_left_half_written_is_cleared_away(run: RunFolder, save: Save) -> None:
    (run.checkpoints / ".step-1.part" / "model").mkdir(parents=True)
    (run.checkpoints / ".step-0.pruned").mkdir()
    save(2)
    assert [path.name for path in run.checkpoints.iterdir()] == ["step-2"]


def test_rewinding_brings_tasks_and_metrics_back_to_the_checkpoint(
    run: RunFolder,
    config: Config,
    save: Save,
    buffer: TaskBuffer,
    step_metrics: Callable[..., StepMetrics],
    heldout_metrics: Callable[..., HeldoutMetrics],
) -> None:
    writer = MetricsWriter(run)
    writer.on_heldout(heldout_metrics(0))
    for step in (1, 2, 3):
        writer.on_step(step_metrics(step))
    save(2)
    lines = run.metrics_file.read_text().splitlines(keepends=True)
    task = Task(key="f" * 64, mode="deduction", program="def f(x):\n    return x", input="1", output="1")
    buffer.record_step(3, [TaskResult(task=task, correct=0, attempts=2)])
    assert "f" * 64 in _keys(run.tasks_file)
    # The buffer is still open, as a killed process leaves it: with a write-ahead log that must not survive.
    checkpoint = rewind(run, config)
    assert checkpoint is not None
    assert checkpoint.step == 2
    assert run.metrics_file.read_text() == "".join(lines[:3])
    assert _keys(run.tasks_file) == [f"{1:064x}", f"{2:064x}"]
    assert not run.tasks_file.with_name("tasks.sqlite-wal").exists()


def test_rewinding_twice_is_rewinding_once(run: RunFolder, config: Config, save: Save) -> None:
    save(2)
    first, second = rewind(run, config), rewind(run, config)
    assert first == second
    assert _keys(run.tasks_file) == [f"{1:064x}", f"{2:064x}"]


def test_rewinding_to_an_earlier_step_sets_later_checkpoints_aside(run: RunFolder, config: Config, save: Save) -> None:
    save(1)
    save(2)
    checkpoint = rewind(run, config, 1)
    assert checkpoint is not None
    assert checkpoint.step == 1
    assert sorted(path.name for path in run.checkpoints.iterdir()) == ["aside-step-2", "step-1"]
    read_checkpoint(run.checkpoints / "aside-step-2")


def test_a_run_without_a_checkpoint_starts_over(
    run: RunFolder, config: Config, buffer: TaskBuffer, step_metrics: Callable[..., StepMetrics]
) -> None:
    MetricsWriter(run).on_step(step_metrics(1))
    assert rewind(run, config) is None
    assert read_metrics(run).steps == ()
    assert not run.tasks_file.exists()


def test_another_configuration_is_refused_and_nothing_is_cut(
    run: RunFolder, save: Save, step_metrics: Callable[..., StepMetrics]
) -> None:
    save(1)
    MetricsWriter(run).on_step(step_metrics(2))
    before = run.metrics_file.read_bytes()
    with pytest.raises(CheckpointError, match="made with another configuration"):
        rewind(run, load_config(overrides=["learning.lr=0.5"]))
    assert run.metrics_file.read_bytes() == before


@pytest.mark.parametrize("padding", [0, 8, 16, 24])
def test_weights_are_aligned_wherever_they_begin_in_their_file(byte_model: Path, tmp_path: Path, padding: int) -> None:
    # Matrix products round differently on data that is not aligned: a run resumed from such a file drifts off in the last bit.
    folder = Path(shutil.copytree(byte_model, tmp_path / "copy"))
    weights = load_file(folder / "model.safetensors")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt", "padding": "x" * padding})
    policy = load_policy(str(folder), device="cpu")
    assert {parameter.data_ptr() % 64 for parameter in policy.module.parameters()} == {0}
    loaded = policy.module.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())
