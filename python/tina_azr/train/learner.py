"""One optimizer step on one batch of samples: merge equal ones, backward in micro-batches, clip, AdamW on float32 weights.

The module's parameters are views of the decode engine's fused storage, so they are only ever written in place: the very next token
is decoded with the new weights.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Qwen3ForCausalLM

from tina_azr.config import Config
from tina_azr.errors import CheckpointError, RunError
from tina_azr.model.loading import Policy
from tina_azr.model.logprobs import completion_logprobs, micro_batches
from tina_azr.selfplay.types import Rollout
from tina_azr.train.loss import clipped_policy_loss, token_weights
from tina_azr.train.master_weights import MasterWeights


def learning_rate(base: float, step: int, warmup_steps: int) -> float:
    """Rate of optimizer step `step`, counted from 1: base/warmup, 2 base/warmup, ... base, base."""
    return base * min(1.0, step / warmup_steps) if warmup_steps > 0 else base


BETA1 = 0.9
"""AdamW's decay of the first moment."""
_FUSED = frozenset({"cpu", "cuda"})
"""Devices with a fused AdamW."""
_MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateReport:
    """What one update did. Means are over trained tokens, weighted as in the loss."""

    samples: int = 0
    """Trained on: those whose advantage is not 0."""
    rows: int = 0
    """Different ones among them: what the forward pass saw."""
    tokens: int = 0
    """Completion tokens of these rows."""
    learning_rate: float = 0.0
    loss: float = 0.0
    grad_norm: float = 0.0
    """Before clipping."""
    entropy: float = 0.0
    clip_fraction: float = 0.0
    ratio: float = 1.0
    """New over old probability: 1 where the trainer's forward agrees with the sampler's."""
    logprob_gap: float = 0.0
    """Largest difference between the two in one token's log-probability."""


def merge_equal(rollouts: Sequence[Rollout]) -> list[tuple[Rollout, int]]:
    """Return the distinct rollouts whose advantage is not 0, with how many equal ones there are, in order of first appearance.

    A small model often writes the same answer to the same prompt several times. Their gradients are equal, so one of them weighted by
    the count is exact and saves the repeats.
    """
    first: dict[tuple[tuple[int, ...], bytes, bytes, float], Rollout] = {}
    counts: dict[tuple[tuple[int, ...], bytes, bytes, float], int] = {}
    for rollout in rollouts:
        if not rollout.advantage:
            continue
        completion = rollout.completion
        same = (rollout.prompt_ids, completion.ids_T.tobytes(), completion.forced_T.tobytes(), rollout.advantage)
        first.setdefault(same, rollout)
        counts[same] = counts.get(same, 0) + 1
    return [(rollout, counts[same]) for same, rollout in first.items()]


class Learner:
    """The optimizer of one policy."""

    def __init__(self, policy: Policy, config: Config) -> None:
        self._module = policy.module
        self._device = policy.device
        self._learning = config.learning
        self._temperature = config.selfplay.temperature
        self._masters = MasterWeights(policy.module)
        self._optimizer = torch.optim.AdamW(
            list(self._masters.weights.values()),
            lr=config.learning.lr,
            betas=(BETA1, config.learning.beta2),
            weight_decay=0.0,
            fused=policy.device.type in _FUSED,
        )
        self._updates = 0

    def update(
        self,
        rollouts: Sequence[Rollout],
        step: int,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> UpdateReport:
        """Take one optimizer step on rollouts with advantages; `step`, counted from 1, sets the warm-up.

        Nothing is done if every advantage is 0. Raises RunError for a gradient that is not finite; the weights then stay as they were.
        """
        rate = learning_rate(self._learning.lr, step, self._learning.warmup_steps)
        merged = merge_equal(rollouts)
        if not merged:
            return UpdateReport(learning_rate=rate)
        with _recomputing(self._module) if self._learning.gradient_checkpointing else nullcontext():
            report = self._backward(merged, rate, on_progress)
        norm = float(torch.nn.utils.clip_grad_norm_(self._masters.weights.values(), self._learning.max_grad_norm))
        if not math.isfinite(norm):
            raise RunError(
                f"step {step}: the gradient's norm is {norm}; the weights were left as they are. Resume from the last checkpoint "
                "with a lower learning.lr, or with learning.autocast none."
            )
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._masters.write_back()
        self._updates += 1
        return replace(report, grad_norm=norm)

    def _backward(
        self, merged: Sequence[tuple[Rollout, int]], rate: float, on_progress: Callable[[int, int], None] | None
    ) -> UpdateReport:
        """Accumulate the gradients of the whole batch over micro-batches. Their cut changes only rounding."""
        completions = [rollout.completion for rollout, _ in merged]
        weights = token_weights(
            [~completion.forced_T for completion in completions],
            [count for _, count in merged],
            self._learning.length_normalisation,
        )
        sizes = [len(rollout.prompt_ids) + len(rollout.completion.ids_T) for rollout, _ in merged]
        totals = torch.zeros(4, dtype=torch.float64, device=self._device)
        gap = torch.zeros((), device=self._device)
        done = 0
        for batch in micro_batches(sizes, self._learning.micro_batch_tokens):
            scores = completion_logprobs(
                self._module,
                [merged[index][0].prompt_ids for index in batch],
                [completions[index].ids_T for index in batch],
                temperature=self._temperature,
                autocast=self._learning.autocast == "bfloat16",
            )
            lengths = [len(completions[index].ids_T) for index in batch]
            weights_T = self._tensor(np.concatenate([weights[index] for index in batch]))
            loss, metrics = clipped_policy_loss(
                scores.logprobs_T,
                self._tensor(np.concatenate([completions[index].logprobs_T for index in batch])),
                self._tensor(np.repeat([merged[index][0].advantage for index in batch], lengths).astype(np.float32)),
                weights_T,
                clip_low=self._learning.clip_low,
                clip_high=self._learning.clip_high,
            )
            loss.backward()
            self._masters.take_gradients()
            entropy = (weights_T * scores.entropy_T).sum()
            totals += torch.stack([loss.detach(), entropy, metrics.clip_fraction, metrics.ratio]).double()
            gap = torch.maximum(gap, metrics.logprob_gap)
            done += len(batch)
            if on_progress is not None:
                on_progress(done, len(merged))
        loss_sum, entropy_mean, clip_fraction, ratio = totals.tolist()
        return UpdateReport(
            samples=sum(count for _, count in merged),
            rows=len(merged),
            tokens=sum(len(completion.ids_T) for completion in completions),
            learning_rate=rate,
            loss=loss_sum,
            entropy=entropy_mean,
            clip_fraction=clip_fraction,
            ratio=ratio,
            logprob_gap=float(gap),
        )

    def _tensor(self, values: NDArray[np.float32]) -> Tensor:
        return torch.from_numpy(values).to(self._device)

    # What a checkpoint keeps beside the policy's own weights.

    def state_tensors(self) -> dict[str, Tensor]:
        """Moments by weight, and the float32 copies of weights that are stored in less."""
        state = {f"master.{name}": weight for name, weight in self._masters.state().items()}
        for name, weight in self._masters.weights.items():
            moments = self._optimizer.state.get(weight, {})
            state |= {f"{moment}.{name}": moments[moment] for moment in _MOMENTS if moment in moments}
        return state

    def load_state_tensors(self, tensors: Mapping[str, Tensor]) -> None:
        """Put back what `state_tensors` gave; `load_state_json` comes after it. Raises CheckpointError for another model."""
        groups = {kind: _with_prefix(tensors, kind) for kind in ("master", *_MOMENTS)}
        self._masters.load_state(groups["master"])
        weights = self._masters.weights
        if any(groups[moment].keys() not in (weights.keys(), set()) for moment in _MOMENTS):
            raise CheckpointError("the checkpoint's optimizer state is of another model: its weights have other names")
        self._optimizer.state.clear()
        for name, weight in weights.items() if groups[_MOMENTS[0]] else ():
            for moment in _MOMENTS:
                saved = groups[moment][name]
                if saved.shape != weight.shape:
                    raise CheckpointError(
                        f"the checkpoint's optimizer state is of another model: {name} is {tuple(weight.shape)} here and "
                        f"{tuple(saved.shape)} there"
                    )
                self._optimizer.state[weight][moment] = saved.to(device=weight.device, dtype=torch.float32, copy=True)

    def state_json(self) -> dict[str, object]:
        """How many updates the moments have seen: AdamW corrects their bias by it."""
        return {"updates": self._updates}

    def load_state_json(self, state: Mapping[str, object]) -> None:
        """The counterpart of `state_json`."""
        updates = state.get("updates")
        if not isinstance(updates, int) or (updates > 0) != bool(self._optimizer.state):
            raise CheckpointError(f"the checkpoint counts {updates} updates, which does not fit its optimizer state: it is damaged")
        self._updates = updates
        for moments in self._optimizer.state.values():
            moments["step"] = torch.tensor(float(updates), device=self._device)


@contextmanager
def _recomputing(module: Qwen3ForCausalLM) -> Iterator[None]:
    """Keep only each layer's input in forward passes inside (gradient checkpointing)."""
    # The old name warns in transformers that know the new one.
    getattr(module, "activation_checkpointing_enable", module.gradient_checkpointing_enable)()
    try:
        for layer in module.model.layers:
            # A layer looks at this flag of its own. What lies in it stays in evaluation: a dropout would leave the sampler's policy.
            layer.training = True
        yield
    finally:
        for layer in module.model.layers:
            layer.training = False


def _with_prefix(tensors: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    return {name.removeprefix(f"{kind}."): tensor for name, tensor in tensors.items() if name.startswith(f"{kind}.")}
