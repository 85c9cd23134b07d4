"""What a round leaves behind: rollouts, verdicts and rewards put together, and of these what the learner gets."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tina_azr.config import SelfplayConfig
from tina_azr.introspection.types import Forecast
from tina_azr.selfplay.plan_probes import PlanProbe
from tina_azr.selfplay.proposing import ProposerRollout
from tina_azr.selfplay.rewards import GradedAttempt, Rewards, SolvedProposal
from tina_azr.selfplay.solving import Tries
from tina_azr.selfplay.types import Attempt, ProposalRecord, Sample, SolvedTask
from tina_azr.tasks.buffer import TaskResult
from tina_azr.tasks.types import Proposal, Role, TaskRejected, Verdict

INDUCTION = "induction"
"""The mode of `selfplay.induction_min_pass_rate`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupIntrospection:
    """What the heads said of one group, and what was found out about its plan."""

    forecast: Forecast | None = None
    confidences_G: tuple[float | None, ...] | None = None
    """cE of each try."""
    probe: PlanProbe | None = None
    budgeted: bool = False


NO_INTROSPECTION = GroupIntrospection()


def solved_task(
    tries: Tries, verdicts_G: Sequence[Verdict], rewards: Rewards, introspection: GroupIntrospection = NO_INTROSPECTION
) -> SolvedTask:
    """One group of tries with what each of them earns."""
    confidences_G = introspection.confidences_G or (None,) * len(verdicts_G)
    return SolvedTask(
        task=tries.task,
        prompt_ids=tries.prompt_ids,
        attempts=tuple(
            Attempt(
                completion=completion,
                answer=answer,
                verdict=verdict,
                reward=rewards.of_attempt(GradedAttempt(task=tries.task, completion=completion, verdict=verdict)),
                confidence_after=confidence,
            )
            for completion, answer, verdict, confidence in zip(
                tries.completions_G, tries.answers_G, verdicts_G, confidences_G, strict=True
            )
        ),
        forecast=introspection.forecast,
        prompt_states_LH=tries.prompt_states_LH,
        probe=introspection.probe,
        budgeted=introspection.budgeted,
    )


def task_result(solved: SolvedTask) -> TaskResult:
    """What the buffer keeps of a group."""
    forecast = solved.forecast
    said = [attempt.confidence_after for attempt in solved.attempts if attempt.confidence_after is not None]
    return TaskResult(
        task=solved.task,
        correct=sum(attempt.verdict is Verdict.CORRECT for attempt in solved.attempts),
        attempts=len(solved.attempts),
        think_tokens=float(np.mean([attempt.completion.think_tokens for attempt in solved.attempts])),
        confidence_before=forecast.confidence_before if forecast else None,
        confidence_after=float(np.mean(said)) if said else None,
        plan={plan.value: share for plan, share in forecast.plan.items()} if forecast else {},
        budget={f"{quantile:g}": tokens for quantile, tokens in forecast.budget_quantiles.items()} if forecast else {},
    )


def proposal_record(rollout: ProposerRollout, outcome: SolvedTask | TaskRejected, rewards: Rewards) -> ProposalRecord:
    """One proposal with what it earns: its task's learnability, or the price of its fault."""
    rejected = outcome if isinstance(outcome, TaskRejected) else None
    solved = outcome if isinstance(outcome, SolvedTask) else None
    return ProposalRecord(
        mode=rollout.assignment.mode,
        references=rollout.assignment.references,
        prompt_ids=rollout.prompt_ids,
        completion=rollout.completion,
        answer=rollout.answer,
        proposal=rollout.read if isinstance(rollout.read, Proposal) else None,
        task=solved.task if solved else None,
        reject=rejected.reason if rejected else None,
        detail=rejected.detail if rejected else "",
        pass_rate=solved.pass_rate if solved else None,
        reward=_earned(rollout, outcome, rewards),
    )


def learner_samples(
    step: int, proposals: Sequence[ProposalRecord], solved: Sequence[SolvedTask], config: SelfplayConfig
) -> list[Sample]:
    """Every proposal, and every try of a task that is worth learning from."""
    proposed = [
        Sample(
            role=Role.PROPOSER,
            mode=record.mode,
            group=f"{step}/{index}",
            prompt_ids=record.prompt_ids,
            completion=record.completion,
            reward=record.reward,
        )
        for index, record in enumerate(proposals)
    ]
    tried = [
        Sample(
            role=Role.SOLVER,
            mode=group.task.mode,
            group=group.task.key,
            prompt_ids=group.prompt_ids,
            completion=attempt.completion,
            reward=attempt.reward,
        )
        for group in solved
        if _teaches(group, config)
        for attempt in group.attempts
    ]
    return proposed + tried


def _earned(rollout: ProposerRollout, outcome: SolvedTask | TaskRejected, rewards: Rewards) -> float:
    if isinstance(outcome, TaskRejected):
        return rewards.of_rejected(outcome.reason)
    return rewards.of_solved(SolvedProposal(task=outcome.task, completion=rollout.completion, pass_rate=outcome.pass_rate))


def _teaches(group: SolvedTask, config: SelfplayConfig) -> bool:
    # Nothing checks an induction task's message: where no try succeeds it may well describe another program.
    return group.task.mode != INDUCTION or group.pass_rate > config.induction_min_pass_rate
