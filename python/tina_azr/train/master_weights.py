"""Float32 copies of parameters that are stored in less, and an optimizer on them.

A bfloat16 weight has 8 bits: an AdamW step of 1e-6 relative to it rounds away. The optimizer therefore steps on float32 weights and
the module gets their rounding, written in place. A float32 module needs no copies: its parameters are their own masters.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from tina_azr.errors import CheckpointError


class MasterWeights:
    """The float32 side of a module's parameters, by name."""

    def __init__(self, module: nn.Module) -> None:
        self._stored = {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}
        self.weights = {
            name: parameter if parameter.dtype == torch.float32 else parameter.detach().float().requires_grad_()
            for name, parameter in self._stored.items()
        }

    def take_gradients(self) -> None:
        """Add the module's gradients to those of their masters, and clear them.

        After each backward pass: sums of many micro-batches in bfloat16 would lose the small ones.
        """
        for master, stored in self._copies():
            if stored.grad is not None:
                widened = stored.grad.float()
                master.grad = widened if master.grad is None else master.grad.add_(widened)
                stored.grad = None

    @torch.no_grad()
    def write_back(self) -> None:
        """Round the masters into the module, in place: the decode engine looks at the same storage."""
        for master, stored in self._copies():
            stored.copy_(master)

    def state(self) -> dict[str, Tensor]:
        """The copies. Empty for a float32 module, whose weights are saved with the policy."""
        return {name: weight for name, weight in self.weights.items() if weight is not self._stored[name]}

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Put saved copies back, and their rounding into the module."""
        own = self.state()
        if own.keys() != state.keys():
            raise CheckpointError(
                f"the checkpoint has float32 copies of {len(state)} weights, this model needs {len(own)}: "
                "resume with the model.dtype that the run was started with"
            )
        for name, weight in own.items():
            weight.copy_(state[name])
        self.write_back()

    def _copies(self) -> Iterator[tuple[Tensor, Tensor]]:
        for name, master in self.weights.items():
            if master is not self._stored[name]:
                yield master, self._stored[name]
