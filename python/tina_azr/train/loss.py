"""The clipped policy gradient, as pure functions of packed tensors. Axis: `_T` completion tokens of several samples, end to end.

One optimizer step is taken on each batch, so the ratio of new to old probability is 1 up to the rounding between the sampler's
forward and the trainer's, and the gradient is that of REINFORCE. The clip is there for tokens where the two disagree (bfloat16).
No KL term, no reference model, no value function.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LossMetrics:
    """Parts that add up over micro-batches: each is already weighted as the loss is. Detached scalars."""

    clip_fraction: Tensor
    """Weight of tokens whose gradient the clip removed."""
    ratio: Tensor
    """Weighted mean of new over old probability: 1 when sampler and trainer agree."""
    logprob_gap: Tensor
    """Largest difference between the sampler's and the trainer's log-probability; a maximum, not a sum."""


def clipped_policy_loss(
    logprobs_T: Tensor,
    old_logprobs_T: Tensor,
    advantages_T: Tensor,
    weights_T: Tensor,
    *,
    clip_low: float,
    clip_high: float,
) -> tuple[Tensor, LossMetrics]:
    """-sum(w * min(ratio * A, clip(ratio, 1 - low, 1 + high) * A)); the asymmetric clip is DAPO's (Yu et al., 2025).

    `weights_T` comes from `token_weights`: it masks forced ids and carries the normalisation, so micro-batches simply add up.
    """
    trained_T = weights_T > 0
    # A forced id has no probability under the policy: its log-ratio must not reach exp, where inf * 0 would be nan.
    log_ratio_T = torch.where(trained_T, logprobs_T - old_logprobs_T, 0.0)
    ratio_T = log_ratio_T.exp()
    free_T = ratio_T * advantages_T
    clipped_T = ratio_T.clamp(1.0 - clip_low, 1.0 + clip_high) * advantages_T
    loss = -(weights_T * torch.minimum(free_T, clipped_T)).sum()
    with torch.no_grad():
        metrics = LossMetrics(
            clip_fraction=(weights_T * (clipped_T < free_T)).sum(),
            ratio=(weights_T * ratio_T).sum(),
            logprob_gap=log_ratio_T.abs().max(),
        )
    return loss, metrics


def token_weights(
    trained: Sequence[NDArray[np.bool_]], counts: Sequence[int], normalisation: Literal["sample", "token"]
) -> list[NDArray[np.float32]]:
    """Weight of every completion token of a step; all of them together add up to 1.

    `trained` marks the ids that the policy chose (forced ones weigh 0); `counts` says how many equal samples a row stands for.
    `token`: every token weighs the same. `sample`: every sample does, however long it is.
    """
    tokens = np.array([np.count_nonzero(mask) for mask in trained], dtype=np.float64)
    shares = np.asarray(counts, dtype=np.float64) * (tokens if normalisation == "token" else tokens > 0)
    per_token = shares / np.maximum(tokens, 1) / max(float(shares.sum()), 1.0)
    return [(mask * weight).astype(np.float32) for mask, weight in zip(trained, per_token, strict=True)]
