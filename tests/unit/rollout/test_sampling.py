"""Tests of sampling: top-p, top-k and min-p equal a simple rule, and rows are independent."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tina_azr.rollout.sampling import NO_CUT, SamplingRows, sample, uniforms

VOCABULARY = 50


def rows(temperature: Sequence[float], top_p: Sequence[float], top_k: Sequence[int], min_p: Sequence[float]) -> SamplingRows:
    return SamplingRows(
        temperature_B=torch.tensor([t or 1.0 for t in temperature]),
        greedy_B=torch.tensor([t == 0.0 for t in temperature]),
        top_p_B=torch.tensor([p if p < 1.0 else NO_CUT for p in top_p]),
        top_k_B=torch.tensor(top_k),
        min_p_B=torch.tensor(min_p),
        tempered=True,
        any_greedy=0.0 in temperature,
        any_drawn=any(temperature),
        cuts=True,
    )


def logits(count: int, seed: int = 0) -> Tensor:
    return 2.0 * torch.randn(count, VOCABULARY, generator=torch.Generator().manual_seed(seed))


def kept(scores: Tensor, top_p: float, top_k: int, min_p: float) -> set[int]:
    """Apply the cuts in Python, one id at a time from the likeliest on."""
    shares = scores.softmax(-1).double()
    found: set[int] = set()
    total = 0.0
    for rank, id in enumerate(shares.argsort(descending=True).tolist()):
        share = float(shares[id])
        if rank and (total >= top_p or (top_k and rank >= top_k) or share < min_p * float(shares.max())):
            break
        found.add(id)
        total += share
    return found


@given(
    seed=st.integers(0, 10_000),
    top_p=st.sampled_from([1.0, 0.95, 0.5, 0.05]),
    top_k=st.sampled_from([0, 1, 3, 20, 99]),
    min_p=st.sampled_from([0.0, 0.02, 0.3, 1.0]),
)
def test_only_ids_that_top_p_top_k_and_min_p_keep_are_sampled(seed: int, top_p: float, top_k: int, min_p: float) -> None:
    scores = logits(1, seed)
    grid = torch.linspace(0, 1, 2_001)[:-1]
    ids, _ = sample(scores.expand(2_000, -1), rows([1.0] * 2_000, [top_p] * 2_000, [top_k] * 2_000, [min_p] * 2_000), grid)
    # An id at the very border of a cut may fall on either side of it: sums are rounded in an order of their own.
    least, most = (kept(scores[0], top_p - border, top_k, min_p + border) for border in (1e-6, -1e-6))
    assert set(ids.tolist()) <= most
    shares = scores[0].softmax(-1)
    total = float(shares[list(least)].sum())
    assert {id for id in least if float(shares[id]) / total > 0.002} <= set(ids.tolist())


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_log_probabilities_precede_top_p_top_k_and_min_p(temperature: float) -> None:
    scores = logits(8)
    ids, logprobs = sample(scores.clone(), rows([temperature] * 8, [0.4] * 8, [3] * 8, [0.1] * 8), torch.linspace(0.05, 0.95, 8))
    expected = (scores / temperature).log_softmax(-1).gather(1, ids[:, None])[:, 0]
    torch.testing.assert_close(logprobs, expected, atol=1e-5, rtol=1e-5)


def test_rows_use_their_own_parameters() -> None:
    scores, uniform = logits(4), torch.tensor([0.9, 0.9, 0.9, 0.9])
    mixed = rows([0.0, 1.0, 0.6, 1.0], [1.0, 0.5, 1.0, 1.0], [0, 0, 4, 0], [0.0, 0.0, 0.0, 0.2])
    together, _ = sample(scores.clone(), mixed, uniform)
    alone = []
    for row, (t, p, k, m) in enumerate([(0.0, 1.0, 0, 0.0), (1.0, 0.5, 0, 0.0), (0.6, 1.0, 4, 0.0), (1.0, 1.0, 0, 0.2)]):
        alone.append(int(sample(scores[row : row + 1].clone(), rows([t], [p], [k], [m]), uniform[:1])[0]))
    assert together.tolist() == alone
    assert alone[0] == int(scores[0].argmax())


def test_a_uniform_number_near_one_never_picks_an_id_of_probability_zero() -> None:
    scores = torch.full((1, VOCABULARY), -torch.inf)
    scores[0, :3] = torch.tensor([0.1, 0.2, 0.3])
    just_below = torch.tensor([float(np.nextafter(np.float32(1.0), np.float32(0.0)))])
    for chosen in (just_below, torch.zeros(1)):
        ids, logprobs = sample(scores.clone(), rows([1.0], [1.0], [0], [0.0]), chosen)
        assert int(ids) in (0, 1, 2)
        assert bool(logprobs.isfinite().all())


def test_uniform_numbers_depend_on_seed_and_index_but_not_on_the_count() -> None:
    assert np.array_equal(uniforms(5, 2, 10), uniforms(5, 2, 100)[:10])
    assert not np.array_equal(uniforms(5, 2, 10), uniforms(5, 3, 10))
    assert not np.array_equal(uniforms(5, 2, 10), uniforms(6, 2, 10))
    many = uniforms((1 << 63) - 1, 0, 10_000)
    assert 0.0 <= many.min() < many.max() < 1.0
    assert float(many.mean()) == pytest.approx(0.5, abs=0.02)
