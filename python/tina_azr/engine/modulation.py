"""Side adapters, FiLM and gate, fed with what the heads claim: the decode session's `ThoughtModulator`."""

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
    """Implements `ThoughtModulator`."""

    def __init__(self, introspector: Introspector, modulator: Modulator, like: Tensor) -> None:
        """The modulator goes where `like` lies, and computes in its precision."""
        self._introspector = introspector
        self._like = like
        self.modulator = modulator.to(like)

    @torch.inference_mode()
    def conditions(self, states_NLH: NDArray[np.float32]) -> Sequence[Tensor]:
        """Claims of each prompt as numbers [C]."""
        return list(condition_of(self._introspector.heads.predict(torch.from_numpy(states_NLH))).to(self._like))

    def apply_layer(self, layer: int, x_BH: Tensor, thinking_B: Tensor, condition_BC: Tensor) -> Tensor:
        """The stream behind a layer; rows that do not think are returned as they came."""
        return self.modulator.apply_layer(layer, x_BH, thinking_B, condition_BC)


def build_modulator(introspector: Introspector | None, settings: ResolvedSettings, policy: Policy) -> HeadModulator | None:
    """What the settings switch on, new, hence the identity; None where that is nothing. Raises ConfigError without heads."""
    if not settings.modulates:
        return None
    if introspector is None:
        raise ConfigError("side adapters, FiLM and gate read what the heads claim, and this policy has no heads: fit some first")
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
