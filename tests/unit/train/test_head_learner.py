"""Heads that learn beside a policy: from the right labels, apart from it, and the same in every run."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from tina_azr.config import Config, load_config
from tina_azr.errors import CheckpointError
from tina_azr.introspection.scores import auroc
from tina_azr.model.loading import Policy
from tina_azr.selfplay.types import PlanProbe
from tina_azr.train.heads.labels import fold_of
from tina_azr.train.heads.learner import HeadLearner, HeadRecipe

Group = Callable[..., Any]


def config(*overrides: str) -> Config:
    return load_config(overrides=["introspection.width=16", "introspection.calibration_share=0", *overrides])


SMALL = HeadRecipe(updates_per_step=4, batch_size=32)


@pytest.fixture
def round_of(solved: Group, attempt: Group) -> Callable[..., list[Any]]:
    """Groups whose difficulty and length of thought stand in their states."""

    def make(step: int, count: int = 24) -> list[Any]:
        draw = np.random.default_rng(step)
        groups = []
        for _ in range(count):
            states = draw.normal(size=(2, 32)).astype(np.float32)
            difficulty = float(states[1, 0])
            rate = 1 / (1 + np.exp(-3 * difficulty))
            length = int(np.exp(3 - 0.7 * difficulty))
            rights = draw.random(8) < rate
            attempts = [
                attempt(bool(right), length, states=states + 0.1 * number, tag=number) for number, right in enumerate(rights)
            ]
            probe = PlanProbe(stop_rate=float(difficulty > 0), values={})
            groups.append(solved(attempts, key=draw.bytes(32).hex(), states=states, probe=probe))
        return groups

    return make


Rounds = Callable[..., list[Any]]


def parameters(learner: HeadLearner) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in learner.state_tensors().items() if ".weight." in name}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def never_closed(group: Any) -> Any:
    """The group as it would be had its rollouts all been cut off in the thought."""
    attempts = (replace(one, completion=replace(one.completion, close_states_LH=None)) for one in group.rollouts)
    return replace(group, rollouts=tuple(attempts))


@pytest.mark.parametrize("form", ["linear", "tap", "linked"])
def test_heads_learn_what_stands_in_the_states(byte_policy: Policy, round_of: Rounds, form: str) -> None:
    learner = HeadLearner(byte_policy, config(f"introspection.heads=[{form}]"), replace(SMALL, lr=0.01, updates_per_step=20))
    reports = [learner.update(step, round_of(step, 48)) for step in range(1, 9)]
    assert reports[-1].c0_loss < reports[0].c0_loss
    assert reports[-1].budget_loss < reports[0].budget_loss
    unseen = round_of(99, 100)
    forecasts = learner.introspector.forecasts(np.stack([group.prompt_states_LH for group in unseen]))
    assert auroc([one.confidence_before for one in forecasts], [group.pass_rate for group in unseen]) > 0.8
    lengths = [group.rollouts[0].completion.think_tokens for group in unseen]
    assert np.corrcoef([one.budget_quantiles[0.5] for one in forecasts], lengths)[0, 1] > 0.5


def test_an_update_of_the_heads_is_none_of_the_policy(byte_policy: Policy, round_of: Rounds) -> None:
    before = [weight.detach().clone() for weight in byte_policy.module.parameters()]
    learner = HeadLearner(byte_policy, config(), SMALL)
    learner.update(1, round_of(1))
    assert all(torch.equal(weight, old) for weight, old in zip(byte_policy.module.parameters(), before, strict=True))
    assert all(weight.grad is None for weight in byte_policy.module.parameters())


def test_every_form_and_fold_is_moved_by_a_step(byte_policy: Policy, round_of: Rounds) -> None:
    learner = HeadLearner(
        byte_policy, config("introspection.heads=[tap,linear,linked]", "introspection.reward=calibration_surprise")
    )
    before = parameters(learner)
    learner.update(1, round_of(1))
    after = parameters(learner)
    assert {name.split(".")[1] for name in after} == {"tap", "linear", "linked", "fold0", "fold1"}
    still = {name.split(".weight.")[0] for name, tensor in after.items() if torch.equal(tensor, before[name])}
    assert still == {"heads.fold0", "heads.fold1"}, "folds are never asked for confidence after thinking"
    assert all(".close" in name for name, tensor in after.items() if torch.equal(tensor, before[name]))


def test_tasks_of_the_calibration_share_are_passed_over(byte_policy: Policy, round_of: Rounds) -> None:
    learner = HeadLearner(byte_policy, config("introspection.calibration_share=0.999999999"), SMALL)
    before = parameters(learner)
    report = learner.update(1, round_of(1))
    assert (report.labels, learner.labels) == (0, 0)
    assert same(parameters(learner), before)


def test_each_fold_learns_from_its_own_half_and_forecasts_the_other(byte_policy: Policy, round_of: Rounds) -> None:
    learner = HeadLearner(byte_policy, config("introspection.reward=calibration_surprise"), SMALL)
    before = parameters(learner)
    groups = [group for group in round_of(1, 40) if fold_of(group.task) == 0]
    states = np.stack([group.prompt_states_LH for group in groups])
    tasks = [group.task for group in groups]
    forecast = learner.c0(states, tasks)
    learner.update(1, groups)
    moved = {name.split(".")[1] for name, tensor in parameters(learner).items() if not torch.equal(tensor, before[name])}
    assert moved == {"tap", "fold0"}
    assert learner.c0(states, tasks) == forecast, "what forecasts these tasks has not learned from them"


def test_surprise_counts_only_after_enough_labels(byte_policy: Policy, round_of: Rounds) -> None:
    learner = HeadLearner(byte_policy, config(), replace(SMALL, reward_min_labels=40))
    ready = []
    for step in (1, 2, 3):
        ready.append(learner.ready)
        learner.update(step, round_of(step, 20))
    assert ready == [False, False, True]
    assert learner.labels == 60


def test_old_labels_are_let_go_of(byte_policy: Policy, round_of: Rounds) -> None:
    learner = HeadLearner(byte_policy, config(), replace(SMALL, window_steps=2))
    for step in (1, 2, 3):
        learner.update(step, round_of(step, 5))
    assert learner.state_tensors()["heads.labels.step_N"].tolist() == [2] * 5 + [3] * 5


def test_learning_is_the_same_every_time_and_draws_from_no_ones_generator(byte_policy: Policy, round_of: Rounds) -> None:
    results = []
    for noise in (0, 1):
        torch.manual_seed(noise)
        np.random.seed(noise)
        torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index]
        learner = HeadLearner(byte_policy, config(), SMALL)
        for step in (1, 2):
            learner.update(step, round_of(step))
        assert torch.equal(torch.random.get_rng_state(), torch_state)
        assert np.random.get_state()[1].tolist() == numpy_state  # type: ignore[index]
        results.append(parameters(learner))
    assert same(*results)


def test_restored_heads_go_on_to_the_same_bit(byte_policy: Policy, round_of: Rounds) -> None:
    settings = config("introspection.heads=[tap,linked]", "introspection.reward=calibration_surprise")
    alone, first, second = (HeadLearner(byte_policy, settings, replace(SMALL, experts=2)) for _ in range(3))
    for step in (1, 2, 3):
        alone.update(step, round_of(step))
    for step in (1, 2):
        first.update(step, round_of(step))
    second.load_state({name: tensor.clone() for name, tensor in first.state_tensors().items()}, first.state_json())
    second.update(3, round_of(3))
    assert same(second.state_tensors(), alone.state_tensors())
    assert second.state_json() == alone.state_json()


def test_heads_are_restored_to_the_bit_where_no_thought_had_closed_at_first(byte_policy: Policy, round_of: Rounds) -> None:
    alone, first, second = (HeadLearner(byte_policy, config(), SMALL) for _ in range(3))
    for learner in (alone, first):
        learner.update(1, [never_closed(group) for group in round_of(1)])
    second.load_state({name: tensor.clone() for name, tensor in first.state_tensors().items()}, first.state_json())
    for learner in (alone, second):
        learner.update(2, round_of(2))
    third = HeadLearner(byte_policy, config(), SMALL)
    third.load_state({name: tensor.clone() for name, tensor in second.state_tensors().items()}, second.state_json())
    for learner in (alone, third):
        learner.update(3, round_of(3))
    assert same(third.state_tensors(), alone.state_tensors())


def test_heads_that_have_learned_nothing_are_restored_as_such(byte_policy: Policy) -> None:
    first, second = (HeadLearner(byte_policy, config(), SMALL) for _ in range(2))
    second.load_state(first.state_tensors(), first.state_json())
    assert second.state_json() == {"labels": 0}


@pytest.mark.parametrize("other", ["introspection.width=8", "introspection.heads=[linear]", "introspection.heads=[tap,linear]"])
def test_heads_of_another_configuration_are_refused(byte_policy: Policy, round_of: Rounds, other: str) -> None:
    learner = HeadLearner(byte_policy, config(), SMALL)
    learner.update(1, round_of(1))
    with pytest.raises(CheckpointError, match="another shape than the configuration's"):
        HeadLearner(byte_policy, config(other), SMALL).load_state(learner.state_tensors(), learner.state_json())
