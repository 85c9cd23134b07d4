"""Metacognitive heads: small networks on a policy's hidden states that predict plan, think tokens and correctness.

Their only input is detached states of tapped layers (`taps`). So their gradients do not reach the policy, nor the policy's gradients
them. They are trained with proper scores on the sandbox's verdicts on rollouts (`train/heads`).

There are three forms with one interface. `linear` reads one layer, without hidden units; it is the baseline that the others must beat.
`tap` reads all tapped layers, concatenated, through one hidden layer. `linked` is Tina's: one trunk shared by all layers, whose outputs an
aggregator pools (`AGGREGATORS`). It also gives the prediction of each layer on its own, as a diagnostic.

Axes: `_N` prompts, `_L` tapped layers, `_H` hidden, `_D` head width, `_P` plans,
`_Q` quantiles.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tina_azr.config import choose

PLANS = 4
QUANTILES = (0.5, 0.8, 0.95)
"""Predicted quantiles of log(1 + think tokens)."""
EXTRAS = 3
"""Number of inputs about finished reasoning, in addition to its states: see `close_extras`."""

HeadKind = Literal["linear", "tap", "linked"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadShape:
    """Architecture of a set of heads. It is saved with their weights."""

    kind: HeadKind
    taps: tuple[int, ...]
    """Decoder layers, counted from 0."""
    hidden_size: int
    width: int = 128
    """Number of hidden units (`tap`, `linked`)."""
    aggregator: str = "attention"
    """Key of `AGGREGATORS`: how `linked` pools layers."""
    experts: int = 1
    """Number of output heads that `linked` mixes by a learned selector; 1: no mixture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadOutputs:
    """Predictions for N prompts."""

    plan_logits_NP: Tensor
    log_quantiles_NQ: Tensor
    """Quantiles `QUANTILES` of log(1 + think tokens), ascending."""
    c0_logits_N: Tensor
    alpha_NL: Tensor | None = None
    """Attention over layers. Rows sum to 1."""
    plan_logits_NLP: Tensor | None = None
    """Plan logits of each layer on its own."""
    experts_NE: Tensor | None = None
    """Shares of the experts. Rows sum to 1."""


class Heads(Protocol):
    """Interface of all forms."""

    shape: HeadShape

    def predict(self, states_NLH: Tensor) -> HeadOutputs:
        """Return predictions from states at the last prompt token."""
        ...

    def close_logits(self, states_NLH: Tensor, extras_NX: Tensor) -> Tensor:
        """Return the logit [N] that the answer will be correct, from states at `</think>` and `close_extras`."""
        ...


class _Normed(nn.Module):
    """Normalisation of each state to unit RMS. Layers differ in scale by orders of magnitude."""

    def forward(self, states_NLH: Tensor) -> Tensor:
        return F.rms_norm(states_NLH.float(), (states_NLH.shape[-1],))


class _Outputs(nn.Module):
    """Output layers, from D features to predictions."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.plan = nn.Linear(features, PLANS)
        self.quantiles = nn.Linear(features, len(QUANTILES))
        self.c0 = nn.Linear(features, 1)
        with torch.no_grad():
            for linear in (self.plan, self.quantiles, self.c0):
                linear.weight.mul_(0.1)
                linear.bias.zero_()
            # Before any training: a median of about 30 tokens, and quantiles about a third of a log unit apart.
            self.quantiles.bias.copy_(torch.tensor([3.4, -0.8, -0.8]))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        raw = self.quantiles(features)
        # The first quantile is free, and the others add positive steps, so quantiles cannot cross.
        rising = torch.cat([raw[..., :1], F.softplus(raw[..., 1:])], dim=-1).cumsum(-1)
        return self.plan(features), rising, self.c0(features)[..., 0]


class LinearHeads(nn.Module):
    """Linear map of the deepest tapped layer; the baseline."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        self._norm = _Normed()
        self.outputs = _Outputs(shape.hidden_size)
        self.close = nn.Linear(shape.hidden_size + EXTRAS, 1)

    def predict(self, states_NLH: Tensor) -> HeadOutputs:
        plan, quantiles, c0 = self.outputs(self._norm(states_NLH[:, -1]))
        return HeadOutputs(plan_logits_NP=plan, log_quantiles_NQ=quantiles, c0_logits_N=c0)

    def close_logits(self, states_NLH: Tensor, extras_NX: Tensor) -> Tensor:
        logits: Tensor = self.close(torch.cat([self._norm(states_NLH[:, -1]), extras_NX], dim=-1))[:, 0]
        return logits


class TapHeads(nn.Module):
    """Heads on all tapped layers, concatenated. One hidden layer serves predictions before reasoning, another those after it."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        self._norm = _Normed()
        features = len(shape.taps) * shape.hidden_size
        self.pool = nn.Linear(features, shape.width)
        self.outputs = _Outputs(shape.width)
        self.close_pool = nn.Linear(features + EXTRAS, shape.width)
        self.close = nn.Linear(shape.width, 1)

    def predict(self, states_NLH: Tensor) -> HeadOutputs:
        plan, quantiles, c0 = self.outputs(F.silu(self.pool(self._norm(states_NLH).flatten(1))))
        return HeadOutputs(plan_logits_NP=plan, log_quantiles_NQ=quantiles, c0_logits_N=c0)

    def close_logits(self, states_NLH: Tensor, extras_NX: Tensor) -> Tensor:
        features = torch.cat([self._norm(states_NLH).flatten(1), extras_NX], dim=-1)
        logits: Tensor = self.close(F.silu(self.close_pool(features)))[:, 0]
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregator:
    """Pooling of `linked` heads over layers."""

    modules: Callable[[int], Mapping[str, nn.Module]]
    """Width D -> modules by name. They become children of the trunk, so their names are part of saved heads."""
    pool: Callable[[nn.Module, Tensor], tuple[Tensor, Tensor | None]]
    """Trunk and layer features [N, L, D] -> pooled features [N, D], and attention [N, L] if there is one."""


def pool_by_attention(trunk: nn.Module, z_NLD: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the sum of the layers, weighted by learned attention."""
    query, score = trunk.get_submodule("query"), trunk.get_submodule("score")
    alpha_NL = score(torch.tanh(query(z_NLD)))[..., 0].softmax(-1)
    return (alpha_NL[..., None] * z_NLD).sum(1), alpha_NL


def pool_by_mean(trunk: nn.Module, z_NLD: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the mean of the layers."""
    return z_NLD.mean(1), None


AGGREGATORS: dict[str, Aggregator] = {
    "attention": Aggregator(
        modules=lambda width: {"query": nn.Linear(width, width), "score": nn.Linear(width, 1, bias=False)}, pool=pool_by_attention
    ),
    "mean": Aggregator(modules=lambda width: {}, pool=pool_by_mean),
}
"""Every aggregator by its configured name."""


class _Trunk(nn.Module):
    """One trunk for all layers, with a learned offset for each, and an aggregator over them."""

    def __init__(self, shape: HeadShape, further: int = 0) -> None:
        super().__init__()
        width = shape.width
        self._norm = _Normed()
        self.first = nn.Linear(shape.hidden_size + further, width)
        self.layer_offset = nn.Parameter(torch.zeros(len(shape.taps), width))
        self.second = nn.Linear(width, width)
        self._aggregator = choose(AGGREGATORS, shape.aggregator, "introspection.aggregator")
        for name, module in self._aggregator.modules(width).items():
            self.add_module(name, module)

    def forward(self, states_NLH: Tensor, further_NX: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the layers' features [N, L, D], the pooled features [N, D], and attention [N, L]."""
        x_NLH = self._norm(states_NLH)
        if further_NX is not None:
            x_NLH = torch.cat([x_NLH, further_NX[:, None].expand(-1, x_NLH.shape[1], -1)], dim=-1)
        z_NLD = F.silu(self.second(F.silu(self.first(x_NLH) + self.layer_offset)))
        pooled_ND, alpha_NL = self._aggregator.pool(self, z_NLD)
        return z_NLD, pooled_ND, alpha_NL


class LinkedHeads(nn.Module):
    """Tina's form with linked layers, on any tapped layers."""

    def __init__(self, shape: HeadShape) -> None:
        super().__init__()
        self.shape = shape
        self.trunk = _Trunk(shape)
        self.outputs = nn.ModuleList(_Outputs(shape.width) for _ in range(shape.experts))
        self.selector = nn.Linear(shape.width, shape.experts) if shape.experts > 1 else None
        self.close_trunk = _Trunk(shape, EXTRAS)
        self.close = nn.Linear(shape.width, 1)

    def predict(self, states_NLH: Tensor) -> HeadOutputs:
        z_NLD, pooled_ND, alpha_NL = self.trunk(states_NLH)
        experts_NE = self.selector(pooled_ND).softmax(-1) if self.selector is not None else None
        plan, quantiles, c0 = self._mixed(pooled_ND, experts_NE)
        layers, _, _ = self._mixed(z_NLD, experts_NE[:, None] if experts_NE is not None else None)
        return HeadOutputs(
            plan_logits_NP=plan,
            log_quantiles_NQ=quantiles,
            c0_logits_N=c0,
            alpha_NL=alpha_NL,
            plan_logits_NLP=layers,
            experts_NE=experts_NE,
        )

    def _mixed(self, features: Tensor, shares: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        each = [outputs(features) for outputs in self.outputs]
        if shares is None:
            first: tuple[Tensor, Tensor, Tensor] = each[0]
            return first
        plan, quantiles = ((torch.stack([one[part] for one in each], -1) * shares[..., None, :]).sum(-1) for part in (0, 1))
        return plan, quantiles, (torch.stack([one[2] for one in each], -1) * shares).sum(-1)

    def close_logits(self, states_NLH: Tensor, extras_NX: Tensor) -> Tensor:
        _, pooled_ND, _ = self.close_trunk(states_NLH, extras_NX)
        logits: Tensor = self.close(pooled_ND)[:, 0]
        return logits


FORMS: dict[str, type[LinearHeads] | type[TapHeads] | type[LinkedHeads]] = {
    "linear": LinearHeads,
    "tap": TapHeads,
    "linked": LinkedHeads,
}
"""Every form by its configured name."""


def build_heads(shape: HeadShape, *, seed: int) -> LinearHeads | TapHeads | LinkedHeads:
    """Return new heads on the CPU, initialised from `seed`. Torch's global random state is not changed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FORMS[shape.kind](shape)
