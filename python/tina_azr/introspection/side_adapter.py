"""What may change a policy's residual stream while it thinks: side adapters, FiLM and a feedback gate, each the identity when new.

Tina's three ways of letting the heads speak back. All are off by default. Made anew they change no bit of any number (the last map of
each is zero), nothing of the policy's own weights is touched, and leaving them out again is leaving out an argument.
Axes: `_B` rows, `_H` hidden, `_C` what the heads claim of a row's prompt, `_R` rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tina_azr.errors import ConfigError
from tina_azr.introspection.heads import PLANS, QUANTILES, HeadOutputs

CONDITION = PLANS + len(QUANTILES) + 1
"""Numbers that condition FiLM and gate: plan probabilities, log quantiles, c0."""
FILM_SCALE = 0.05
"""Most that FiLM scales or shifts a feature by; Tina's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModulatorShape:
    """Which of the three there are, and where."""

    hidden_size: int
    layers: tuple[int, ...]
    """Decoder layers, counted from 0, behind which side adapters and FiLM stand."""
    rank: int = 0
    """Of the side adapters; 0: none."""
    film: bool = False
    gate_layer: int | None = None
    """Layer behind which the feedback gate stands; None: no gate."""

    @property
    def empty(self) -> bool:
        """There is nothing to apply."""
        return not self.rank and not self.film and self.gate_layer is None


class SideAdapter(nn.Module):
    """h + U SiLU(V h): low rank, zero at first."""

    def __init__(self, hidden_size: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Linear(hidden_size, rank, bias=False)
        self.up = nn.Linear(rank, hidden_size, bias=False)
        nn.init.zeros_(self.up.weight)

    def forward(self, x_BH: Tensor) -> Tensor:
        low_BH: Tensor = self.up(F.silu(self.down(x_BH)))
        return x_BH + low_BH


class Film(nn.Module):
    """h * (1 + s tanh(G g)) + s tanh(B g), conditioned on what the heads claim (Perez et al., 2018, with Tina's bound s)."""

    def __init__(self, hidden_size: int) -> None:
        super().__init__()
        self.maps = nn.Linear(CONDITION, 2 * hidden_size)
        nn.init.zeros_(self.maps.weight)
        nn.init.zeros_(self.maps.bias)

    def forward(self, x_BH: Tensor, condition_BC: Tensor) -> Tensor:
        scale, shift = (FILM_SCALE * torch.tanh(self.maps(condition_BC))).chunk(2, dim=-1)
        return x_BH * (1.0 + scale) + shift


class Gate(nn.Module):
    """h * (1 + tanh(w g)): one number a row, 1 at first (Tina's began at one half, and halved the stream)."""

    def __init__(self) -> None:
        super().__init__()
        self.map = nn.Linear(CONDITION, 1)
        nn.init.zeros_(self.map.weight)
        nn.init.zeros_(self.map.bias)

    def forward(self, x_BH: Tensor, condition_BC: Tensor) -> Tensor:
        return x_BH * (1.0 + torch.tanh(self.map(condition_BC)))


class Modulator(nn.Module):
    """All that is switched on, applied to rows that think and to no others."""

    def __init__(self, shape: ModulatorShape) -> None:
        """Raises ConfigError for a shape with nothing in it."""
        super().__init__()
        if shape.empty:
            raise ConfigError("a modulator of rank 0, without FiLM and without a gate, does nothing: leave it out")
        self.shape = shape
        layers: Sequence[int] = shape.layers
        self.adapters = nn.ModuleDict({str(k): SideAdapter(shape.hidden_size, shape.rank) for k in layers if shape.rank})
        self.films = nn.ModuleDict({str(k): Film(shape.hidden_size) for k in layers if shape.film})
        self.gate = Gate() if shape.gate_layer is not None else None

    @property
    def modules_on(self) -> int:
        """How many adapters, FiLMs and gates there are."""
        return len(self.adapters) + len(self.films) + (self.gate is not None)

    @torch.no_grad()
    def activity(self) -> float:
        """Mean magnitude of the last maps, which are all zero in a new modulator: how far it is from the identity."""
        last = ("up.weight", "maps.weight", "map.weight")
        found = [weight.abs().flatten() for name, weight in self.named_parameters() if name.endswith(last)]
        return float(torch.cat(found).mean())

    def apply_layer(self, layer: int, x_BH: Tensor, thinking_B: Tensor, condition_BC: Tensor) -> Tensor:
        """The residual stream behind a layer. Rows that do not think are returned as they came."""
        changed = x_BH
        if str(layer) in self.adapters:
            changed = self.adapters[str(layer)](changed)
        if str(layer) in self.films:
            changed = self.films[str(layer)](changed, condition_BC)
        if self.gate is not None and layer == self.shape.gate_layer:
            changed = self.gate(changed, condition_BC)
        return x_BH if changed is x_BH else torch.where(thinking_B[:, None], changed, x_BH)


def condition_of(predictions: HeadOutputs) -> Tensor:
    """Claims of N prompts as numbers [N, C] of about unit size."""
    return torch.cat(
        [predictions.plan_logits_NP.softmax(-1), predictions.log_quantiles_NQ / 10.0, predictions.c0_logits_N.sigmoid()[:, None]],
        dim=-1,
    )
