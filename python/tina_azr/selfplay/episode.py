"""One round of self-play on one page: propose, validate, solve, reward (Zhao et al., "Absolute Zero", 2025).

One policy plays both roles. As *proposer* it invents tasks that differ from some that it is shown; the sandbox decides which of them are
valid. As *solver* it samples a group of rollouts for every new task; the sandbox decides which of them are correct. A proposal earns by
how much its task can teach, a solver rollout by being correct, and the policy learns from both.

Two things differ from the original. The solver rollouts that measure learnability are trained on as well (there they are thrown away).
A round is one transaction of the buffer, made at the end: until then a round can be abandoned without a trace.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Protocol

from tina_azr.config import Config
from tina_azr.model.loading import Policy
from tina_azr.rollout.types import RolloutEngine, SamplingParams
from tina_azr.sandbox.types import Executor
from tina_azr.selfplay.chained_tasks import SPARE, chained_proposals
from tina_azr.selfplay.introspection import SelfPlayIntrospection
from tina_azr.selfplay.length_cap import RECENT_STEPS, LengthCap
from tina_azr.selfplay.proposing import draw_assignments, sample_proposals
from tina_azr.selfplay.rewards import Rewards, shuffle_rewards
from tina_azr.selfplay.seeding import RandomStream, generator, request_seeds
from tina_azr.selfplay.solving import grade_rollouts, sample_rollouts, solver_prompt, task_result
from tina_azr.selfplay.timing import Phases
from tina_azr.selfplay.types import Episode, ProposalRecord, Rollout, RolloutGroup
from tina_azr.tasks.buffer import TaskBuffer
from tina_azr.tasks.identity import program_length
from tina_azr.tasks.types import RejectReason, Task, TaskRejected
from tina_azr.tasks.validation import Validator

INDUCTION = "induction"
"""The mode of `selfplay.induction_min_pass_rate`."""


class RunExecutor(Executor, Protocol):
    """Sandbox of a run: it counts its programs and names its images."""

    @property
    def programs_run(self) -> int:
        """Programs run so far."""
        ...

    @property
    def image_digest(self) -> str:
        """Digest of the guest images that run the programs."""
        ...


class SelfPlay:
    """Rounds of one policy with one buffer."""

    def __init__(
        self,
        policy: Policy,
        engine: RolloutEngine,
        executor: RunExecutor,
        buffer: TaskBuffer,
        config: Config,
        *,
        held_out_keys: Collection[str] = frozenset(),
        introspection: SelfPlayIntrospection | None = None,
    ) -> None:
        """`introspection` reads the policy's states. Without it nothing is forecast, and nothing else is different."""
        self._policy = policy
        self._engine = engine
        self._executor = executor
        self._buffer = buffer
        self._config = config
        self._rewards = Rewards(config.rewards)
        self._validator = Validator(executor, config.tasks, known=buffer, held_out_keys=held_out_keys)
        play = config.selfplay
        self._introspection = introspection
        self._params = SamplingParams(max_tokens=play.max_tokens, temperature=play.temperature, think_limit=play.think_limit)
        self._seed_length = max((program_length(seed.program) for seed in buffer.seeds), default=0)

    def play(self, step: int, phases: Phases | None = None) -> Episode:
        """Play round `step` and record it in the buffer."""
        phases = phases or Phases()
        programs_before = self._executor.programs_run
        cap = self._length_cap(step)

        proposals = self._validate(self._propose(step, cap, phases), cap, phases)
        new = [record.task for record in proposals if record.task is not None]
        groups = self._solve(step, new + self._known_tasks(step, new), phases)
        proposals = self._reward(proposals, groups)
        chained = self._solve_chained(step, phases)
        rollouts = self._training_rollouts(step, proposals, groups)

        self._buffer.record_step(step, [task_result(group) for group in groups])
        return Episode(
            step=step,
            proposals=tuple(proposals),
            groups=tuple(groups),
            rollouts=rollouts,
            chained=tuple(chained),
            seconds=dict(phases.seconds),
            programs_run=self._executor.programs_run - programs_before,
        )

    def _propose(self, step: int, cap: LengthCap, phases: Phases) -> list[ProposalRecord]:
        """Show references, sample proposals."""
        draw = generator(self._config.seed, step, RandomStream.REFERENCES)
        assignments = draw_assignments(self._policy, self._buffer, cap, self._config, draw)
        with phases.phase("propose", len(assignments)) as on_progress:
            return sample_proposals(
                self._policy,
                self._engine,
                assignments,
                step=step,
                params=self._params,
                seeds=request_seeds(self._config.seed, step, RandomStream.PROPOSE, len(assignments)),
                on_progress=on_progress,
            )

    def _validate(self, records: Sequence[ProposalRecord], cap: LengthCap, phases: Phases) -> list[ProposalRecord]:
        """Run the programs of the proposals; returns each with its task, or with the reason for its rejection."""
        with phases.phase("validate", len(records)):
            judged = iter(self._validator.validate([record.proposal for record in records if record.proposal is not None]))
            return [record if record.proposal is None else self._judged(record, next(judged), cap) for record in records]

    def _judged(self, record: ProposalRecord, outcome: Task | TaskRejected, cap: LengthCap) -> ProposalRecord:
        if isinstance(outcome, Task):
            outcome = self._check_length(outcome, cap)
        if isinstance(outcome, TaskRejected):
            return replace(record, reject=outcome.reason, detail=outcome.detail)
        return replace(record, task=outcome)

    def _check_length(self, task: Task, cap: LengthCap) -> Task | TaskRejected:
        """A valid task may still be too long to be read, or to be solved by now."""
        tokens, longest = len(solver_prompt(self._policy, task)), self._config.tasks.max_prompt_tokens
        if tokens > longest:
            return TaskRejected(RejectReason.TOO_LONG, f"a prompt of {tokens} tokens, {longest} are allowed")
        if not cap.allows(task.mode, task.length):
            return TaskRejected(RejectReason.OVER_LENGTH_CAP, f"program length {task.length} is over the present length cap")
        return task

    def _known_tasks(self, step: int, new: Sequence[Task]) -> list[Task]:
        """Draw known tasks in place of rejected proposals, so that each mode always solves the same number of tasks.

        As in the original. It also keeps the buffer's pass rates in step with the policy.
        """
        draw = generator(self._config.seed, step, RandomStream.KNOWN_TASKS)
        counts = [(mode, sum(task.mode == mode for task in new)) for mode in self._config.tasks.modes]
        wanted = self._config.selfplay.proposals_per_mode
        by_confidence = self._config.introspection.sample_by_confidence
        return [
            task
            for mode, count in counts
            for task in self._buffer.sample_tasks(draw, mode, wanted - count, by_confidence=by_confidence)
        ]

    def _solve(self, step: int, tasks: Sequence[Task], phases: Phases) -> list[RolloutGroup]:
        """Sample a group of rollouts for each task, grade and reward them, and add the forecasts of the heads."""
        play, introspection = self._config.selfplay, self._introspection
        budgeted = introspection.budgeted_groups(step, tasks) if introspection else frozenset()
        with phases.phase("solve", len(tasks) * play.group_size) as on_progress:
            groups = sample_rollouts(
                self._policy,
                self._engine,
                tasks,
                group_size=play.group_size,
                params=self._params,
                seeds=request_seeds(self._config.seed, step, RandomStream.SOLVE, len(tasks)),
                on_prompts=introspection.think_limit_hook(budgeted) if introspection and budgeted else None,
                on_progress=on_progress,
            )
        with phases.phase("grade", len(tasks) * play.group_size):
            graded = [self._rewards.reward_group(group) for group in grade_rollouts(self._executor, groups)]
        return introspection.read(step, graded, budgeted, phases) if introspection else graded

    def _solve_chained(self, step: int, phases: Phases) -> list[RolloutGroup]:
        """Solve chained tasks for the heads: they are validated and graded like others, then forgotten."""
        modes, share = self._config.tasks.modes, self._config.introspection.chained_share
        wanted = round(share * self._config.selfplay.proposals_per_mode)
        if self._introspection is None or not wanted:
            return []
        draw = generator(self._config.seed, step, RandomStream.CHAINED)
        found: list[Task] = []
        with phases.phase("chained"):
            for mode in modes:
                known = self._buffer.sample_tasks(draw, mode, 2 * SPARE * wanted)
                judged = self._validator.validate(chained_proposals(known))
                fitting = [task for task in judged if isinstance(task, Task) and self._fits(task)]
                found += fitting[:wanted]
            groups = sample_rollouts(
                self._policy,
                self._engine,
                found,
                group_size=self._config.selfplay.group_size,
                params=self._params,
                seeds=request_seeds(self._config.seed, step, RandomStream.CHAINED, len(found)),
            )
            graded = [self._rewards.reward_group(group) for group in grade_rollouts(self._executor, groups)]
        return self._introspection.read(step, graded, frozenset(), phases, probing=False)

    def _fits(self, task: Task) -> bool:
        return len(solver_prompt(self._policy, task)) <= self._config.tasks.max_prompt_tokens

    def _reward(self, records: Sequence[ProposalRecord], groups: Sequence[RolloutGroup]) -> list[ProposalRecord]:
        """Reward each proposal, now that its task has been solved."""
        solved = {(group.task.mode, group.task.key): group for group in groups}
        own = [solved[record.task.mode, record.task.key] if record.task else None for record in records]
        rewarded = [self._rewards.reward_proposal(record, group) for record, group in zip(records, own, strict=True)]
        return self._introspection.reward(rewarded, own) if self._introspection else rewarded

    def _training_rollouts(
        self, step: int, records: Sequence[ProposalRecord], groups: Sequence[RolloutGroup]
    ) -> tuple[Rollout, ...]:
        """Return the rollouts to train on: every proposal, and the groups that teach something.

        The control shuffles the rewards here and nowhere before, so that everything else stays as it would be.
        """
        rollouts = [record.rollout for record in records]
        rollouts += [rollout for group in groups if self._teaches(group) for rollout in group.rollouts]
        if self._config.selfplay.random_rewards:
            return shuffle_rewards(rollouts, generator(self._config.seed, step, RandomStream.RANDOM_REWARDS))
        return tuple(rollouts)

    def _teaches(self, group: RolloutGroup) -> bool:
        # Nothing checks an induction task's message: if no rollout succeeds, it may well describe another program.
        return group.task.mode != INDUCTION or group.pass_rate > self._config.selfplay.induction_min_pass_rate

    def _length_cap(self, step: int) -> LengthCap:
        return LengthCap.of(
            self._buffer.rollouts_by_length(step - RECENT_STEPS),
            modes=self._config.tasks.modes,
            seed_length=self._seed_length,
            config=self._config.selfplay,
        )
