"""Taps: outputs of decoder layers at one position, read without changing anything.

Tap `k` is the output of decoder layer `k`, counted from 0: the residual stream after the layer (`hidden_states[k + 1]` of transformers).
It is read at the last token of the prompt, before any reasoning, and at `</think>`. The decode engine reads the same states in its own
step; this module reads them in transformers' forward pass. Axes: `_L` tapped layers, `_T` tokens, `_H` hidden.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle
from transformers import Qwen3ForCausalLM

from tina_azr.errors import ConfigError

REFERENCE_TAPS = (8, 16, 24, 32)
REFERENCE_DEPTH = 36
"""Number of layers of Qwen3-4B, for which the reference taps were chosen."""


def default_taps(depth: int) -> tuple[int, ...]:
    """Return the reference taps at the same relative depth in a model of `depth` layers, ascending and distinct."""
    return tuple(dict.fromkeys(min(depth - 1, round(tap * depth / REFERENCE_DEPTH)) for tap in REFERENCE_TAPS))


def choose_taps(depth: int, taps: Sequence[int] | None, *, linked: bool = False) -> tuple[int, ...]:
    """Return the configured taps, or the defaults; all layers in linked mode. Raises ConfigError for layers that the model lacks."""
    if linked:
        return tuple(range(depth))
    if taps is None:
        return default_taps(depth)
    chosen = tuple(taps)
    if not chosen or list(chosen) != sorted(set(chosen)) or chosen[0] < 0 or chosen[-1] >= depth:
        raise ConfigError(
            f"introspection.taps: {list(chosen)} must be rising layer numbers from 0 to {depth - 1}: the model has {depth} decoder layers"
        )
    return chosen


class Taps:
    """Context manager that records the outputs of chosen layers in a module's forward passes. Its hooks are removed at exit."""

    def __init__(self, module: Qwen3ForCausalLM, layers: Sequence[int]) -> None:
        """Choose the layers. Raises ConfigError for a layer that the module does not have."""
        self._module = module
        self._layers = choose_taps(module.config.num_hidden_layers, layers)
        self._handles: list[RemovableHandle] = []
        self._outputs: dict[int, Tensor] = {}

    def __enter__(self) -> Self:
        for number in self._layers:
            self._handles.append(self._module.model.layers[number].register_forward_hook(self._keep(number)))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _keep(self, number: int) -> Any:
        def hook(_layer: torch.nn.Module, _inputs: Any, output: Tensor | tuple[Tensor, ...]) -> None:
            self._outputs[number] = (output if isinstance(output, Tensor) else output[0]).detach()

        return hook

    def states(self, rows: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Return detached states [N, L, H] of the last forward: row `rows[i]` at `positions[i]`. Raises ConfigError before any forward."""
        missing = [number for number in self._layers if number not in self._outputs]
        if missing:
            raise ConfigError(f"no forward pass has gone through layer {missing[0]} since these taps were set")
        picked = [self._outputs[number][list(rows), list(positions)] for number in self._layers]
        return torch.stack(picked, dim=1).float()
