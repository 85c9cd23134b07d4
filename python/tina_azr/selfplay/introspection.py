"""Introspection in one round of self-play: forecasts, predicted think limits, plan probes.

The heads are read before the outcomes of the round are known and trained after it, so every forecast here comes from the heads of the
step before.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from tina_azr.config import Config, choose
from tina_azr.introspection.budget import configured_budget, decide_budget, fitting_budget
from tina_azr.introspection.introspector import Introspector, close_extras
from tina_azr.introspection.types import Forecast
from tina_azr.model.loading import Policy
from tina_azr.rollout.types import PromptHook, RolloutEngine, SamplingParams
from tina_azr.sandbox.types import Executor
from tina_azr.selfplay.introspection_rewards import BONUS_RULES, CrossFitted, add_introspection
from tina_azr.selfplay.plan_probes import PROBE_SIZE, probe_plans
from tina_azr.selfplay.seeding import RandomStream, generator, request_seeds
from tina_azr.selfplay.timing import Phases
from tina_azr.selfplay.types import PlanProbe, ProposalRecord, RolloutGroup
from tina_azr.tasks.types import Task


class SelfPlayIntrospection:
    """Reader of the heads for the rounds of one run."""

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
        choose(BONUS_RULES, config.introspection.reward, "introspection.reward")  # an unknown rule should fail now, not in a step
        # Here, so that bounds which do not fit the model stop a run before its first step.
        self._budget = replace(fitting_budget(configured_budget(config.introspection), policy), answer_reserve=0)

    def budgeted_groups(self, step: int, tasks: Sequence[Task]) -> frozenset[int]:
        """Draw the tasks whose reasoning is held to the predicted think limit; returns their numbers.

        Most are not: budgets learned only from capped reasoning would shrink for ever.
        """
        share = self._config.introspection.budget_share
        if not share:
            return frozenset()
        draw = generator(self._config.seed, step, RandomStream.BUDGET)
        return frozenset(np.flatnonzero(draw.random(len(tasks)) < share).tolist())

    def think_limit_hook(self, budgeted: Collection[int]) -> PromptHook:
        """Return a hook that sets the think limit of these groups as the chat engine would, never above the limit of all groups.

        It keeps no answer reserve: the other groups have none, and these must differ from them only in the think limit.
        """
        play, policy = self._config.selfplay, self._policy

        def think_limit(forecast: Forecast) -> int:
            decision = decide_budget(
                forecast.budget_quantiles,
                max_tokens=play.max_tokens,
                closing_tokens=len(policy.closing_ids),
                settings=self._budget,
            )
            return decision.think_limit if play.think_limit is None else min(decision.think_limit, play.think_limit)

        def think_limits(numbers: Sequence[int], states_NLH: NDArray[np.float32]) -> list[int | None]:
            forecasts = self._introspector.forecasts(states_NLH)
            return [
                think_limit(forecast) if number in budgeted else None for number, forecast in zip(numbers, forecasts, strict=True)
            ]

        return think_limits

    def read(
        self, step: int, groups: Sequence[RolloutGroup], budgeted: Collection[int], phases: Phases, *, probing: bool = True
    ) -> list[RolloutGroup]:
        """Return the groups with the forecasts of their prompts and rollouts, and plan probes of some of them."""
        if not groups:
            return []
        modes = [group.task.mode for group in groups]
        states = [group.prompt_states_LH for group in groups]
        forecasts = self._introspector.forecasts(np.stack([state for state in states if state is not None]), modes)
        probes = self._probe(step, groups, phases) if probing else {}
        return [
            replace(group, forecast=forecasts[index], probe=probes.get(index), budgeted=index in budgeted)
            for index, group in enumerate(self._with_confidences(groups))
        ]

    def _with_confidences(self, groups: Sequence[RolloutGroup]) -> list[RolloutGroup]:
        found = [
            (group.task.mode, rollout.completion.close_states_LH, close_extras(rollout.completion))
            for group in groups
            for rollout in group.rollouts
            if rollout.completion.close_states_LH is not None
        ]
        if not found:
            return list(groups)
        modes, states, extras = zip(*found, strict=True)
        confidences = iter(self._introspector.close_confidences(np.stack(states), np.stack(extras), modes))
        return [
            replace(
                group,
                rollouts=tuple(
                    replace(rollout, confidence_after=next(confidences))
                    if rollout.completion.close_states_LH is not None
                    else rollout
                    for rollout in group.rollouts
                ),
            )
            for group in groups
        ]

    def _probe(self, step: int, groups: Sequence[RolloutGroup], phases: Phases) -> dict[int, PlanProbe]:
        settings, play = self._config.introspection, self._config.selfplay
        count = round(settings.probe_share * len(groups))
        if not count:
            return {}
        chosen = np.sort(generator(self._config.seed, step, RandomStream.PROBE).permutation(len(groups))[:count]).tolist()
        with phases.phase("probe", count * PROBE_SIZE) as on_progress:
            probes = probe_plans(
                self._policy,
                self._engine,
                self._executor,
                [groups[index].task for index in chosen],
                size=PROBE_SIZE,
                params=SamplingParams(max_tokens=play.max_tokens, temperature=play.temperature, think_limit=play.think_limit),
                seeds=request_seeds(self._config.seed, step, RandomStream.PROBE, count),
                on_progress=on_progress,
            )
        return dict(zip(chosen, probes, strict=True))

    def reward(self, records: Sequence[ProposalRecord], groups: Sequence[RolloutGroup | None]) -> list[ProposalRecord]:
        """Return the proposals with what introspection adds to their rewards (`introspection_rewards`)."""
        return add_introspection(records, groups, self._config.introspection, self._cross_fitted)
