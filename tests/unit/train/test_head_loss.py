"""The scores that train heads pull to what they claim: the rate, the quantile, the target."""

import numpy as np
import pytest
import torch

from tina_azr.introspection.heads import QUANTILES
from tina_azr.train.heads.losses import budget_loss, confidence_loss, plan_loss


def no(lengths: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(lengths, dtype=torch.bool)


def fitted(lengths: torch.Tensor, censored: torch.Tensor, steps: int = 600) -> torch.Tensor:
    """Free quantiles of one prompt whose rollouts took these lengths."""
    predicted = torch.full((1, 3), 3.0, requires_grad=True)
    optimizer = torch.optim.Adam([predicted], lr=0.02)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - step / steps)
        optimizer.zero_grad()
        budget_loss(predicted, lengths[None], censored[None]).backward()
        optimizer.step()
    return predicted.detach()[0]


def test_pinball_pulls_to_the_quantiles() -> None:
    lengths = torch.from_numpy(np.random.default_rng(0).lognormal(3.5, 0.7, size=2_000).astype(np.int64))
    predicted = fitted(lengths, no(lengths))
    coverage = [float((lengths.log1p() <= quantile).float().mean()) for quantile in predicted]
    assert coverage == pytest.approx(QUANTILES, abs=0.02)


def test_a_censored_thought_pulls_up_what_is_below_it_and_says_nothing_of_the_rest() -> None:
    predicted = torch.tensor([[2.0, 4.0, 6.0]], requires_grad=True)
    length = torch.tensor([[int(np.expm1(5.0))]])
    budget_loss(predicted, length, torch.tensor([[True]])).backward()
    assert predicted.grad is not None
    below, middle, above = predicted.grad[0].tolist()
    assert below < 0
    assert middle < 0
    assert above == 0.0


@pytest.mark.slow
def test_censored_labels_do_not_shrink_the_budget() -> None:
    """Walls at the median: taken at face value, half of the thoughts would look shorter than they need to be."""
    whole = torch.from_numpy(np.random.default_rng(1).lognormal(3.5, 0.7, size=2_000).astype(np.int64))
    think_limit = whole.median()
    cut, censored = whole.clamp(max=think_limit), whole > think_limit
    naive, fair = fitted(cut, no(cut)), fitted(cut, censored)
    assert float(naive[1]) == pytest.approx(float(think_limit.double().log1p()), abs=0.05)
    assert float(fair[1]) >= float(naive[1]) - 0.05
    assert float(fair[0]) == pytest.approx(float(fitted(whole, no(whole))[0]), abs=0.1)


def test_wrong_answers_say_nothing_of_length() -> None:
    predicted = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]], requires_grad=True)
    lengths = torch.tensor([[5, -1], [-1, -1]])
    loss = budget_loss(predicted, lengths, no(lengths))
    torch.testing.assert_close(loss, budget_loss(predicted[:1], lengths[:1, :1], no(lengths)[:1, :1]))
    loss.backward()
    assert predicted.grad is not None
    assert predicted.grad[0].any()
    assert not predicted.grad[1].any()


def test_where_nothing_is_known_the_loss_is_zero_and_can_be_walked_back() -> None:
    predicted, logits = torch.zeros(2, 3, requires_grad=True), torch.zeros(2, 4, requires_grad=True)
    unknown = torch.full((2, 5), -1)
    total = budget_loss(predicted, unknown, no(unknown)) + plan_loss(logits, torch.zeros(2, 4))
    total.backward()
    assert total.item() == 0.0
    assert predicted.grad is not None
    assert not predicted.grad.any()


@pytest.mark.parametrize("rate", [0.125, 0.5, 0.875])
def test_confidence_is_best_at_the_rate(rate: float) -> None:
    grid = torch.linspace(-4, 4, 8_001)
    losses = torch.stack([confidence_loss(logit[None], torch.tensor([rate])) for logit in grid])
    assert float(grid[losses.argmin()].sigmoid()) == pytest.approx(rate, abs=1e-3)


def test_a_soft_label_is_the_likelihood_of_the_groups_rollouts() -> None:
    logit, outcomes = torch.tensor(0.7), torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0])
    one_by_one = confidence_loss(logit.expand(8), outcomes)
    torch.testing.assert_close(confidence_loss(logit[None], outcomes.mean()[None]), one_by_one)


def test_plans_are_pulled_to_their_targets_and_those_not_probed_are_left_alone() -> None:
    logits = torch.zeros(3, 4, requires_grad=True)
    target = torch.tensor([[0.0, 0.0, 0.0, 1.0], [0.0] * 4, [0.5, 0.5, 0.0, 0.0]])
    plan_loss(logits, target).backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[0], (torch.full((4,), 0.25) - target[0]) / 2)
    assert not logits.grad[1].any()
    torch.testing.assert_close(logits.grad[2], (torch.full((4,), 0.25) - target[2]) / 2)
