"""One round of self-play, the whole story on one page: propose, validate, solve, reward (Zhao et al., "Absolute Zero", 2025).

One policy plays both roles. As *proposer* it invents tasks, unlike some that it is shown; the sandbox says which of them are sound.
As *solver* it tries every new task several times; the sandbox says which tries are right. A proposal earns the more the more its
task can teach, a try earns by being right, and both are learned from.

Beyond the original: the tries that measure learnability are trained on as well (there they are thrown away), and a round is one
transaction of the buffer, made as the last thing: until then a round can be given up without a trace.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from tina_azr.config import Config
from tina_azr.model.loading import Policy
from tina_azr.rollout.types import RolloutEngine, SamplingParams
from tina_azr.sandbox.types import Executor
from tina_azr.selfplay.chained_tasks import SPARE, chained_proposals
from tina_azr.selfplay.introspection import SelfPlayIntrospection
from tina_azr.selfplay.length_cap import RECENT_STEPS, LengthCap
from tina_azr.selfplay.proposing import ProposerRollout, draw_assignments, sample_proposals
from tina_azr.selfplay.records import NO_INTROSPECTION, learner_samples, proposal_record, solved_task, task_result
from tina_azr.selfplay.rewards import Rewards, shuffle_rewards
from tina_azr.selfplay.seeding import Phase, generator, request_seeds
from tina_azr.selfplay.solving import grade_tries, sample_tries, solver_prompt
from tina_azr.selfplay.timing import Phases
from tina_azr.selfplay.types import Episode, ProposalRecord, Sample, SolvedTask
from tina_azr.tasks.buffer import TaskBuffer
from tina_azr.tasks.identity import program_length
from tina_azr.tasks.types import Proposal, RejectReason, Task, TaskRejected
from tina_azr.tasks.validation import Validator


class CountingExecutor(Executor, Protocol):
    """A sandbox that counts."""

    @property
    def programs_run(self) -> int:
        """Runs so far."""
        ...


class SelfPlay:
    """Plays rounds with one policy and one buffer."""

    def __init__(
        self,
        policy: Policy,
        engine: RolloutEngine,
        executor: CountingExecutor,
        buffer: TaskBuffer,
        config: Config,
        *,
        held_out_keys: Collection[str] = frozenset(),
        introspection: SelfPlayIntrospection | None = None,
    ) -> None:
        """`insight` reads the policy's states; without it nothing is forecast, and nothing else is different."""
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

        rollouts = self._propose(step, cap, phases)
        judged = self._validate(rollouts, cap, phases)
        new = [task for task in judged if isinstance(task, Task)]
        solved = self._solve(step, new + self._known_tasks(step, new), phases)
        proposals = self._reward(rollouts, judged, solved)
        chained = self._solve_chained(step, phases)
        samples = self._samples(step, proposals, solved)

        self._buffer.record_step(step, [task_result(one) for one in solved])
        return Episode(
            step=step,
            proposals=tuple(proposals),
            solved=tuple(solved),
            samples=samples,
            chained=tuple(chained),
            seconds=dict(phases.seconds),
            programs_run=self._executor.programs_run - programs_before,
        )

    def _propose(self, step: int, cap: LengthCap, phases: Phases) -> list[ProposerRollout]:
        """Show references, ask for tasks."""
        draw = generator(self._config.seed, step, Phase.REFERENCES)
        assignments = draw_assignments(self._policy, self._buffer, cap, self._config, draw)
        with phases.phase("propose", len(assignments)) as on_progress:
            return sample_proposals(
                self._policy,
                self._engine,
                assignments,
                params=self._params,
                seeds=request_seeds(self._config.seed, step, Phase.PROPOSE, len(assignments)),
                on_progress=on_progress,
            )

    def _validate(self, rollouts: Sequence[ProposerRollout], cap: LengthCap, phases: Phases) -> list[Task | TaskRejected]:
        """Run what was proposed; a task, or why not, for each rollout."""
        with phases.phase("validate", len(rollouts)):
            readable = [rollout.read for rollout in rollouts if isinstance(rollout.read, Proposal)]
            validated = iter(self._validator.validate(readable))
            judged = [next(validated) if isinstance(rollout.read, Proposal) else rollout.read for rollout in rollouts]
            return [self._admit(one, cap) if isinstance(one, Task) else one for one in judged]

    def _admit(self, task: Task, cap: LengthCap) -> Task | TaskRejected:
        """What is sound may still be too long to be read, or to be solved by now."""
        tokens, longest = len(solver_prompt(self._policy, task)), self._config.tasks.max_prompt_tokens
        if tokens > longest:
            return TaskRejected(RejectReason.TOO_LONG, f"a prompt of {tokens} tokens, {longest} are allowed")
        if not cap.allows(task.mode, task.steps):
            return TaskRejected(RejectReason.OVER_LENGTH_CAP, f"{task.steps} steps, the solver is not there yet")
        return task

    def _known_tasks(self, step: int, new: Sequence[Task]) -> list[Task]:
        """Known tasks to try once more, in place of proposals that came to nothing: each mode always tries as many tasks.

        As in the original; and it keeps the buffer's pass rates in step with the policy.
        """
        draw = generator(self._config.seed, step, Phase.KNOWN_TASKS)
        counts = [(mode, sum(task.mode == mode for task in new)) for mode in self._config.tasks.modes]
        wanted = self._config.selfplay.proposals_per_mode
        by_confidence = self._config.introspection.sample_by_confidence
        return [
            task
            for mode, count in counts
            for task in self._buffer.sample_tasks(draw, mode, wanted - count, by_confidence=by_confidence)
        ]

    def _solve(self, step: int, tasks: Sequence[Task], phases: Phases) -> list[SolvedTask]:
        """A group of tries at each task, graded and rewarded, with what the heads said of it beforehand."""
        play, introspection = self._config.selfplay, self._introspection
        budgeted = introspection.budgeted_groups(step, tasks) if introspection else frozenset()
        with phases.phase("solve", len(tasks) * play.group_size) as on_progress:
            tries = sample_tries(
                self._policy,
                self._engine,
                tasks,
                group_size=play.group_size,
                params=self._params,
                seeds=request_seeds(self._config.seed, step, Phase.SOLVE, len(tasks)),
                on_prompts=introspection.think_limit_hook(budgeted) if introspection and budgeted else None,
                on_progress=on_progress,
            )
        with phases.phase("grade", len(tasks) * play.group_size):
            verdicts = grade_tries(self._executor, tries)
        introspections = (
            introspection.of_groups(step, tries, budgeted, phases) if introspection else [NO_INTROSPECTION] * len(tasks)
        )
        graded = zip(tries, verdicts, introspections, strict=True)
        return [solved_task(group, of_group, self._rewards, seen) for group, of_group, seen in graded]

    def _solve_chained(self, step: int, phases: Phases) -> list[SolvedTask]:
        """Tasks beyond reach, for the heads: validated and tried like others, and then forgotten."""
        modes, share = self._config.tasks.modes, self._config.introspection.chained_share
        wanted = round(share * self._config.selfplay.proposals_per_mode)
        if self._introspection is None or not wanted:
            return []
        draw = generator(self._config.seed, step, Phase.CHAINED)
        found: list[Task] = []
        with phases.phase("stretch"):
            for mode in modes:
                known = self._buffer.sample_tasks(draw, mode, 2 * SPARE * wanted)
                judged = self._validator.validate(chained_proposals(known))
                fitting = [task for task in judged if isinstance(task, Task) and self._fits(task)]
                found += fitting[:wanted]
            tries = sample_tries(
                self._policy,
                self._engine,
                found,
                group_size=self._config.selfplay.group_size,
                params=self._params,
                seeds=request_seeds(self._config.seed, step, Phase.CHAINED, len(found)),
            )
            verdicts = grade_tries(self._executor, tries)
        introspections = self._introspection.of_groups(step, tries, frozenset(), phases, probing=False)
        graded = zip(tries, verdicts, introspections, strict=True)
        return [solved_task(group, of_group, self._rewards, seen) for group, of_group, seen in graded]

    def _fits(self, task: Task) -> bool:
        return len(solver_prompt(self._policy, task)) <= self._config.tasks.max_prompt_tokens

    def _reward(
        self, rollouts: Sequence[ProposerRollout], judged: Sequence[Task | TaskRejected], solved: Sequence[SolvedTask]
    ) -> list[ProposalRecord]:
        """What each proposal earns, now that its task has been tried."""
        groups = {(group.task.mode, group.task.key): group for group in solved}
        outcomes = [one if isinstance(one, TaskRejected) else groups[one.mode, one.key] for one in judged]
        records = [proposal_record(rollout, outcome, self._rewards) for rollout, outcome in zip(rollouts, outcomes, strict=True)]
        return self._introspection.reward(records, outcomes) if self._introspection else records

    def _samples(self, step: int, proposals: Sequence[ProposalRecord], solved: Sequence[SolvedTask]) -> tuple[Sample, ...]:
        """What the learner gets. In the control the rewards are shuffled here and nowhere before: all else is as it would be."""
        samples = learner_samples(step, proposals, solved, self._config.selfplay)
        if self._config.selfplay.random_rewards:
            return shuffle_rewards(samples, generator(self._config.seed, step, Phase.RANDOM_REWARDS))
        return tuple(samples)

    def _length_cap(self, step: int) -> LengthCap:
        return LengthCap.of(
            self._buffer.rollouts_by_length(step - RECENT_STEPS),
            modes=self._config.tasks.modes,
            seed_length=self._seed_length,
            config=self._config.selfplay,
        )
