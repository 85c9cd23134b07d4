"""Side adapters, FiLM and a feedback gate: Tina's three ways for head outputs to change the residual stream while a policy reasons.

All are off by default, and nothing trains them in this release. At initialisation each is the identity, bit by bit, because its last
map is zero. The policy's own weights are not touched. Axes: `_B` rows, `_H` hidden, `_C` head outputs for the prompt of a row, `_R` rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tina_azr.errors import ConfigError
from tina_azr.introspection.heads import PLANS, QUANTILES, HeadOutputs

CONDITION = PLANS + len(QUANTILES) + 1
"""Size of the condition of FiLM and gate: plan probabilities, log quantiles, confidence before reasoning."""
FILM_SCALE = 0.05
"""Largest scale and shift of a feature by FiLM; Tina's value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulatorShape:
    """Selection of the three modulators, and their layers."""

    hidden_size: int
    layers: tuple[int, ...]
    """Decoder layers, counted from 0, whose output side adapters and FiLM change."""
    rank: int = 0
    """Rank of the side adapters; 0: none."""
    film: bool = False
    gate_layer: int | None = None
    """Layer whose output the feedback gate scales; None: no gate."""

    @property
    def empty(self) -> bool:
        """Whether no modulator is selected."""
        return not self.rank and not self.film and self.gate_layer is None


class SideAdapter(nn.Module):
    """Low-rank residual map h + U SiLU(V h). U is zero at initialisation."""

    def __init__(self, hidden_size: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(hidden_size, rank, bias=False)
        self.up = nn.Linear(rank, hidden_size, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x_BH: Tensor) -> Tensor:
        low_BH: Tensor = self.up(F.silu(self.down(x_BH)))
        return x_BH + low_BH


class Film(nn.Module):
    """Feature-wise scale and shift h * (1 + s tanh(G g)) + s tanh(B g), conditioned on head outputs g (Perez et al., 2018).

    `FILM_SCALE` is the bound s. G and B are zero at initialisation.
    """

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.maps = nn.Linear(CONDITION, 2 * hidden_size)
        nn.init.zeros_(self.maps.weight)
        nn.init.zeros_(self.maps.bias)

    def forward(self, x_BH: Tensor, condition_BC: Tensor) -> Tensor:
        scale, shift = (FILM_SCALE * torch.tanh(self.maps(condition_BC))).chunk(2, dim=-1)
        return x_BH * (1.0 + scale) + shift


class FeedbackGate(nn.Module):
    """Scale of a whole row, h * (1 + tanh(w g)), conditioned on head outputs g.

    It is 1 at initialisation. Tina's began at one half, and halved the stream.
    """

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(CONDITION, 1)
        nn.init.zeros_(self.map.weight)
        nn.init.zeros_(self.map.bias)

    def forward(self, x_BH: Tensor, condition_BC: Tensor) -> Tensor:
        return x_BH * (1.0 + torch.tanh(self.map(condition_BC)))


class Modulator(nn.Module):
    """The selected modulators, applied only to rows that are still reasoning."""

    def __init__(self, shape: ModulatorShape) -> None:
        """Build the modulators of a shape. Raises ConfigError for a shape that selects none."""
        super().__init__()
        if shape.empty:
            raise ConfigError("this modulator has rank 0, no FiLM and no gate, so it does nothing: leave it out")
        self.shape = shape
        layers: Sequence[int] = shape.layers
        self.adapters = nn.ModuleDict({str(k): SideAdapter(shape.hidden_size, shape.rank) for k in layers if shape.rank})
        self.films = nn.ModuleDict({str(k): Film(shape.hidden_size) for k in layers if shape.film})
        self.gate = FeedbackGate() if shape.gate_layer is not None else None

    @property
    def modules_on(self) -> int:
        """Number of adapters, FiLM maps and gates."""
        return len(self.adapters) + len(self.films) + (self.gate is not None)

    @torch.no_grad()
    def activity(self) -> float:
        """Return the mean magnitude of the last maps: the distance from the identity. It is zero at initialisation."""
        last = ("up.weight", "maps.weight", "map.weight")
        found = [weight.abs().flatten() for name, weight in self.named_parameters() if name.endswith(last)]
        return float(torch.cat(found).mean())

    def apply_layer(self, layer: int, x_BH: Tensor, thinking_B: Tensor, condition_BC: Tensor) -> Tensor:
        """Return the residual stream [B, H] after a layer. Rows that are not reasoning are unchanged."""
        changed = x_BH
        if str(layer) in self.adapters:
            changed = self.adapters[str(layer)](changed)
        if str(layer) in self.films:
            changed = self.films[str(layer)](changed, condition_BC)
        if self.gate is not None and layer == self.shape.gate_layer:
            changed = self.gate(changed, condition_BC)
        return x_BH if changed is x_BH else torch.where(thinking_B[:, None], changed, x_BH)


def condition_of(predictions: HeadOutputs) -> Tensor:
    """Return the head outputs of N prompts as a condition [N, C] of about unit scale."""
    return torch.cat(
        [predictions.plan_logits_NP.softmax(-1), predictions.log_quantiles_NQ / 10.0, predictions.c0_logits_N.sigmoid()[:, None]],
        dim=-1,
    )
