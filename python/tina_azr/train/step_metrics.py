"""What a step was like, in numbers: pure functions from an episode and its update to the metrics that listeners get."""

from collections import Counter
from collections.abc import Iterable, Mapping

from tina_azr.runs.metrics import HeldoutCell, HeldoutMetrics, HeldoutOutcome, StepMetrics
from tina_azr.selfplay.heldout import Accuracy, HeldoutReport
from tina_azr.selfplay.types import Episode
from tina_azr.tasks.types import RejectReason, Role
from tina_azr.train.advantages import Advantages
from tina_azr.train.heads.learner import HeadReport
from tina_azr.train.heads.metrics import introspection_metrics
from tina_azr.train.learner import UpdateReport

_KNOWN = frozenset({RejectReason.DUPLICATE, RejectReason.HELD_OUT})
_FAULTLESS = _KNOWN | {RejectReason.OVER_LENGTH_CAP}
"""Turned down although the program passes every check."""


def step_metrics(
    episode: Episode,
    advantages: Advantages,
    update: UpdateReport,
    head_update: HeadReport | None = None,
    *,
    seconds: float,
    seconds_by_phase: Mapping[str, float],
) -> StepMetrics:
    """`seconds` is the run's clock. Rewards here are the true ones, also where the control trains on shuffled ones."""
    valid = [record for record in episode.proposals if record.reject is None or record.reject in _FAULTLESS]
    proposer = [(record.rollout.mode, record.rollout) for record in episode.proposals]
    solver = [(rollout.mode, rollout) for group in episode.groups for rollout in group.rollouts]
    # Of the step's own tasks: the known ones that are tried beside them were chosen for being uncertain.
    new = [(record.rollout.mode, record.task, record.pass_rate) for record in episode.proposals if record.task is not None]
    pass_rates = [(mode, rate) for mode, _, rate in new if rate is not None]
    tokens = sum(len(rollout.completion.ids_T) for _, rollout in proposer)
    tokens += sum(len(rollout.completion.ids_T) for _, rollout in solver)
    return StepMetrics(
        step=episode.step,
        seconds=seconds,
        proposals=len(proposer),
        valid_rate=_share(len(valid), len(proposer)),
        distinct_rate=_share(sum(record.reject not in _KNOWN for record in valid), len(valid)),
        rejects=Counter(record.reject.value for record in episode.proposals if record.reject is not None),
        tasks=len(new),
        reward={
            Role.PROPOSER.value: _means((mode, rollout.reward) for mode, rollout in proposer),
            Role.SOLVER.value: _means((mode, rollout.reward) for mode, rollout in solver),
        },
        pass_rate=_mean(rate for _, rate in pass_rates),
        pass_rate_by_mode=_means(pass_rates),
        think_tokens={
            Role.PROPOSER.value: _means((mode, rollout.completion.think_tokens) for mode, rollout in proposer),
            Role.SOLVER.value: _means((mode, rollout.completion.think_tokens) for mode, rollout in solver),
        },
        proposed_steps=_mean(task.length for _, task, _ in new),
        samples=update.samples,
        strata_dropped=advantages.strata_dropped,
        loss=update.loss,
        grad_norm=update.grad_norm,
        entropy=update.entropy,
        clip_fraction=update.clip_fraction,
        programs=episode.programs_run,
        programs_per_second=_rate(episode.programs_run, seconds_by_phase, "validate", "grade"),
        tokens=tokens,
        tokens_per_second=_rate(tokens, seconds_by_phase, "propose", "solve"),
        seconds_by_phase=dict(seconds_by_phase),
        introspection=introspection_metrics(episode, head_update),
    )


def heldout_metrics(step: int, report: HeldoutReport, seconds: float) -> HeldoutMetrics:
    """One evaluation of one sample a task, as listeners get it."""
    greedy = report.greedy_N.tolist() if report.greedy_N is not None else [None] * len(report.keys_N)
    return HeldoutMetrics(
        step=step,
        seconds=seconds,
        in_distribution=_cell(report.in_distribution),
        by_mode={mode: _cell(accuracy) for mode, accuracy in report.by_mode.items()},
        by_stratum={stratum: _cell(accuracy) for stratum, accuracy in report.by_stratum.items()},
        outcomes=tuple(
            HeldoutOutcome(
                key=key, mode=mode, stratum=stratum, correct=share > 0.5, correct_greedy=right_greedy, think_tokens=int(think)
            )
            for key, mode, stratum, share, right_greedy, think in zip(
                report.keys_N,
                report.modes_N,
                report.strata_N,
                report.shares_N.tolist(),
                greedy,
                report.think_tokens_N.tolist(),
                strict=True,
            )
        ),
    )


def _cell(accuracy: Accuracy) -> HeldoutCell:
    return HeldoutCell(
        n=accuracy.n,
        accuracy=accuracy.accuracy,
        stderr=accuracy.stderr,
        accuracy_greedy=accuracy.accuracy_greedy,
        stderr_greedy=accuracy.stderr_greedy,
        think_tokens=accuracy.think_tokens,
    )


def _mean(values: Iterable[float]) -> float | None:
    kept = list(values)
    return sum(kept) / len(kept) if kept else None


def _means(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    by_mode: dict[str, list[float]] = {}
    for mode, value in pairs:
        by_mode.setdefault(mode, []).append(value)
    return {mode: sum(values) / len(values) for mode, values in by_mode.items()}


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _rate(count: int, seconds: Mapping[str, float], *phases: str) -> float:
    spent = sum(seconds.get(phase, 0.0) for phase in phases)
    return count / spent if spent > 0.0 else 0.0
