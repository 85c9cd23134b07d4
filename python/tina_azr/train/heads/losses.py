"""Proper scores that train the heads. Pure functions of tensors. Axes as in `head_labels`; `_Q` quantiles, `_P` plans."""

import torch
from torch import Tensor
from torch.nn import functional as F

from tina_azr.introspection.heads import QUANTILES


def confidence_loss(logits_N: Tensor, rates_N: Tensor) -> Tensor:
    """Binary cross-entropy with soft labels: the binomial likelihood of the group's rollouts, up to a constant. Mean over N."""
    return F.binary_cross_entropy_with_logits(logits_N, rates_N)


def budget_loss(log_quantiles_NQ: Tensor, lengths_NG: Tensor, censored_NG: Tensor) -> Tensor:
    """Pinball loss of log(1 + think tokens) (Koenker and Bassett, 1978), mean over labels and quantiles.

    Correct answers whose reasoning closed by itself count in full. Censored reasoning needs at least its length: it pulls up the
    quantiles that are below it and says nothing of the others. Wrong answers say nothing (that is what confidence is for).
    `lengths_NG` is negative where there is no label. 0 if there is none at all.
    """
    known_NG = lengths_NG >= 0
    if not bool(known_NG.any()):
        return log_quantiles_NQ.sum() * 0.0
    target_NG1 = lengths_NG.clamp(min=0).to(log_quantiles_NQ.dtype).log1p()[..., None]
    levels_Q = torch.tensor(QUANTILES, dtype=log_quantiles_NQ.dtype, device=log_quantiles_NQ.device)
    short_NGQ = target_NG1 - log_quantiles_NQ[:, None]
    loss_NGQ = torch.maximum(levels_Q * short_NGQ, (levels_Q - 1.0) * short_NGQ)
    loss_NGQ = torch.where(censored_NG[..., None], (levels_Q * short_NGQ).clamp(min=0.0), loss_NGQ)
    return loss_NGQ[known_NG].mean()


def plan_loss(logits_NP: Tensor, target_NP: Tensor) -> Tensor:
    """Cross-entropy with soft targets over prompts that were probed (rows of `target_NP` that are not zero). 0 if there is none."""
    probed_N = target_NP.sum(-1) > 0
    if not bool(probed_N.any()):
        return logits_NP.sum() * 0.0
    return F.cross_entropy(logits_NP[probed_N], target_NP[probed_N])
