"""State of all slots, in tensors with one row for each slot. Axes: `_S` slots, `_M` completion tokens, `_E` further stop ids."""

from dataclasses import dataclass, fields

import torch
from torch import Tensor
from torch.nn import functional as F

NO_THINK_LIMIT = 1 << 30
NOT_FORCING = -1
NO_ID = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class RowState:
    """Per-row state that changes with every token, and per-row sampling parameters."""

    last_ids_S: Tensor
    positions_S: Tensor
    """Position of `last_ids_S` in its sequence."""
    alive_S: Tensor
    lengths_S: Tensor
    """Number of completion tokens so far."""
    ids_SM: Tensor
    """Completion ids, with one spare column: a row that has ended continues to write after its last token."""
    logprobs_SM: Tensor
    forced_SM: Tensor
    uniform_SM: Tensor
    limits_S: Tensor
    thinking_S: Tensor
    think_limits_S: Tensor
    forcing_S: Tensor
    """Index of the next closing id; `NOT_FORCING` if none is due."""
    min_think_S: Tensor
    tagless_S: Tensor
    """Whether think tags cannot be sampled in the answer."""
    stop_ids_SE: Tensor
    """Further stop ids, padded with `NO_ID`."""
    temperature_S: Tensor
    greedy_S: Tensor
    top_p_S: Tensor
    top_k_S: Tensor
    min_p_S: Tensor

    @classmethod
    def allocate(cls, slots: int, tokens: int, stop_ids: int, device: torch.device) -> "RowState":
        """Allocate rows; their content has no meaning before a row is admitted."""

        def rows(dtype: torch.dtype, *columns: int) -> Tensor:
            return torch.zeros(slots, *columns, dtype=dtype, device=device)

        return cls(
            last_ids_S=rows(torch.long),
            positions_S=rows(torch.long),
            alive_S=rows(torch.bool),
            lengths_S=rows(torch.long),
            ids_SM=rows(torch.long, tokens + 1),
            logprobs_SM=rows(torch.float32, tokens + 1),
            forced_SM=rows(torch.bool, tokens + 1),
            uniform_SM=rows(torch.float32, tokens + 1),
            limits_S=rows(torch.long),
            thinking_S=rows(torch.bool),
            think_limits_S=rows(torch.long),
            forcing_S=rows(torch.long),
            min_think_S=rows(torch.long),
            tagless_S=rows(torch.bool),
            stop_ids_SE=rows(torch.long, stop_ids),
            temperature_S=rows(torch.float32),
            greedy_S=rows(torch.bool),
            top_p_S=rows(torch.float32),
            top_k_S=rows(torch.long),
            min_p_S=rows(torch.float32),
        )

    @property
    def tokens(self) -> int:
        """Longest completion that fits."""
        return self.ids_SM.shape[1] - 1

    @property
    def stop_ids(self) -> int:
        """Most further stop ids of a row."""
        return self.stop_ids_SE.shape[1]

    def widened(self, tokens: int, stop_ids: int) -> "RowState":
        """Return the same rows with columns for longer completions and more stop ids."""
        wider = {}
        for field in fields(self):
            tensor: Tensor = getattr(self, field.name)
            if tensor.ndim == 2:
                wanted, fill = (stop_ids, NO_ID) if field.name == "stop_ids_SE" else (tokens + 1, 0)
                tensor = F.pad(tensor, (0, max(0, wanted - tensor.shape[1])), value=fill)
            wider[field.name] = tensor
        return RowState(**wider)

    def keep(self, rows: Tensor) -> None:
        """Move these rows (ascending) to the front."""
        for field in fields(self):
            tensor: Tensor = getattr(self, field.name)
            tensor[: len(rows)] = tensor[rows]
