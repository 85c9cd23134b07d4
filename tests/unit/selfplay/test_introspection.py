"""Introspection in a round: what is forecast of each group and each try, who thinks under a wall, what a forecast's error pays."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tina_azr.config import Config, load_config
from tina_azr.engine.engine import IntrospectiveEngine
from tina_azr.errors import ConfigError
from tina_azr.introspection.budget import decide_budget
from tina_azr.introspection.calibration import ConfidenceCalibration, ConfidenceMap
from tina_azr.introspection.heads import HeadShape, build_heads
from tina_azr.introspection.introspector import Introspector, close_extras
from tina_azr.model.loading import Policy
from tina_azr.selfplay.episode import SelfPlay
from tina_azr.selfplay.introspection import SelfPlayIntrospection
from tina_azr.selfplay.introspection_rewards import calibration_surprise
from tina_azr.selfplay.types import Episode
from tina_azr.tasks.buffer import TaskBuffer
from tina_azr.tasks.types import Reference, Task

SEEDS = (Reference(program="def f(x):\n    return x + 1", input="2", output="3"),)
TASK = Task(key="a" * 64, mode="deduction", program="def f(x):\n    return x", input="1", output="1")


def config(*overrides: str) -> Config:
    small = (
        "tasks.modes=[deduction]",
        "selfplay.proposals_per_mode=3",
        "selfplay.group_size=4",
        "tasks.max_prompt_tokens=600",
        "introspection.probe_share=0",
    )
    return load_config(overrides=[*small, *overrides])


def talk(prompt: str, index: int, seed: int) -> str | None:
    """Three different tasks, each solved by half of the tries; one thought in four never ends."""
    if "Predict" not in prompt:
        return f"\n</think>\n\n```python\ndef f(x):\n    return x * {seed % 97 + 2}\n```\n```input\n1\n```\n"
    factor = prompt.split("x * ")[1].split("\n")[0]
    return None if index == 3 else f"{'so' * index}\n</think>\n\n```output\n{factor if index < 2 else -1}\n```\n"


class Lagged:
    """Heads that forecast what they are told to."""

    def __init__(self, c0: list[float], *, ready: bool = True) -> None:
        self.ready = ready
        self._c0 = c0

    def c0(self, states_NLH: np.ndarray, tasks_N: list[Task]) -> list[float]:
        assert len(states_NLH) == len(tasks_N) == len(self._c0)
        return self._c0


@pytest.fixture
def introspector(byte_policy: Policy) -> Introspector:
    return Introspector(build_heads(HeadShape(kind="tap", taps=(0, 1), hidden_size=32, width=8), seed=1))


Play = Callable[..., tuple[Episode, Any]]


@pytest.fixture
def play(byte_policy: Policy, in_process: Any, introspector: Introspector, tapped_engine: Any, tmp_path: Path) -> Play:
    """One round with heads. Returns the episode and the engine."""

    def once(*overrides: str, lagged: Lagged | None = None) -> tuple[Episode, Any]:
        settings, engine = config(*overrides), tapped_engine(byte_policy, talk, (0, 1))
        path = tmp_path / f"{len(list(tmp_path.iterdir()))}.sqlite"
        introspection = SelfPlayIntrospection(byte_policy, engine, in_process, introspector, settings, lagged)
        with TaskBuffer.create(path, settings.tasks, SEEDS) as buffer:
            episode = SelfPlay(byte_policy, engine, in_process, buffer, settings, introspection=introspection).play(1)
        return episode, engine

    return once


def test_every_group_and_every_closed_try_is_forecast(play: Play, introspector: Introspector) -> None:
    episode, _ = play()
    assert len(episode.groups) == 3
    states = np.stack([group.prompt_states_LH for group in episode.groups if group.prompt_states_LH is not None])
    # All at once, as in the round: one by one, some processors round the last bit the other way.
    assert [group.forecast for group in episode.groups] == introspector.forecasts(states, ["deduction"] * 3)
    for group in episode.groups:
        assert [rollout.confidence_after is None for rollout in group.rollouts] == [False, False, False, True]
        for rollout in group.rollouts[:3]:
            close = rollout.completion.close_states_LH
            assert close is not None
            (expected,) = introspector.close_confidences(close[None], close_extras(rollout.completion)[None])
            assert rollout.confidence_after == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("share", "probed"), [(0.0, 0), (0.4, 1), (1.0, 3)])
def test_a_share_of_the_tasks_is_probed_and_probes_are_not_trained_on(play: Play, share: float, probed: int) -> None:
    episode, _ = play(f"introspection.probe_share={share}")
    assert sum(group.probe is not None for group in episode.groups) == probed
    assert len(episode.rollouts) == 3 + 3 * 4


def test_walls_are_for_the_drawn_groups_alone(play: Play) -> None:
    episode, engine = play("introspection.budget_share=0.25")
    budgeted = [group.budgeted for group in episode.groups]
    assert [think_limit is not None for think_limit in engine.think_limits] == (budgeted if any(budgeted) else [])


STATES = np.random.default_rng(0).normal(size=(3, 2, 32)).astype(np.float32)
ROOM = ("introspection.budget_share=0.25", "selfplay.max_tokens=500")


def forecast_walls(policy: Policy, in_process: Any, introspector: Introspector, *overrides: str) -> list[int | None]:
    introspection = SelfPlayIntrospection(policy, None, in_process, introspector, config(*ROOM, *overrides))  # type: ignore[arg-type]
    return list(introspection.think_limit_hook({0, 2})([0, 1, 2], STATES))


def test_walls_stand_where_the_engine_would_put_them(byte_policy: Policy, in_process: Any, introspector: Introspector) -> None:
    engine = IntrospectiveEngine(byte_policy, introspector=introspector)
    first, _, last = (
        decide_budget(
            forecast.budget_quantiles, max_tokens=500, closing_tokens=len(byte_policy.closing_ids), settings=engine.settings.budget
        ).think_limit
        for forecast in introspector.forecasts(STATES)
    )
    assert forecast_walls(byte_policy, in_process, introspector) == [first, None, last]


def test_a_wall_keeps_room_for_the_closing_words_and_no_reserve(
    byte_policy: Policy, in_process: Any, introspector: Introspector
) -> None:
    floor = ("introspection.min_think_tokens=200", "selfplay.max_tokens=210")
    think_limits = forecast_walls(byte_policy, in_process, introspector, *floor)
    assert think_limits == [210 - len(byte_policy.closing_ids), None, 210 - len(byte_policy.closing_ids)]


def test_no_predicted_wall_lies_beyond_the_one_of_all_groups_or_the_bounds_of_a_budget(
    byte_policy: Policy, in_process: Any, introspector: Introspector
) -> None:
    assert forecast_walls(byte_policy, in_process, introspector, "selfplay.think_limit=9") == [9, None, 9]
    most = forecast_walls(byte_policy, in_process, introspector, "introspection.max_think_tokens=12")
    assert all(12 <= think_limit <= 24 for think_limit in (most[0], most[2]) if think_limit is not None)


def test_bounds_that_do_not_fit_the_model_are_refused_before_the_first_step(
    byte_policy: Policy, in_process: Any, introspector: Introspector
) -> None:
    room = byte_policy.module.config.max_position_embeddings // 5
    with pytest.raises(ConfigError, match=rf"introspection\.min_think_tokens {room + 1}: .* reasoning of at most {room}\."):
        SelfPlayIntrospection(byte_policy, None, in_process, introspector, config(f"introspection.min_think_tokens={room + 1}"))  # type: ignore[arg-type]


def test_most_groups_never_think_under_a_wall(byte_policy: Policy, in_process: Any, introspector: Introspector) -> None:
    introspection = SelfPlayIntrospection(byte_policy, None, in_process, introspector, config("introspection.budget_share=0.25"))  # type: ignore[arg-type]
    shares = [len(introspection.budgeted_groups(step, [TASK] * 40)) / 40 for step in range(200)]
    assert np.mean(shares) == pytest.approx(0.25, abs=0.02)
    none = SelfPlayIntrospection(byte_policy, None, in_process, introspector, config())  # type: ignore[arg-type]
    assert none.budgeted_groups(1, [TASK] * 40) == frozenset()


# In the reward.

SURPRISE = ("introspection.reward=calibration_surprise", "introspection.coeff=0.5")


def test_a_wrong_forecast_pays_its_proposer_and_the_mode_is_centred(play: Play) -> None:
    plain, _ = play()
    c0 = [0.5, 0.1, 0.5]
    episode, _ = play(*SURPRISE, lagged=Lagged(c0))
    raw = [calibration_surprise(0.5, p, 4) for p in c0]
    for record, before, value in zip(episode.proposals, plain.proposals, raw, strict=True):
        assert record.introspection_bonus == pytest.approx(value - np.mean(raw))
        assert record.rollout.reward == pytest.approx(before.rollout.reward + 0.5 * record.introspection_bonus)
    assert sum(record.introspection_bonus or 0.0 for record in episode.proposals) == pytest.approx(0.0)


@pytest.mark.parametrize(
    ("overrides", "lagged"),
    [
        ((SURPRISE[0], "introspection.coeff=0"), Lagged([0.5, 0.1, 0.5])),
        (SURPRISE, Lagged([0.5, 0.1, 0.5], ready=False)),
        (SURPRISE, None),
        (("introspection.reward=seed_legacy", "introspection.coeff=0"), None),
        ((), Lagged([0.5, 0.1, 0.5])),
    ],
)
def test_where_it_counts_for_nothing_the_records_are_as_they_were(
    play: Play, overrides: tuple[str, ...], lagged: Lagged | None
) -> None:
    plain, _ = play()
    episode, _ = play(*overrides, lagged=lagged)
    assert [(record.rollout.reward, record.introspection_bonus) for record in episode.proposals] == [
        (one.rollout.reward, None) for one in plain.proposals
    ]
    assert [rollout.reward for rollout in episode.rollouts] == [rollout.reward for rollout in plain.rollouts]


def test_the_founding_formula_scales_what_is_earned(play: Play, introspector: Introspector) -> None:
    with torch.no_grad():
        introspector.heads.outputs.plan.bias[3] = 20.0  # type: ignore[union-attr]
        introspector.heads.outputs.c0.bias.fill_(-20.0)  # type: ignore[union-attr]
    plain, _ = play()
    episode, _ = play("introspection.reward=seed_legacy", "introspection.coeff=0.1")
    for record, before in zip(episode.proposals, plain.proposals, strict=True):
        assert record.introspection_bonus == pytest.approx(1.5)
        assert record.rollout.reward == pytest.approx(before.rollout.reward * 1.15)


def test_solvers_are_never_paid_for_a_forecast(play: Play) -> None:
    plain, _ = play()
    episode, _ = play(*SURPRISE, lagged=Lagged([0.9, 0.1, 0.5]))
    assert [[rollout.reward for rollout in group.rollouts] for group in episode.groups] == [
        [rollout.reward for rollout in group.rollouts] for group in plain.groups
    ]


def test_a_calibration_of_the_mode_is_gone_through(play: Play, introspector: Introspector) -> None:
    raw, _ = play()
    colder = ConfidenceCalibration(by_mode={"deduction": ConfidenceMap(method="temperature", temperature=4.0)})
    introspector.calibration = introspector.calibration.model_copy(update={"c0": colder})
    calibrated, _ = play()
    for before, after in zip(raw.groups, calibrated.groups, strict=True):
        assert before.forecast is not None
        assert after.forecast is not None
        logit = np.log(before.forecast.confidence_before / (1 - before.forecast.confidence_before))
        assert after.forecast.confidence_before == pytest.approx(1 / (1 + np.exp(-logit / 4.0)), abs=1e-6)
        assert replace(after.forecast, confidence_before=before.forecast.confidence_before) == before.forecast
