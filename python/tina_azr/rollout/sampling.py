"""From logits to the next ids, every row with its own parameters. Axes: `_B` rows, `_V` vocabulary.

The race that picks a token is against one uniform number, drawn for that completion and that position in advance: a completion depends
on its own seed, not on its neighbours.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(slots=True)
class SamplingRows:
    """Parameters of the rows."""

    temperature_B: Tensor
    """1 in greedy rows."""
    greedy_B: Tensor
    top_p_B: Tensor
    top_k_B: Tensor
    """0 keeps all."""
    cuts: bool
    """Some row has a top-p or top-k to apply."""


def uniforms(seed: int, index: int, count: int) -> NDArray[np.float32]:
    """The uniform numbers of completion `index` of a request, one a token (counter-based generator: no state to keep)."""
    return np.random.Generator(np.random.Philox(key=[seed, index])).random(count, dtype=np.float32)


def sample(logits_BV: Tensor, rows: SamplingRows, uniform_B: Tensor) -> tuple[Tensor, Tensor]:
    """Next ids and their log-probabilities at the row's temperature (1 for greedy rows), before top-p and top-k cut."""
    logprobs_BV = (logits_BV / rows.temperature_B[:, None]).log_softmax(-1)
    probabilities_BV = logprobs_BV.exp()
    if rows.cuts:
        probabilities_BV = _cut(probabilities_BV, rows)
    cumulative_BV = probabilities_BV.cumsum(-1)
    # The total is not exactly 1 in float32, and a uniform beyond it would pick the last id of the vocabulary.
    threshold_B = uniform_B * cumulative_BV[:, -1]
    drawn_B = (cumulative_BV <= threshold_B[:, None]).sum(-1).clamp_(max=logits_BV.shape[-1] - 1)
    ids_B = torch.where(rows.greedy_B, logits_BV.argmax(-1), drawn_B)
    return ids_B, logprobs_BV.gather(1, ids_B[:, None])[:, 0]


def _cut(probabilities_BV: Tensor, rows: SamplingRows) -> Tensor:
    ordered_BV, order_BV = probabilities_BV.sort(dim=-1, descending=True)
    before_BV = ordered_BV.cumsum(-1) - ordered_BV
    rank_V = torch.arange(probabilities_BV.shape[-1], device=probabilities_BV.device)
    limit_B = torch.where(rows.top_k_B > 0, rows.top_k_B, probabilities_BV.shape[-1])
    keep_BV = (before_BV < rows.top_p_B[:, None]) & (rank_V < limit_B[:, None])
    keep_BV[:, 0] = True
    return torch.zeros_like(probabilities_BV).scatter_(1, order_BV, ordered_BV * keep_BV)
