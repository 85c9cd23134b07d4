"""Whole runs with heads: what introspection may not change it does not change by one bit, and what is resumed goes on to the bit."""

import hashlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tina_azr.config import Config, load_config
from tina_azr.introspection.heads_file import head_names, load_heads, weights_digest
from tina_azr.model.loading import load_policy
from tina_azr.runs.checkpoint import Checkpoint
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import deterministic
from tina_azr.runs.metrics_file import MetricsWriter
from tina_azr.runs.resume import rewind
from tina_azr.selfplay.episode import SelfPlay
from tina_azr.selfplay.introspection import SelfPlayIntrospection
from tina_azr.tasks.buffer import TaskBuffer
from tina_azr.tasks.types import Reference
from tina_azr.train.assembly import Parts
from tina_azr.train.heads.learner import HeadLearner, HeadRecipe
from tina_azr.train.learner import Learner
from tina_azr.train.trainer import Trainer

SEEDS = (Reference(program="def f(x):\n    return x + 1", input="2", output="3"),)


def talk(prompt: str, index: int, seed: int) -> str:
    """Propose a program that depends on the seed; answer rightly in some cases."""
    if "Predict" not in prompt:
        return f"\n</think>\n\n```python\ndef f(x):\n    return x * {seed % 997} + x\n```\n```input\n3\n```\n"
    factor = int(prompt.split("x * ")[1].split(" ")[0]) if "x * " in prompt else 0
    is_right = (seed + index) % 4 < 1 + seed % 3
    return f"{'so' * (index % 3)}\n</think>\n\n```output\n{3 * factor + 3 if is_right else -1}\n```\n"


def config(*overrides: str) -> Config:
    small = (
        "tasks.modes=[deduction]",
        "selfplay.proposals_per_mode=4",
        "selfplay.group_size=4",
        "tasks.max_prompt_tokens=600",
        "run.steps=3",
        "run.checkpoint_every=1",
        "run.keep_checkpoints=9",
        "introspection.probe_share=0.5",
        "introspection.chained_share=0.5",
        "introspection.width=8",
    )
    return load_config(overrides=[*small, *overrides])


RECIPE = HeadRecipe(updates_per_step=3, reward_min_labels=0)
Train = Callable[..., Path]


@pytest.fixture
def train(byte_model: Path, in_process: Any, tapped_engine: Any, tmp_path: Path) -> Train:
    """Train in a run folder of that name, anew or on from its newest checkpoint. Returns the folder."""

    def assemble(config: Config, run: RunFolder, checkpoint: Checkpoint | None) -> Parts:
        policy = load_policy(str(checkpoint.model_folder if checkpoint else byte_model), device="cpu")
        heads = HeadLearner(policy, config, RECIPE) if config.introspection.heads else None
        engine = tapped_engine(policy, talk, heads.taps if heads else ())
        buffer = (
            TaskBuffer.open(run.tasks_file, config.tasks) if checkpoint else TaskBuffer.create(run.tasks_file, config.tasks, SEEDS)
        )
        learner = Learner(policy, config)
        if checkpoint:
            checkpoint.restore_learner(learner, heads)
        introspection = SelfPlayIntrospection(policy, engine, in_process, heads.introspector, config, heads) if heads else None
        return Parts(
            policy=policy,
            engine=engine,
            executor=in_process,
            buffer=buffer,
            selfplay=SelfPlay(policy, engine, in_process, buffer, config, introspection=introspection),
            learner=learner,
            heads=heads,
            heldout=(),
        )

    def once(name: str, settings: Config, *, resume: bool = False) -> Path:
        path = tmp_path / name
        run = RunFolder.open(path) if resume else RunFolder.create(path, settings)
        checkpoint = rewind(run, settings) if resume else None
        Trainer(settings, run, (MetricsWriter(run),), checkpoint=checkpoint, assemble=assemble).run()
        return path

    return once


def sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def lines(run: Path) -> list[dict[str, Any]]:
    return [deterministic(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]


def rollouts(run: Path) -> list[str]:
    return [(run / "rollouts" / f"step-{step}.jsonl").read_text() for step in (1, 2, 3)]


def tables(run: Path) -> list[str]:
    connection = sqlite3.connect(run / "tasks.sqlite")
    try:
        return list(connection.iterdump())
    finally:
        connection.close()


def weights(run: Path, step: int = 3) -> str:
    return sha(run / "checkpoints" / f"step-{step}" / "model" / "model.safetensors")


def test_coefficient_zero_is_off_to_the_bit(train: Train) -> None:
    off = train("off", config())
    zeroes = [train(mode, config(f"introspection.reward={mode}", "introspection.coeff=0")) for mode in MODES]
    for zero in zeroes:
        assert lines(zero) == lines(off)
        assert rollouts(zero) == rollouts(off)
        assert tables(zero) == tables(off)
        assert [weights(zero, step) for step in (1, 2, 3)] == [weights(off, step) for step in (1, 2, 3)]


MODES = ("calibration_surprise", "seed_legacy")


@pytest.mark.parametrize("mode", MODES)
def test_a_coefficient_above_zero_pays_proposers(train: Train, mode: str) -> None:
    off, on = train("off", config()), train("on", config(f"introspection.reward={mode}", "introspection.coeff=0.5"))
    proposals = [[json.loads(line) for text in rollouts(run) for line in text.splitlines()] for run in (off, on)]
    earned = [[line["reward"] for line in run if line["kind"] == "proposal"] for run in proposals]
    assert earned[0] != earned[1]
    assert all(line["surprise"] is None for line in proposals[0] if line["kind"] == "proposal")
    # The founding formula may scale all alike, which advantages do not see.
    assert mode == "seed_legacy" or weights(on) != weights(off)


def test_heads_or_none_the_policy_is_the_same(train: Train) -> None:
    with_heads, without = train("with", config()), train("without", config("introspection.heads=[]"))
    assert [weights(with_heads, step) for step in (1, 2, 3)] == [weights(without, step) for step in (1, 2, 3)]
    for one, other in zip(lines(with_heads), lines(without), strict=True):
        assert {name: one[name] for name in ("loss", "reward", "pass_rate", "grad_norm")} == {
            name: other[name] for name in ("loss", "reward", "pass_rate", "grad_norm")
        }
        assert one["introspection"] is not None
        assert other["introspection"] is None


def test_probes_and_tasks_beyond_reach_are_nothing_to_the_policy(train: Train) -> None:
    measured, bare = (
        train("measured", config()),
        train("bare", config("introspection.chained_share=0", "introspection.probe_share=0")),
    )
    assert [weights(measured, step) for step in (1, 2, 3)] == [weights(bare, step) for step in (1, 2, 3)]
    assert lines(measured)[-1]["introspection"]["labels"] > lines(bare)[-1]["introspection"]["labels"]


def test_further_forms_learn_beside_the_first_and_change_nothing(train: Train) -> None:
    alone, many = train("alone", config()), train("many", config("introspection.heads=[tap,linear,linked]"))
    assert weights(many) == weights(alone)
    assert lines(many) == lines(alone)
    folder = many / "checkpoints" / "step-3" / "model"
    assert head_names(folder) == ("linear", "linked")
    primary, same = load_heads(folder), load_heads(alone / "checkpoints" / "step-3" / "model")
    assert primary is not None
    assert same is not None
    assert primary.digest == same.digest


@pytest.mark.parametrize("mode", ["off", "calibration_surprise"])
def test_a_resumed_run_goes_on_to_the_bit(train: Train, mode: str) -> None:
    settings = (f"introspection.reward={mode}", "introspection.heads=[linked,tap]", "introspection.budget_share=0.25")
    alone = train("alone", config(*settings))
    train("stopped", config(*settings, "run.steps=1"))
    stopped = train("stopped", config(*settings), resume=True)
    assert lines(stopped) == lines(alone)
    assert rollouts(stopped) == rollouts(alone)
    last = Path("checkpoints") / "step-3"
    for name in (
        "heads.safetensors",
        "optimizer.safetensors",
        "model/model.safetensors",
        "model/heads.safetensors",
        "model/heads.json",
    ):
        assert sha(stopped / last / name) == sha(alone / last / name), name


def test_saved_heads_are_marked_with_the_policy_that_they_lie_beside(train: Train) -> None:
    folder = train("run", config()) / "checkpoints" / "step-3" / "model"
    stored = load_heads(folder)
    assert stored is not None
    assert stored.facts.policy_digest == weights_digest(load_policy(str(folder), device="cpu").module)
    assert stored.facts.step == 3
    assert 0 < stored.facts.labels <= 3 * (4 + 2)  # tasks of its own, and beyond reach


def test_every_task_and_every_rollout_carries_its_introspection(train: Train) -> None:
    run = train("run", config())
    tasks = [line for text in rollouts(run) for line in map(json.loads, text.splitlines()) if line["kind"] == "task"]
    for line in tasks:
        forecast = line["forecast"]
        assert sum(forecast["plan"].values()) == pytest.approx(1.0)
        assert sorted(forecast["budget"].values()) == list(forecast["budget"].values())
        assert 0 <= forecast["c0"] <= 1
        assert all(0 <= attempt["cE"] <= 1 and attempt["think_tokens"] >= 0 for attempt in line["attempts"])
    assert any(line["forecast"]["stop_rate"] is not None for line in tasks)
    metrics = [line["introspection"] for line in lines(run)]
    assert [each["labels"] for each in metrics] == sorted(each["labels"] for each in metrics)
    assert all(each["c0_loss"] > 0 and each["budget_loss"] > 0 for each in metrics)
