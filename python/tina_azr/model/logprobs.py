"""Forward pass of the learner: exact log-probabilities of completions, with float32 logits at completion positions only.

Rows are padded on the right. Under a causal mask, padding after a row changes nothing in it, so no attention mask is needed.
Axes: `_B` rows, `_T` completion tokens of all rows one after the other, `_V` vocabulary, `_H` hidden.
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint
from transformers import Qwen3ForCausalLM

CHUNK_LOGITS = 64 * 1024 * 1024
"""Most logits in memory at once. A larger batch is computed in chunks, and each chunk again in the backward pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionLogprobs:
    """Log-probabilities and entropies of completions, row after row."""

    logprobs_T: Tensor
    """Log-probability of each completion id at the given temperature. Float32, with gradient."""
    entropy_T: Tensor
    """Entropy in nats of the distribution that each id was drawn from. Float32, detached."""


def micro_batches(lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Group row indices by similar length, with a padded size within the budget. A row that exceeds the budget is a group of its own."""
    order = sorted(range(len(lengths)), key=lambda index: lengths[index])
    groups: list[list[int]] = []
    for index in order:
        if groups and lengths[index] * (len(groups[-1]) + 1) <= token_budget:
            groups[-1].append(index)
        else:
            groups.append([index])
    return groups


def completion_logprobs(
    module: Qwen3ForCausalLM,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[NDArray[np.int64]],
    *,
    temperature: float,
    autocast: bool = False,
) -> CompletionLogprobs:
    """Compute the log-probabilities of `completions` after `prompts` in one pass. `autocast` runs matrix products in bfloat16."""
    device = module.lm_head.weight.device
    ids_BL, positions_T, targets_T = _pad(prompts, completions)
    with torch.autocast(device.type, dtype=torch.bfloat16) if autocast else nullcontext():
        states_BLH = module.model(input_ids=ids_BL.to(device), use_cache=False).last_hidden_state
    states_TH = states_BLH.flatten(0, 1)[positions_T.to(device)]
    targets_T = targets_T.to(device)
    head_VH = module.lm_head.weight
    rows = max(1, CHUNK_LOGITS // head_VH.shape[0])
    if len(targets_T) <= rows:
        logprobs, entropy = _score(states_TH, head_VH, targets_T, temperature)
        return CompletionLogprobs(logprobs_T=logprobs, entropy_T=entropy)
    parts = [
        checkpoint(_score, states, head_VH, targets, temperature, use_reentrant=False)
        for states, targets in zip(states_TH.split(rows), targets_T.split(rows), strict=True)
    ]
    return CompletionLogprobs(logprobs_T=torch.cat([part[0] for part in parts]), entropy_T=torch.cat([part[1] for part in parts]))


def _score(states_TH: Tensor, head_VH: Tensor, targets_T: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    logits_TV = F.linear(states_TH.float(), head_VH.float()) / temperature
    logprobs_TV = logits_TV.log_softmax(-1)
    with torch.no_grad():
        entropy_T = -(logprobs_TV.exp() * logprobs_TV).sum(-1)
    return logprobs_TV.gather(1, targets_T[:, None])[:, 0], entropy_T


def _pad(prompts: Sequence[Sequence[int]], completions: Sequence[NDArray[np.int64]]) -> tuple[Tensor, Tensor, Tensor]:
    """Return padded ids, the flat positions whose output predicts each completion id, and the completion ids."""
    width = max(len(prompt) + len(completion) for prompt, completion in zip(prompts, completions, strict=True))
    ids_BL = np.zeros((len(prompts), width), dtype=np.int64)
    positions = []
    for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True)):
        start, stop = len(prompt), len(prompt) + len(completion)
        ids_BL[row, :start] = prompt
        ids_BL[row, start:stop] = completion
        positions.append(np.arange(row * width + start - 1, row * width + stop - 1))
    return (
        torch.from_numpy(ids_BL),
        torch.from_numpy(np.concatenate(positions)),
        torch.from_numpy(np.concatenate(list(completions)).astype(np.int64)),
    )
