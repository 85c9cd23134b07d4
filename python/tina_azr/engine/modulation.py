"""Modulator of the decode session: side adapters, FiLM and gate, conditioned on head outputs."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tina_azr.engine.settings import ResolvedSettings
from tina_azr.errors import ConfigError
from tina_azr.introspection.introspector import Introspector
from tina_azr.introspection.side_adapter import Modulator, ModulatorShape, condition_of
from tina_azr.model.loading import Policy


class HeadModulator:
    """Modulator that is conditioned on head outputs. Implements `ReasoningModulator`."""

    def __init__(self, introspector: Introspector, modulator: Modulator, like: Tensor) -> None:
        """Move the modulator to the device and dtype of `like`."""
        self._introspector = introspector
        self._like = like
        self.modulator = modulator.to(like)

    @torch.inference_mode()
    def conditions(self, states_NLH: NDArray[np.float32]) -> Sequence[Tensor]:
        """Return the condition [C] of each prompt."""
        return list(condition_of(self._introspector.heads.predict(torch.from_numpy(states_NLH))).to(self._like))

    def apply_layer(self, layer: int, x_BH: Tensor, thinking_B: Tensor, condition_BC: Tensor) -> Tensor:
        """Return the residual stream [B, H] after a layer. Rows that are not reasoning are unchanged."""
        return self.modulator.apply_layer(layer, x_BH, thinking_B, condition_BC)


def build_modulator(introspector: Introspector | None, settings: ResolvedSettings, policy: Policy) -> HeadModulator | None:
    """Build the modulators that the settings select; None if they select none.

    They are untrained, so they are the identity. Raises ConfigError for a policy without heads, and for a gate layer that does not exist.
    """
    if not settings.modulates:
        return None
    if introspector is None:
        raise ConfigError("side adapters, FiLM and gate read head outputs, but this policy has no heads: fit some first")
    depth = policy.module.config.num_hidden_layers
    if settings.gate_layer is not None and not 0 <= settings.gate_layer < depth:
        raise ConfigError(f"gate_layer is {settings.gate_layer}, the model has the layers 0 to {depth - 1}")
    shape = ModulatorShape(
        hidden_size=introspector.heads.shape.hidden_size,
        layers=introspector.taps,
        rank=settings.adapter_rank,
        film=settings.film,
        gate_layer=settings.gate_layer,
    )
    return HeadModulator(introspector, Modulator(shape), policy.module.lm_head.weight)
