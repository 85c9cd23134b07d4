"""Tests of self-play with the real parts: the embedded model, the decode engine, the sandbox, the buffer and the learner."""

import json
from pathlib import Path

import pytest

from tina_azr.config import Config, load_config
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import deterministic
from tina_azr.runs.metrics_file import MetricsWriter, read_metrics
from tina_azr.sandbox import Sandbox
from tina_azr.selfplay.heldout import evaluate_heldout
from tina_azr.tasks.queries import TaskFilter, list_tasks
from tina_azr.train.assembly import assemble
from tina_azr.train.trainer import EndReason, Trainer

SMALL = (
    "run.steps=2",
    "run.threads=1",
    "run.max_minutes=null",
    "selfplay.proposals_per_mode=5",
    "selfplay.group_size=4",
    "heldout.every=2",
    "heldout.per_cell=2",
    "sandbox.wall_ms=600000",  # a machine that stalls must not turn one outcome into another
)


def train(path: Path, config: Config) -> RunFolder:
    run = RunFolder.create(path, config)
    end = Trainer(config, run, (MetricsWriter(run),)).run()
    assert (end.reason, end.step) == (EndReason.STEPS, config.run.steps)
    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return train(tmp_path_factory.mktemp("runs") / "first", load_config(overrides=SMALL))


def lines(run: RunFolder) -> list[dict[str, object]]:
    return [deterministic(json.loads(line)) for line in run.metrics_file.read_text().splitlines()]


def test_the_embedded_model_proposes_valid_tasks_and_solves_some(run: RunFolder) -> None:
    for step in read_metrics(run).steps:
        assert step.valid_rate > 0.5
        assert step.tasks > 5
        assert step.pass_rate is not None
        assert 0.0 < step.pass_rate <= 1.0
        assert step.programs > step.tasks
        assert step.samples > 0
        assert step.clip_fraction < 0.01


def test_the_buffer_remembers_the_rounds_with_their_pass_rates(run: RunFolder) -> None:
    stored = list_tasks(run.tasks_file, TaskFilter(), limit=1000)
    assert len(stored) == sum(step.tasks for step in read_metrics(run).steps)
    assert {task.step for task in stored} == {1, 2}
    assert all(task.pass_rate is not None and task.tried >= 4 for task in stored)


def test_held_out_accuracy_is_measured_at_start_and_end(run: RunFolder) -> None:
    start, end = read_metrics(run).heldouts
    assert (start.step, end.step) == (0, 2)
    assert start.in_distribution.n == 3 * 3 * 2
    assert sorted(start.by_stratum) == [1, 2, 3, 4, 5, 6]


def test_two_runs_with_the_same_seed_give_the_same_metrics(run: RunFolder, tmp_path: Path) -> None:
    again = train(tmp_path / "again", load_config(overrides=SMALL))
    assert lines(again) == lines(run)


def test_another_seed_gives_other_metrics(run: RunFolder, tmp_path: Path) -> None:
    other = train(tmp_path / "other", load_config(overrides=[*SMALL, "seed=1", "run.steps=1"]))
    assert lines(other)[1] != lines(run)[1]


def test_an_evaluation_repeats_with_the_same_seed(tmp_path: Path) -> None:
    config = load_config(overrides=SMALL)
    parts = assemble(config, RunFolder.create(tmp_path / "run", config), None)
    with parts.buffer:
        first, second = (
            evaluate_heldout(parts.policy, parts.engine, parts.executor, parts.heldout, config=config, seed=5) for _ in range(2)
        )
    assert first.in_distribution.n == 18
    assert first.in_distribution == second.in_distribution
    assert first.shares_N.tolist() == second.shares_N.tolist()


def test_every_task_is_recorded_with_the_sandbox_images(run: RunFolder) -> None:
    with Sandbox() as sandbox:
        digest = sandbox.image_digest
    assert len(digest) == 2 * 64 + 1
    assert {stored.image for stored in list_tasks(run.tasks_file, TaskFilter(), limit=1_000)} == {digest}
