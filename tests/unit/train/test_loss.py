"""The loss as a function: its value by hand, its gradient against plain REINFORCE, and what the mask leaves out."""

import numpy as np
import pytest
import torch

from tina_azr.train.learner import learning_rate
from tina_azr.train.loss import clipped_policy_loss, token_weights


def test_on_policy_gradient_is_plain_reinforce() -> None:
    generator = torch.Generator().manual_seed(0)
    logits_TV = torch.randn(12, 7, generator=generator, dtype=torch.float64, requires_grad=True)
    chosen_T = torch.randint(0, 7, (12,), generator=generator)
    advantages_T = torch.randn(12, generator=generator, dtype=torch.float64)
    weights_T = torch.full((12,), 1 / 12, dtype=torch.float64)
    logprobs_T = logits_TV.log_softmax(-1)[torch.arange(12), chosen_T]

    loss, metrics = clipped_policy_loss(logprobs_T, logprobs_T.detach(), advantages_T, weights_T, clip_low=0.2, clip_high=0.28)
    (clipped,) = torch.autograd.grad(loss, logits_TV, retain_graph=True)
    (reinforce,) = torch.autograd.grad(-(advantages_T * logprobs_T).mean(), logits_TV)

    torch.testing.assert_close(clipped, reinforce, rtol=0, atol=0)
    assert metrics.clip_fraction == 0
    assert metrics.ratio == pytest.approx(1.0)
    assert metrics.logprob_gap == 0


@pytest.mark.parametrize(
    ("ratio", "advantage", "surrogate", "clipped"),
    [
        (1.5, 1.0, 1.28, True),
        (1.5, -1.0, -1.5, False),
        (0.5, 1.0, 0.5, False),
        (0.5, -1.0, -0.8, True),
        (1.1, 2.0, 2.2, False),
    ],
)
def test_the_clip_removes_only_moves_that_go_on_in_the_rewarded_direction(
    ratio: float, advantage: float, surrogate: float, clipped: bool
) -> None:
    logprobs_T = torch.tensor([float(np.log(ratio))], dtype=torch.float64, requires_grad=True)
    zero_T = torch.zeros(1, dtype=torch.float64)
    loss, metrics = clipped_policy_loss(logprobs_T, zero_T, zero_T + advantage, zero_T + 1, clip_low=0.2, clip_high=0.28)
    (gradient,) = torch.autograd.grad(loss, logprobs_T)
    assert loss.item() == pytest.approx(-surrogate)
    assert (gradient.item() == 0) is clipped
    assert metrics.clip_fraction.item() == float(clipped)


def test_forced_ids_have_no_gradient_even_where_the_policy_gives_them_no_probability() -> None:
    logprobs_T = torch.tensor([-1.0, -torch.inf, -2.0], requires_grad=True)
    (weights_T,) = (torch.tensor(weights) for weights in token_weights([np.array([True, False, True])], [1], "token"))
    loss, metrics = clipped_policy_loss(
        logprobs_T, torch.tensor([-1.0, 0.0, -2.0]), torch.ones(3), weights_T, clip_low=0.2, clip_high=0.28
    )
    (gradient,) = torch.autograd.grad(loss, logprobs_T)
    assert gradient.tolist() == [-0.5, 0.0, -0.5]
    assert metrics.logprob_gap == 0


def test_token_normalisation_weighs_every_trained_token_alike() -> None:
    first, second = token_weights([np.ones(3, dtype=bool), np.array([True, False])], [1, 1], "token")
    np.testing.assert_allclose(np.concatenate([first, second]), [0.25, 0.25, 0.25, 0.25, 0.0])


def test_sample_normalisation_weighs_every_sample_alike() -> None:
    first, second = token_weights([np.ones(4, dtype=bool), np.array([True, False])], [1, 1], "sample")
    np.testing.assert_allclose(first, [0.125] * 4)
    np.testing.assert_allclose(second, [0.5, 0.0])


@pytest.mark.parametrize("normalisation", ["sample", "token"])
def test_a_row_that_stands_for_three_samples_weighs_as_three_rows(normalisation: str) -> None:
    mask, other = np.ones(4, dtype=bool), np.ones(2, dtype=bool)
    merged = token_weights([mask, other], [3, 1], normalisation)  # type: ignore[arg-type]
    apart = token_weights([mask, mask, mask, other], [1, 1, 1, 1], normalisation)  # type: ignore[arg-type]
    np.testing.assert_allclose(merged[0], 3 * apart[0], rtol=1e-6)
    np.testing.assert_allclose(merged[1], apart[3], rtol=1e-6)


def test_the_learning_rate_warms_up_linearly_and_then_stays() -> None:
    assert [learning_rate(1.0, step, 4) for step in range(1, 7)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert learning_rate(3e-4, 1, 0) == 3e-4
