"""Sampling of the next ids from logits, with parameters for each row. Axes: `_B` rows, `_V` vocabulary.

Each token uses one uniform number that was drawn in advance for its completion and position. So a completion depends on its own seed, not
on other rows.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

NO_CUT = 2.0
"""A top-p that keeps everything. 1 would drop ids after the sum of probabilities has been rounded up to 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingRows:
    """Sampling parameters of the rows, and flags of the features that some row uses. Unused features are not computed."""

    temperature_B: Tensor
    """1 in greedy rows."""
    greedy_B: Tensor
    top_p_B: Tensor
    """`NO_CUT` keeps all."""
    top_k_B: Tensor
    """0 keeps all."""
    min_p_B: Tensor
    """0 keeps all."""
    tempered: bool
    """Whether some temperature is not 1."""
    any_greedy: bool
    any_drawn: bool
    cuts: bool
    """Whether some row has a top-p, top-k or min-p to apply."""


def uniforms(seed: int, index: int, count: int) -> NDArray[np.float32]:
    """Return the uniform numbers of completion `index` of a request, one for each token. The generator is counter-based, without state."""
    return np.random.Generator(np.random.Philox(key=[seed, index])).random(count, dtype=np.float32)


def sample(logits_BV: Tensor, rows: SamplingRows, uniform_B: Tensor) -> tuple[Tensor, Tensor]:
    """Return next ids and their log-probabilities at the row's temperature (1 for greedy rows), before top-p, top-k and min-p."""
    if rows.tempered:
        logits_BV = logits_BV / rows.temperature_B[:, None]
    probabilities_BV = logits_BV.softmax(-1)
    if not rows.any_drawn:
        ids_B = logits_BV.argmax(-1)
    else:
        ids_B = _draw(_cut(probabilities_BV, rows) if rows.cuts else probabilities_BV, uniform_B)
        if rows.any_greedy:
            ids_B = torch.where(rows.greedy_B, logits_BV.argmax(-1), ids_B)
    return ids_B, probabilities_BV.gather(1, ids_B[:, None])[:, 0].log()


def _draw(probabilities_BV: Tensor, uniform_B: Tensor) -> Tensor:
    cumulative_BV = probabilities_BV.cumsum(-1)
    # The total is not exactly 1 in float32, and a uniform number beyond it would pick the last id of the vocabulary.
    threshold_B1 = uniform_B[:, None] * cumulative_BV[:, -1:]
    ids_B = torch.searchsorted(cumulative_BV, threshold_B1, right=True)[:, 0]
    return ids_B.clamp_(max=probabilities_BV.shape[-1] - 1)


def _cut(probabilities_BV: Tensor, rows: SamplingRows) -> Tensor:
    ordered_BV, order_BV = probabilities_BV.sort(dim=-1, descending=True)
    before_BV = ordered_BV.cumsum(-1) - ordered_BV
    rank_V = torch.arange(probabilities_BV.shape[-1], device=probabilities_BV.device)
    limit_B = torch.where(rows.top_k_B > 0, rows.top_k_B, probabilities_BV.shape[-1])
    keep_BV = (before_BV < rows.top_p_B[:, None]) & (rank_V < limit_B[:, None])
    keep_BV &= ordered_BV >= rows.min_p_B[:, None] * ordered_BV[:, :1]
    keep_BV[:, 0] = True
    return torch.zeros_like(probabilities_BV).scatter_(1, order_BV, ordered_BV * keep_BV)
