"""Memory estimate of a run, from the model's `config.json` and the configuration. It needs neither torch nor weights.

It serves to decide whether to start a run. What it counts is right within about ten percent. The allocator's slack and the sandbox are
not counted.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from tina_azr.config import Config
from tina_azr.errors import ModelError

_BYTES = {"float32": 4, "bfloat16": 2}
_FLOAT32 = 4
_LOGIT_COPIES = 3
"""Arrays of the size of the logits that exist at once: logits, their softmax, its gradient."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDimensions:
    """Sizes in the `config.json` of a Qwen3 model."""

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int
    tied: bool

    @classmethod
    def of_folder(cls, folder: Path) -> "ModelDimensions":
        """Read the sizes of the model in a folder. Raises ModelError if it has no readable `config.json`."""
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
            raise ModelError(f"{path} does not describe a model ({error!r}): give a folder in Hugging Face's layout.") from error

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        attention = self.hidden * self.head_dim * 2 * (self.heads + self.kv_heads) + 2 * self.head_dim
        layer = attention + 3 * self.hidden * self.feed_forward + 2 * self.hidden
        embeddings = self.vocabulary * self.hidden * (1 if self.tied else 2)
        return embeddings + self.layers * layer + self.hidden


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Bytes by purpose."""

    weights: int
    gradients: int
    """Float32 gradients, as the optimizer reads them. Weights in bfloat16 also have the gradients of a backward pass, which are added."""
    optimizer: int
    """Moments of AdamW, and float32 copies of weights in bfloat16."""
    kv_cache: int
    """KV cache of all decode slots with the longest prompt and completion."""
    activations: int
    """Activations of one micro-batch, forward and backward."""

    @property
    def total(self) -> int:
        """Sum of all. Rollouts and learning take turns, but neither returns its memory."""
        return self.weights + self.gradients + self.optimizer + self.kv_cache + self.activations


def estimate_memory(dimensions: ModelDimensions, config: Config) -> Memory:
    """Return the memory that this configuration needs for a model of these dimensions."""
    stored = _BYTES[config.model.dtype]
    computed = 2 if config.learning.autocast == "bfloat16" else _FLOAT32
    weights = dimensions.parameters * stored
    copies = dimensions.parameters * _FLOAT32 if stored < _FLOAT32 else 0
    kv_of_a_token = dimensions.layers * 2 * dimensions.kv_heads * dimensions.head_dim * stored
    longest = config.tasks.max_prompt_tokens + config.selfplay.max_tokens
    # Kept for the backward pass, a layer: norms and residuals, projections, attention output, the three feed-forward products.
    kept_of_a_token = (
        6 * dimensions.hidden + 2 * (dimensions.heads + dimensions.kv_heads) * dimensions.head_dim + 4 * dimensions.feed_forward
    )
    tokens = max(config.learning.micro_batch_tokens, longest)
    if config.learning.gradient_checkpointing:
        # The inputs of all layers, and one layer whole.
        activations = tokens * (dimensions.layers * dimensions.hidden * stored + kept_of_a_token * computed)
    else:
        activations = tokens * dimensions.layers * kept_of_a_token * computed
    logits = min(tokens, 4096) * dimensions.vocabulary * _FLOAT32 * _LOGIT_COPIES
    return Memory(
        weights=weights,
        gradients=dimensions.parameters * _FLOAT32 + (weights if copies else 0),
        optimizer=2 * dimensions.parameters * _FLOAT32 + copies,
        kv_cache=config.selfplay.slots * longest * kv_of_a_token,
        activations=activations + logits,
    )
