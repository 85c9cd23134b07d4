"""Metrics of a step by hand: what counts as valid, as distinct, as a task; and a held-out report as listeners get it."""

import numpy as np
import pytest

from tina_azr.rollout.types import Completion, StopCause
from tina_azr.runs.metrics import StepMetrics
from tina_azr.selfplay.heldout import report
from tina_azr.selfplay.types import Episode, ProposalRecord, Rollout, RolloutGroup
from tina_azr.tasks.types import HeldoutTask, RejectReason, Role, Task, Verdict
from tina_azr.train.advantages import Advantages
from tina_azr.train.learner import UpdateReport
from tina_azr.train.step_metrics import heldout_metrics, step_metrics


def completion(tokens: int, think: int) -> Completion:
    return Completion(
        ids_T=np.zeros(tokens, dtype=np.int64),
        logprobs_T=np.zeros(tokens, dtype=np.float32),
        forced_T=np.zeros(tokens, dtype=np.bool_),
        stop_cause=StopCause.STOP_ID,
        think_tokens=think,
        forced_close=False,
    )


def task(key: str, mode: str, steps: int) -> Task:
    return Task(key=key, mode=mode, program="def f(x):\n    return x", length=steps)


def record(mode: str, *, became: Task | None = None, reject: RejectReason | None = None, reward: float = 0.0) -> ProposalRecord:
    return ProposalRecord(
        rollout=Rollout(
            role=Role.PROPOSER, mode=mode, group="", prompt_ids=(1,), completion=completion(10, 4), answer=None, reward=reward
        ),
        references=(),
        proposal=None,
        task=became,
        reject=reject,
        pass_rate=0.25 if became else None,
    )


def solver(task: Task, verdict: Verdict, reward: float, think: int) -> Rollout:
    return Rollout(
        role=Role.SOLVER,
        mode=task.mode,
        group=task.key,
        prompt_ids=(1,),
        completion=completion(20, think),
        answer=None,
        verdict=verdict,
        reward=reward,
    )


NEW = task("new", "deduction", 3)
OLD = task("old", "abduction", 1)


@pytest.fixture
def metrics() -> StepMetrics:
    proposals = (
        record("deduction", became=NEW, reward=0.75),
        record("deduction", reject=RejectReason.DUPLICATE, reward=-0.5),
        record("deduction", reject=RejectReason.RAISES, reward=-1.0),
        record("abduction", reject=RejectReason.OVER_LENGTH_CAP),
        record("abduction", reject=RejectReason.HELD_OUT, reward=-0.5),
    )
    groups = (
        RolloutGroup(task=NEW, rollouts=(solver(NEW, Verdict.CORRECT, 1.0, 8), solver(NEW, Verdict.WRONG, -0.5, 6))),
        RolloutGroup(task=OLD, rollouts=(solver(OLD, Verdict.CORRECT, 1.0, 2), solver(OLD, Verdict.CORRECT, 1.0, 2))),
    )
    seconds = {"propose": 1.0, "validate": 0.5, "solve": 3.0, "grade": 0.5, "learn": 2.0}
    return step_metrics(
        Episode(step=7, proposals=proposals, groups=groups, rollouts=(), seconds=seconds, programs_run=40),
        Advantages(values_N=np.zeros(0), strata_dropped=1),
        UpdateReport(samples=9, loss=0.5, grad_norm=2.0, entropy=0.3, clip_fraction=0.01),
        seconds=100.0,
        seconds_by_phase=seconds,
    )


def test_a_proposal_is_valid_unless_it_is_at_fault(metrics: StepMetrics) -> None:
    assert metrics.proposals == 5
    assert metrics.valid_rate == 4 / 5


def test_a_valid_proposal_is_distinct_unless_it_was_known(metrics: StepMetrics) -> None:
    assert metrics.distinct_rate == 2 / 4


def test_rejections_are_counted_by_their_reason(metrics: StepMetrics) -> None:
    assert metrics.rejects == {"duplicate": 1, "raises": 1, "beyond_reach": 1, "held_out": 1}


def test_pass_rate_and_length_are_those_of_new_tasks(metrics: StepMetrics) -> None:
    assert metrics.tasks == 1
    assert (metrics.pass_rate, metrics.pass_rate_by_mode) == (0.25, {"deduction": 0.25})
    assert metrics.proposed_steps == 3


def test_rewards_and_thoughts_are_means_by_role_and_mode(metrics: StepMetrics) -> None:
    assert metrics.reward == {
        "proposer": {"deduction": -0.25, "abduction": -0.25},
        "solver": {"deduction": 0.25, "abduction": 1.0},
    }
    assert metrics.think_tokens["solver"] == {"deduction": 7.0, "abduction": 2.0}


def test_speeds_are_over_the_phases_that_did_the_work(metrics: StepMetrics) -> None:
    assert metrics.programs_per_second == 40.0
    assert metrics.tokens == 5 * 10 + 4 * 20
    assert metrics.tokens_per_second == 130 / 4.0


def test_what_the_update_did_is_passed_on(metrics: StepMetrics) -> None:
    assert (metrics.step, metrics.seconds, metrics.samples, metrics.strata_dropped) == (7, 100.0, 9, 1)
    assert (metrics.loss, metrics.grad_norm, metrics.entropy, metrics.clip_fraction) == (0.5, 2.0, 0.3, 0.01)


def test_a_held_out_report_becomes_a_line_with_its_outcomes() -> None:
    tasks = [HeldoutTask(task=task(f"k{stratum}", "deduction", stratum), stratum=stratum) for stratum in (1, 2, 5)]
    evaluated = report(tasks, np.array([1.0, 0.0, 1.0]), np.array([True, True, False]), np.array([5.0, 6.0, 30.0]))
    metrics = heldout_metrics(10, evaluated, 42.0)
    assert (metrics.step, metrics.seconds, metrics.in_distribution.n, metrics.in_distribution.accuracy) == (10, 42.0, 2, 0.5)
    assert metrics.in_distribution.accuracy_greedy == 1.0
    assert metrics.by_stratum[5].accuracy == 1.0
    assert [(one.key, one.correct, one.correct_greedy, one.think_tokens) for one in metrics.outcomes] == [
        ("k1", True, True, 5),
        ("k2", False, True, 6),
        ("k5", True, False, 30),
    ]
