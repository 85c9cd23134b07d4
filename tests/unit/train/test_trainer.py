"""The loop with a scripted policy and a real learner: who is told what, how it ends, and that it goes on where it was stopped."""

import hashlib
import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tina_azr.config import Config, load_config
from tina_azr.model.loading import load_policy
from tina_azr.runs.checkpoint import Checkpoint
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import HeldoutMetrics, StepMetrics, deterministic
from tina_azr.runs.metrics_file import MetricsWriter
from tina_azr.runs.resume import rewind
from tina_azr.selfplay.episode import SelfPlay
from tina_azr.tasks.buffer import TaskBuffer
from tina_azr.tasks.types import HeldoutTask, Reference, Task
from tina_azr.train.assembly import Parts
from tina_azr.train.learner import Learner
from tina_azr.train.trainer import EndReason, Trainer, TrainingEnd

SEEDS = (Reference(program="def f(x):\n    return x + 1", input="2", output="3"),)


def heldout(stratum: int) -> HeldoutTask:
    program = f"def f(x):\n    return x + {stratum}"
    task = Task(key=f"h{stratum}", mode="deduction", program=program, input="1", output=str(stratum + 1))
    return HeldoutTask(task=task, stratum=stratum)


HELDOUT = (heldout(1), heldout(5))


def talk(prompt: str, index: int, seed: int) -> str:
    """Propose a program that depends on the seed; answer rightly in one case of two."""
    if "Predict" not in prompt:
        return f"\n</think>\n\n```python\ndef f(x):\n    return x * {seed % 997} + x\n```\n```input\n3\n```\n"
    factor = prompt.split("x * ")[1].split(" ")[0] if "x * " in prompt else "0"
    return f"{'so' * (index % 3)}\n</think>\n\n```output\n{3 * int(factor) + 3 if (seed + index) % 2 else -1}\n```\n"


class Recorder:
    """A listener that remembers, and may act at a phase."""

    def __init__(self, act: Callable[[int, str], None] = lambda step, phase: None) -> None:
        self.events: list[tuple[str, int]] = []
        self.notes: list[str] = []
        self._act = act

    def on_phase(self, step: int, phase: str, done: int, total: int) -> None:
        self._act(step, phase)

    def on_step(self, metrics: StepMetrics) -> None:
        self.events.append(("step", metrics.step))

    def on_heldout(self, metrics: HeldoutMetrics) -> None:
        self.events.append(("heldout", metrics.step))

    def on_checkpoint(self, step: int, path: Path) -> None:
        assert path.is_dir()
        self.events.append(("checkpoint", step))

    def on_note(self, text: str) -> None:
        self.notes.append(text)


def config(*overrides: str) -> Config:
    small = (
        "tasks.modes=[deduction]",
        "selfplay.proposals_per_mode=3",
        "selfplay.group_size=4",
        "tasks.max_prompt_tokens=600",
        "run.steps=4",
        "run.checkpoint_every=2",
        "run.keep_checkpoints=9",
        "heldout.every=2",
    )
    return load_config(overrides=[*small, *overrides])


Train = Callable[..., TrainingEnd]


@pytest.fixture
def train(byte_model: Path, in_process: Any, scripted_engine: Any, tmp_path: Path) -> Train:
    """Train in a run folder of that name: anew, or going on from its newest checkpoint."""

    def assemble(config: Config, run: RunFolder, checkpoint: Checkpoint | None) -> Parts:
        policy = load_policy(str(checkpoint.model_folder if checkpoint else byte_model), device="cpu")
        engine = scripted_engine(policy.tokenizer, talk)
        buffer = (
            TaskBuffer.open(run.tasks_file, config.tasks) if checkpoint else TaskBuffer.create(run.tasks_file, config.tasks, SEEDS)
        )
        learner = Learner(policy, config)
        if checkpoint:
            checkpoint.restore_learner(learner)
        return Parts(
            policy=policy,
            engine=engine,
            executor=in_process,
            buffer=buffer,
            selfplay=SelfPlay(policy, engine, in_process, buffer, config),
            learner=learner,
            heldout=HELDOUT,
        )

    def once(name: str, settings: Config, listener: Recorder | None = None, *, resume: bool = False) -> TrainingEnd:
        path = tmp_path / name
        run = RunFolder.open(path) if resume else RunFolder.create(path, settings)
        checkpoint = rewind(run, settings) if resume else None
        listeners = (MetricsWriter(run), listener or Recorder())
        return Trainer(settings, run, listeners, checkpoint=checkpoint, assemble=assemble).run()

    return once


def lines(run: Path) -> list[dict[str, object]]:
    return [deterministic(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]


def weights(checkpoint: Path) -> str:
    return hashlib.sha256((checkpoint / "model" / "model.safetensors").read_bytes()).hexdigest()


def test_a_run_tells_its_listeners_in_order_and_ends_with_a_checkpoint(train: Train, tmp_path: Path) -> None:
    recorder = Recorder()
    end = train("run", config("run.steps=3"), recorder)
    assert (end.reason, end.step) == (EndReason.STEPS, 3)
    assert end.checkpoint == tmp_path / "run" / "checkpoints" / "step-3"
    assert recorder.events == [
        ("heldout", 0),
        ("step", 1),
        ("step", 2),
        ("heldout", 2),
        ("checkpoint", 2),
        ("step", 3),
        ("heldout", 3),
        ("checkpoint", 3),
    ]
    assert recorder.notes == []
    assert sorted(path.name for path in (tmp_path / "run" / "rollouts").iterdir()) == [
        "step-1.jsonl",
        "step-2.jsonl",
        "step-3.jsonl",
    ]


def test_rollouts_are_kept_with_what_the_learner_made_of_them(train: Train, tmp_path: Path) -> None:
    train("run", config("run.steps=1"))
    kept = [json.loads(line) for line in (tmp_path / "run" / "rollouts" / "step-1.jsonl").read_text().splitlines()]
    attempts = [attempt for line in kept if line["kind"] == "task" for attempt in line["attempts"]]
    right, wrong = ([one["advantage"] for one in attempts if (one["reward"] > 0) is good] for good in (True, False))
    assert min(right) > 0 > max(wrong)
    assert all(line["advantage"] == 0.0 for line in kept if line["kind"] == "proposal"), "all proposals earned the same"


def test_the_phases_of_a_step_are_told_and_timed(train: Train, tmp_path: Path) -> None:
    phases: list[str] = []
    train("run", config("run.steps=1"), Recorder(lambda step, phase: phases.append(phase)))
    told = list(dict.fromkeys(phases))
    assert told == ["heldout", "propose", "validate", "solve", "grade", "learn", "checkpoint"]
    (line,) = (json.loads(text) for text in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines() if '"step"' in text[:20])
    assert set(line["seconds_by_phase"]) == {"propose", "validate", "solve", "grade", "learn"}


def test_two_runs_with_the_same_seed_are_the_same_and_another_seed_differs(train: Train, tmp_path: Path) -> None:
    ends = [train(name, config(f"seed={seed}")) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert lines(tmp_path / "a") == lines(tmp_path / "b")
    assert weights(ends[0].checkpoint) == weights(ends[1].checkpoint)
    assert lines(tmp_path / "a") != lines(tmp_path / "c")
    assert weights(ends[0].checkpoint) != weights(ends[2].checkpoint)


def test_learning_happens_in_every_step_of_this_script(train: Train, tmp_path: Path) -> None:
    train("run", config())
    steps = [line for line in lines(tmp_path / "run") if line["kind"] == "step"]
    assert all(line["samples"] > 0 and line["grad_norm"] > 0 for line in steps)  # type: ignore[operator]
    assert all(line["valid_rate"] == 1.0 for line in steps)


def stop_at(step: int, phase: str) -> Recorder:
    """Ctrl-C, once, the first time that this phase of this step is reported."""
    pending = [True]

    def act(at_step: int, at_phase: str) -> None:
        if (at_step, at_phase) == (step, phase) and pending:
            pending.clear()
            signal.raise_signal(signal.SIGINT)

    return Recorder(act)


@pytest.mark.parametrize(
    ("step", "phase", "whole"),
    [
        (0, "heldout", 0),
        (1, "propose", 0),
        (2, "solve", 1),
        (3, "validate", 2),
        (3, "learn", 3),
        (2, "checkpoint", 2),
        (2, "heldout", 2),
    ],
)
def test_a_run_that_is_stopped_anywhere_goes_on_as_if_it_had_not_been(
    train: Train, tmp_path: Path, step: int, phase: str, whole: int
) -> None:
    alone = train("alone", config())
    stopped = train("stopped", config(), stop_at(step, phase))
    assert (stopped.reason, stopped.step) == (EndReason.STOPPED, whole)
    resumed = train("stopped", config(), resume=True)
    assert (resumed.reason, resumed.step) == (EndReason.STEPS, 4)
    assert lines(tmp_path / "stopped") == lines(tmp_path / "alone")
    assert weights(resumed.checkpoint) == weights(alone.checkpoint)


def test_who_stops_a_run_in_the_midst_of_learning_is_told_that_it_waits(train: Train) -> None:
    recorder = stop_at(3, "learn")
    train("run", config(), recorder)
    assert recorder.notes == ["Stopping as soon as this step is whole; again to stop at once, without saving."]
    assert recorder.events[-1] == ("checkpoint", 3)


def test_a_second_ctrl_c_stops_at_once_and_the_last_checkpoint_is_whole(train: Train, tmp_path: Path) -> None:
    struck: list[int] = []

    def act(step: int, phase: str) -> None:
        if step == 3 and phase == "learn":
            struck.append(step)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train("run", config(), Recorder(act))
    assert len(struck) == 2
    alone = train("alone", config())
    resumed = train("run", config(), resume=True)
    assert lines(tmp_path / "run") == lines(tmp_path / "alone")
    assert weights(resumed.checkpoint) == weights(alone.checkpoint)


def test_a_run_whose_time_is_over_is_evaluated_and_saved(train: Train) -> None:
    recorder = Recorder()
    end = train("run", config("run.max_minutes=1e-6"), recorder)
    assert (end.reason, end.step) == (EndReason.TIME, 0)
    assert recorder.events == [("heldout", 0), ("checkpoint", 0)]
    assert 0 < end.heldout_seconds < end.seconds


def test_a_run_can_be_taken_further_than_it_was_planned(train: Train, tmp_path: Path) -> None:
    train("run", config("run.steps=2"))
    end = train("run", config(), resume=True)
    assert (end.reason, end.step) == (EndReason.STEPS, 4)
    train("alone", config())
    assert lines(tmp_path / "run") == lines(tmp_path / "alone")


def test_a_proposer_that_is_not_trained_is_left_out(train: Train, tmp_path: Path) -> None:
    train("run", config("learning.train_proposer=false", "run.steps=1"))
    (line,) = (line for line in lines(tmp_path / "run") if line["kind"] == "step")
    assert line["samples"] == 12
