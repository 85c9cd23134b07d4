"""The training loop: play a round, turn its rewards into advantages, take one optimizer step, tell who listens.

What is not here: no dataset, no reference model, no value function, no replay of old rollouts, no second epoch. Every rollout is
learned from once, by the policy that sampled it. Every random choice derives from (seed, step, phase), so a run that is stopped at
any moment and resumed gives, on one CPU, the numbers that it would have given.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from tina_azr.config import Config, choose
from tina_azr.runs.checkpoint import Checkpoint, save_checkpoint
from tina_azr.runs.folder import RunFolder
from tina_azr.runs.metrics import Listener
from tina_azr.runs.metrics_file import read_metrics
from tina_azr.runs.rollouts_file import write_rollouts
from tina_azr.selfplay.heldout import evaluate_heldout
from tina_azr.selfplay.timing import Phases
from tina_azr.selfplay.types import Episode
from tina_azr.tasks.types import Role
from tina_azr.train.advantages import ADVANTAGES, RewardTable
from tina_azr.train.assembly import Parts, assemble
from tina_azr.train.heads.learner import HeadReport
from tina_azr.train.step_metrics import heldout_metrics, step_metrics
from tina_azr.train.stopping import StopAsked, StopRequest

_UNINTERRUPTED = frozenset({"learn", "heads", "checkpoint"})
"""Phases that a stop waits for: after them the step is whole. Before them it can be given up without a trace."""


class EndReason(StrEnum):
    """Why a run came to its end."""

    STEPS = "steps"
    """All steps are done."""
    TIME = "time"
    """The next step would not have ended within `run.max_minutes`."""
    STOPPED = "stopped"
    """By hand; `--resume` goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingEnd:
    """How a run ended."""

    reason: EndReason
    step: int
    """Last complete step."""
    seconds: float
    """Of training, over all resumes."""
    checkpoint: Path
    """Of `step`."""
    heldout_seconds: float = 0.0
    """Longest held-out evaluation of this session."""


class Trainer:
    """One run, new or resumed. The caller holds the run folder's lock and has rewound it to `checkpoint`."""

    def __init__(
        self,
        config: Config,
        run: RunFolder,
        listeners: Sequence[Listener] = (),
        *,
        checkpoint: Checkpoint | None = None,
        assemble: Callable[[Config, RunFolder, Checkpoint | None], Parts] = assemble,
    ) -> None:
        self._config = config
        self._run = run
        self._listeners = listeners
        self._advantages = choose(ADVANTAGES, config.learning.advantage, "learning.advantage")
        self._parts = assemble(config, run, checkpoint)
        self._stop = StopRequest()
        self._step = self._saved_step = checkpoint.step if checkpoint else 0
        self._clock_start = time.monotonic() - (checkpoint.seconds if checkpoint else 0.0)
        self._longest_step = self._longest_heldout = 0.0
        self._evaluated = {heldout.step for heldout in read_metrics(run).heldouts}

    def run(self) -> TrainingEnd:
        """Train until the steps or the minutes are over or somebody stops it: each time with a checkpoint at the end."""
        with self._parts.buffer, self._stop:
            try:
                reason = self._train()
            except StopAsked:
                reason = EndReason.STOPPED
            checkpoint = self._save()
        return TrainingEnd(
            reason=reason,
            step=self._step,
            seconds=self._seconds,
            checkpoint=checkpoint,
            heldout_seconds=self._longest_heldout,
        )

    def _train(self) -> EndReason:
        run = self._config.run
        self._evaluate_if(self._step % self._config.heldout.every == 0)
        while self._step < run.steps and not self._time_is_up():
            self._take_step(self._step + 1)
            self._stop.check()
            self._evaluate_if(self._step % self._config.heldout.every == 0 or self._step == run.steps)
            if self._step % run.checkpoint_every == 0:
                self._save()
        self._evaluate_if(True)
        return EndReason.STEPS if self._step >= run.steps else EndReason.TIME

    def _take_step(self, step: int) -> None:
        """Play one round, learn from it, notify the listeners. A stop before `learn` leaves no trace of the step."""
        began = time.monotonic()
        phases = self._phases(step)
        episode = self._parts.selfplay.play(step, phases)

        rollouts = [r for r in episode.rollouts if self._config.learning.train_proposer or r.role is Role.SOLVER]
        advantages = self._advantages(RewardTable.of(rollouts))
        rollouts = [replace(r, advantage=value) for r, value in zip(rollouts, advantages.values_N.tolist(), strict=True)]
        with phases.phase("learn") as on_progress:
            update = self._parts.learner.update(rollouts, step, on_progress)
        head_update = self._train_heads(step, episode, phases)
        self._step = step

        write_rollouts(self._run, episode.with_advantages(rollouts), self._parts.policy.tokenizer)
        metrics = step_metrics(episode, advantages, update, head_update, seconds=self._seconds, seconds_by_phase=phases.seconds)
        for listener in self._listeners:
            listener.on_step(metrics)
        self._longest_step = max(self._longest_step, time.monotonic() - began)

    def _train_heads(self, step: int, episode: Episode, phases: Phases) -> HeadReport | None:
        """After the policy, and apart from it: a forecast was made before its label, and is scored before it is learned from."""
        if self._parts.heads is None:
            return None
        with phases.phase("heads"):
            return self._parts.heads.update(step, [*episode.groups, *episode.chained])

    def _evaluate_if(self, due: bool) -> None:
        """Held-out accuracy of the present step, once. A resume evaluates what a stop left out."""
        if not due or self._step in self._evaluated or not self._parts.heldout:
            return
        began = time.monotonic()
        with self._phases(self._step).phase("heldout", len(self._parts.heldout)) as on_progress:
            report = evaluate_heldout(
                self._parts.policy,
                self._parts.engine,
                self._parts.executor,
                self._parts.heldout,
                config=self._config,
                seed=self._config.seed,
                on_progress=on_progress,
            )
        self._evaluated.add(self._step)
        metrics = heldout_metrics(self._step, report, self._seconds)
        for listener in self._listeners:
            listener.on_heldout(metrics)
        self._longest_heldout = max(self._longest_heldout, time.monotonic() - began)

    def _save(self) -> Path:
        if self._step == self._saved_step and self._run.checkpoint(self._step).exists():
            return self._run.checkpoint(self._step)
        with self._phases(self._step).phase("checkpoint"):
            path = save_checkpoint(
                self._run,
                step=self._step,
                seconds=self._seconds,
                config=self._config,
                policy=self._parts.policy,
                learner=self._parts.learner,
                buffer=self._parts.buffer,
                heads=self._parts.heads,
            )
        self._saved_step = self._step
        for listener in self._listeners:
            listener.on_checkpoint(self._step, path)
        return path

    def _time_is_up(self) -> bool:
        """Whether the next step and the last evaluation might not end in time: judged by the longest so far."""
        minutes = self._config.run.max_minutes
        return minutes is not None and self._seconds + self._longest_step + self._longest_heldout > minutes * 60

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._clock_start

    def _phases(self, step: int) -> Phases:
        def report(phase: str, done: int, total: int) -> None:
            if phase not in _UNINTERRUPTED:
                self._stop.check()
            for listener in self._listeners:
                listener.on_phase(step, phase, done, total)
            if self._stop.is_news():
                for listener in self._listeners:
                    listener.on_note("Stopping as soon as this step is whole; again to stop at once, without saving.")

        return Phases(report)
