"""Introspection in a round: what the heads forecast, whether the plan held, and what the forecast's error is worth.

Heads are read before the round's outcomes are known and trained after it, so every forecast here is by the heads of the step before.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tina_azr.config import Config
from tina_azr.introspection.budget import configured_budget, decide_budget, fitting_budget
from tina_azr.introspection.introspector import Introspector, close_extras
from tina_azr.introspection.types import Forecast
from tina_azr.model.loading import Policy
from tina_azr.rollout.types import PromptHook, RolloutEngine, SamplingParams
from tina_azr.sandbox.types import Executor
from tina_azr.selfplay.introspection_rewards import calibration_surprise, centred, seed_legacy
from tina_azr.selfplay.plan_probes import PlanProbe, probe_plans
from tina_azr.selfplay.records import GroupIntrospection
from tina_azr.selfplay.seeding import Phase, generator, request_seeds
from tina_azr.selfplay.solving import Tries
from tina_azr.selfplay.timing import Phases
from tina_azr.selfplay.types import ProposalRecord, SolvedTask
from tina_azr.tasks.types import Task, TaskRejected


class CrossFitted(Protocol):
    """Confidence heads of which each forecasts only tasks whose programs it never learns from."""

    @property
    def ready(self) -> bool:
        """They have seen enough labels to be taken seriously."""
        ...

    def c0(self, states_NLH: NDArray[np.float32], tasks_N: Sequence[Task]) -> list[float]:
        """Raw confidence before thinking, of each task by the head that does not know its program."""
        ...


class SelfPlayIntrospection:
    """Reads the heads for one run's rounds."""

    def __init__(
        self,
        policy: Policy,
        engine: RolloutEngine,
        executor: Executor,
        introspector: Introspector,
        config: Config,
        cross_fitted: CrossFitted | None = None,
    ) -> None:
        self._policy = policy
        self._engine = engine
        self._executor = executor
        self._introspector = introspector
        self._config = config
        self._cross_fitted = cross_fitted
        # Here, so that bounds which do not fit the model stop a run before its first step.
        self._think_limits = replace(fitting_budget(configured_budget(config.introspection), policy), answer_reserve=0)

    # Before the tries.

    def budgeted_groups(self, step: int, tasks: Sequence[Task]) -> frozenset[int]:
        """Which groups think under the predicted wall. Most never do: budgets learned from capped thoughts alone would shrink for ever."""
        share = self._config.introspection.budget_share
        if not share:
            return frozenset()
        draw = generator(self._config.seed, step, Phase.BUDGET)
        return frozenset(np.flatnonzero(draw.random(len(tasks)) < share).tolist())

    def think_limit_hook(self, budgeted: Collection[int]) -> PromptHook:
        """Walls of these groups, where the engine would put them; never beyond the wall that all groups have.

        But for the engine's reserve for the answer: the other groups keep none, and these shall differ from them in the wall alone.
        """
        play, policy = self._config.selfplay, self._policy

        def think_limit(forecast: Forecast) -> int:
            decision = decide_budget(
                forecast.budget_quantiles,
                max_tokens=play.max_tokens,
                closing_tokens=len(policy.closing_ids),
                settings=self._think_limits,
            )
            return decision.think_limit if play.think_limit is None else min(decision.think_limit, play.think_limit)

        def think_limits(numbers: Sequence[int], states_NLH: NDArray[np.float32]) -> list[int | None]:
            forecasts = self._introspector.forecasts(states_NLH)
            return [
                think_limit(forecast) if number in budgeted else None for number, forecast in zip(numbers, forecasts, strict=True)
            ]

        return think_limits

    # After them.

    def of_groups(
        self, step: int, tries: Sequence[Tries], budgeted: Collection[int], phases: Phases, *, probing: bool = True
    ) -> list[GroupIntrospection]:
        """What was forecast of each group and each of its tries, and the probes of some."""
        if not tries:
            return []
        modes = [group.task.mode for group in tries]
        states = [group.prompt_states_LH for group in tries]
        forecasts = self._introspector.forecasts(np.stack([state for state in states if state is not None]), modes)
        confidences = self._confidences(tries)
        probes = self._probe(step, tries, phases) if probing else {}
        return [
            GroupIntrospection(
                forecast=forecasts[index],
                confidences_G=confidences[index],
                probe=probes.get(index),
                budgeted=index in budgeted,
            )
            for index in range(len(tries))
        ]

    def _confidences(self, tries: Sequence[Tries]) -> list[tuple[float | None, ...]]:
        found = [
            (group.task.mode, completion.close_states_LH, close_extras(completion))
            for group in tries
            for completion in group.completions_G
            if completion.close_states_LH is not None
        ]
        if not found:
            return [(None,) * len(group.completions_G) for group in tries]
        modes, states, extras = zip(*found, strict=True)
        said = iter(self._introspector.close_confidences(np.stack(states), np.stack(extras), modes))
        return [
            tuple(next(said) if completion.close_states_LH is not None else None for completion in group.completions_G)
            for group in tries
        ]

    def _probe(self, step: int, tries: Sequence[Tries], phases: Phases) -> dict[int, PlanProbe]:
        settings, play = self._config.introspection, self._config.selfplay
        count = round(settings.probe_share * len(tries))
        if not count:
            return {}
        chosen = np.sort(generator(self._config.seed, step, Phase.PROBE).permutation(len(tries))[:count]).tolist()
        with phases.phase("probe", count * settings.probe_size) as on_progress:
            probes = probe_plans(
                self._policy,
                self._engine,
                self._executor,
                [tries[index].task for index in chosen],
                size=settings.probe_size,
                params=SamplingParams(max_tokens=play.max_tokens, temperature=play.temperature, think_limit=play.think_limit),
                seeds=request_seeds(self._config.seed, step, Phase.PROBE, count),
                on_progress=on_progress,
            )
        return dict(zip(chosen, probes, strict=True))

    # In the reward.

    def reward(self, records: Sequence[ProposalRecord], outcomes: Sequence[SolvedTask | TaskRejected]) -> list[ProposalRecord]:
        """Proposals with what their forecasts add. With coefficient 0, or `off`, the records as they are."""
        settings = self._config.introspection
        solved = {number: outcome for number, outcome in enumerate(outcomes) if isinstance(outcome, SolvedTask)}
        add = _TERMS[settings.reward]
        if not settings.coeff or not solved or add is None:
            return list(records)
        added = dict(zip(solved, add(self, [records[number] for number in solved], list(solved.values())), strict=True))
        return [added.get(number, record) for number, record in enumerate(records)]

    def _add_calibration_error(self, records: list[ProposalRecord], groups: list[SolvedTask]) -> list[ProposalRecord]:
        if self._cross_fitted is None or not self._cross_fitted.ready:
            return records
        states = np.stack([group.prompt_states_LH for group in groups if group.prompt_states_LH is not None])
        c0 = self._cross_fitted.c0(states, [group.task for group in groups])
        raw = [calibration_surprise(group.pass_rate, p, len(group.attempts)) for group, p in zip(groups, c0, strict=True)]
        values = centred(raw, [group.task.mode for group in groups])
        coeff = self._config.introspection.coeff
        return [
            replace(record, reward=record.reward + coeff * value, introspection_bonus=value)
            for record, value in zip(records, values, strict=True)
        ]

    def _add_legacy(self, records: list[ProposalRecord], groups: list[SolvedTask]) -> list[ProposalRecord]:
        settings = self._config.introspection
        scores = [
            seed_legacy(group.forecast, min_think_tokens=settings.min_think_tokens) if group.forecast is not None else 0.0
            for group in groups
        ]
        # It scales learnability, so it scales what is earned, not what a fault costs.
        return [
            replace(record, reward=record.reward * (1.0 + settings.coeff * score), introspection_bonus=score)
            if record.reward > 0.0
            else record
            for record, score in zip(records, scores, strict=True)
        ]


_Term = Callable[[SelfPlayIntrospection, list[ProposalRecord], list[SolvedTask]], list[ProposalRecord]]
_TERMS: dict[str, _Term | None] = {
    "off": None,
    "calibration_surprise": SelfPlayIntrospection._add_calibration_error,
    "seed_legacy": SelfPlayIntrospection._add_legacy,
}
"""Every reward mode by its configured name."""
