"""Memory estimate of a run, from the model's `config.json` and the configuration: no torch, no weights.

An estimate for deciding whether to start, within some ten percent for what it counts: not the allocator's slack, not the sandbox.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tina_azr.config import Config
from tina_azr.errors import ModelError

_BYTES = {"float32": 4, "bfloat16": 2}
_FLOAT32 = 4
_LOGIT_COPIES = 3
"""Logits, their softmax and its gradient live at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """The part of a Qwen3 `config.json` that decides sizes."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int
    tied: bool

    @classmethod
    def of_folder(cls, folder: Path) -> "ModelShape":
        """Raises ModelError where there is no readable `config.json`."""
        path = folder / "config.json"
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
            heads = raw["num_attention_heads"]
            return cls(
                layers=raw["num_hidden_layers"],
                hidden=raw["hidden_size"],
                heads=heads,
                kv_heads=raw.get("num_key_value_heads", heads),
                head_dim=raw.get("head_dim") or raw["hidden_size"] // heads,
                feed_forward=raw["intermediate_size"],
                vocabulary=raw["vocab_size"],
                tied=raw.get("tie_word_embeddings", False),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"{path} is no description of a model ({error!r}): name a folder in Hugging Face's layout.") from error

    @property
    def parameters(self) -> int:
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads) + 2 * self.head_dim
        layer = attention + 3 * self.hidden * self.feed_forward + 2 * self.hidden
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return embeddings + self.layers * layer + self.hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes by what they are for."""

    weights: int
    gradients: int
    """Float32, as the optimizer reads them; of weights stored in less also those of a backward pass, which are added to them."""
    optimizer: int
    """AdamW's moments and, of weights stored in less than float32, their float32 copies."""
    kv_cache: int
    """Decode slots, filled to the longest prompt and completion."""
    activations: int
    """Of one micro-batch, forward and backward."""

    @property
    def total(self) -> int:
        """Rollouts and learning take turns, but neither gives its memory back."""
        return self.weights + self.gradients + self.optimizer + self.kv_cache + self.activations


def estimate_memory(shape: ModelShape, config: Config) -> Memory:
    """What this configuration takes with a model of this shape."""
    stored = _BYTES[config.model.dtype]
    computed = 2 if config.learning.autocast == "bfloat16" else _FLOAT32
    weights = shape.parameters * stored
    copies = shape.parameters * _FLOAT32 if stored < _FLOAT32 else 0
    kv_of_a_token = shape.layers * 2 * shape.kv_heads * shape.head_dim * stored
    longest = config.tasks.max_prompt_tokens + config.selfplay.max_tokens
    # Kept for the backward pass, a layer: norms and residuals, projections, attention output, the three feed-forward products.
    kept_of_a_token = 6 * shape.hidden + 2 * (shape.heads + shape.kv_heads) * shape.head_dim + 4 * shape.feed_forward
    tokens = max(config.learning.micro_batch_tokens, longest)
    if config.learning.gradient_checkpointing:
        # The inputs of all layers, and one layer whole.
        activations = tokens * (shape.layers * shape.hidden * stored + kept_of_a_token * computed)
    else:
        activations = tokens * shape.layers * kept_of_a_token * computed
    logits = min(tokens, 4096) * shape.vocabulary * _FLOAT32 * _LOGIT_COPIES
    return Memory(
        weights=weights,
        gradients=shape.parameters * _FLOAT32 + (weights if copies else 0),
        optimizer=2 * shape.parameters * _FLOAT32 + copies,
        kv_cache=config.selfplay.slots * longest * kv_of_a_token,
        activations=activations + logits,
    )
