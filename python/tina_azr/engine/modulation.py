"""Side adapters, FiLM and feedback gate, conditioned on the head outputs: the decode session's `ReasoningModulator`."""

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
    """Implementation of `ReasoningModulator` on top of the heads."""

    def __init__(self, introspector: Introspector, modulator: Modulator, like: Tensor) -> None:
        """Move the modulator to the device and dtype of `like`."""
        self._introspector = introspector
        self._like = like
        self.modulator = modulator.to(like)

    @torch.inference_mode()
    def conditions(self, states_NLH: NDArray[np.float32]) -> Sequence[Tensor]:
        """Return the head outputs of each prompt as numbers [C]."""
        return list(condition_of(self._introspector.heads.predict(torch.from_numpy(states_NLH))).to(self._like))

    def apply_layer(self, layer: int, x_BH: Tensor, thinking_B: Tensor, condition_BC: Tensor) -> Tensor:
        """Modify the residual stream after a layer. Rows that are not reasoning are returned unchanged."""
        return self.modulator.apply_layer(layer, x_BH, thinking_B, condition_BC)


def build_modulator(introspector: Introspector | None, settings: ResolvedSettings, policy: Policy) -> HeadModulator | None:
    """Build the modules that the settings switch on; None if there are none. A new module is the identity.

    Raises ConfigError without heads, and for a gate layer that the model does not have.
    """
    if not settings.modulates:
        return None
    if introspector is None:
        raise ConfigError("side adapters, FiLM and gate read the head outputs, and this policy has no heads: train heads first")
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
