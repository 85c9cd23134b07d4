"""Heads in a checkpoint: their whole state for a resume, and files beside the policy that an engine finds."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from tina_azr.config import Config, load_config
from tina_azr.engine.loading import find_introspector, model_folder, open_engine
from tina_azr.errors import CheckpointError
from tina_azr.introspection.heads_file import HeadFacts, head_names, load_heads, save_all_heads, weights_digest
from tina_azr.model.loading import Policy
from tina_azr.rollout.types import Completion, StopCause
from tina_azr.runs.checkpoint import find_checkpoint, read_checkpoint, renew_heads_in_manifest, save_checkpoint
from tina_azr.runs.folder import RunFolder
from tina_azr.selfplay.types import Rollout, RolloutGroup
from tina_azr.tasks.buffer import TaskBuffer
from tina_azr.tasks.types import Role, Task, Verdict
from tina_azr.train.heads.learner import HeadLearner
from tina_azr.train.learner import Learner


@pytest.fixture
def settings() -> Config:
    return load_config(
        overrides=["introspection.heads=[linked,linear]", "introspection.width=8", "introspection.calibration_share=0"]
    )


def group(number: int) -> RolloutGroup:
    draw = np.random.default_rng(number)
    completions = [
        Completion(
            ids_T=np.full(6, index, dtype=np.int64),
            logprobs_T=np.full(6, -0.5, dtype=np.float32),
            forced_T=np.zeros(6, dtype=np.bool_),
            stop_cause=StopCause.STOP_ID,
            think_tokens=3,
            forced_close=False,
            close_states_LH=draw.normal(size=(2, 32)).astype(np.float32),
        )
        for index in range(4)
    ]
    task = Task(key=draw.bytes(32).hex(), mode="deduction", program="def f(x):\n    return x", input="1", output="1")
    return RolloutGroup(
        task=task,
        rollouts=tuple(
            Rollout(
                role=Role.SOLVER,
                mode=task.mode,
                group=task.key,
                index=index,
                prompt_ids=(1,),
                completion=one,
                answer="",
                verdict=Verdict.CORRECT if index % 2 else Verdict.WRONG,
            )
            for index, one in enumerate(completions)
        ),
        prompt_states_LH=draw.normal(size=(2, 32)).astype(np.float32),
    )


@pytest.fixture
def heads(byte_policy: Policy, settings: Config) -> HeadLearner:
    learner = HeadLearner(byte_policy, settings)
    learner.update(1, [group(number) for number in range(8)])
    return learner


@pytest.fixture
def buffer(run: RunFolder, config: Config) -> Iterator[TaskBuffer]:
    with TaskBuffer.create(run.tasks_file, config.tasks, ()) as opened:
        yield opened


Save = Callable[..., Path]


@pytest.fixture
def save(run: RunFolder, byte_policy: Policy, settings: Config, heads: HeadLearner, buffer: TaskBuffer) -> Save:
    def once(step: int = 1, *, with_heads: bool = True) -> Path:
        return save_checkpoint(
            run,
            step=step,
            seconds=1.0,
            config=settings,
            policy=byte_policy,
            learner=Learner(byte_policy, settings),
            buffer=buffer,
            heads=heads if with_heads else None,
        )

    return once


def test_their_whole_state_comes_back(
    run: RunFolder, save: Save, byte_policy: Policy, settings: Config, heads: HeadLearner
) -> None:
    save()
    found = find_checkpoint(run)
    assert found is not None
    restored = HeadLearner(byte_policy, settings)
    found.restore_learner(Learner(byte_policy, settings), restored)
    assert restored.state_json() == heads.state_json()
    ours, theirs = heads.state_tensors(), restored.state_tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_an_engine_finds_those_that_act_and_nothing_to_doubt(
    run: RunFolder, save: Save, byte_policy: Policy, heads: HeadLearner
) -> None:
    save()
    engine = open_engine(model_folder(str(run.path)), device="cpu")
    assert engine.introspector is not None
    assert engine.notes == ()
    assert weights_digest(cast(Any, engine.introspector.heads)) == weights_digest(heads.heads["linked"])


def test_those_for_comparison_lie_beside_them_by_name(save: Save, heads: HeadLearner) -> None:
    folder = save() / "model"
    assert head_names(folder) == ("linear",)
    stored = load_heads(folder, "linear")
    assert stored is not None
    assert stored.digest == weights_digest(heads.heads["linear"])
    assert (stored.facts.labels, stored.facts.step) == (8, 1)


@pytest.mark.parametrize(
    "name", ["heads.safetensors", "model/heads.safetensors", "model/heads.json", "model/heads.linear.safetensors"]
)
def test_one_changed_bit_in_them_is_found(save: Save, name: str) -> None:
    path = save() / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(CheckpointError, match=f"{Path(name).name} is damaged"):
        read_checkpoint(path.parent if name.count("/") == 0 else path.parent.parent)


def test_a_checkpoint_whose_heads_were_fitted_again_is_whole(save: Save, byte_policy: Policy, heads: HeadLearner) -> None:
    folder = save()
    heads.update(2, [])
    facts = HeadFacts(policy_digest=weights_digest(byte_policy.module), labels=8, step=0)
    save_all_heads(heads.heads, facts, folder / "model")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_checkpoint(folder)
    renew_heads_in_manifest(folder / "model")
    assert read_checkpoint(folder).step == 1


def test_a_run_without_heads_has_none_in_its_checkpoint(save: Save, byte_policy: Policy, settings: Config) -> None:
    folder = save(with_heads=False)
    assert not list(folder.rglob("heads*"))
    checkpoint = read_checkpoint(folder)
    assert checkpoint.heads_state is None
    assert find_introspector(byte_policy) == (None, [])
    fresh, restored = HeadLearner(byte_policy, settings), HeadLearner(byte_policy, settings)
    checkpoint.restore_learner(Learner(byte_policy, settings), restored)
    assert restored.state_json() == fresh.state_json()
