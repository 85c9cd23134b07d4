"""Every number of the embedded model's recipe, in one place."""

from dataclasses import dataclass
from typing import Any

import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from tina_azr.tiny.vocabulary import SPECIAL_TOKENS, VOCABULARY_SIZE

SHAPE: dict[str, Any] = {
    "hidden_size": 160,
    "intermediate_size": 480,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "num_key_value_heads": 5,
    "head_dim": 32,
    "max_position_embeddings": 1024,
    "initializer_range": 0.03,
}
"""1.1 M parameters: 2.2 MB in bfloat16. Self-play on two cores needs the speed more than it needs parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage of supervised training."""

    tokens: int
    """Prompt and completion tokens to see."""
    peak_lr: float
    """Of Muon on the matrices and of AdamW on embedding and norms."""
    warmup_steps: int
    decay_share: float
    """Last share of the tokens, over which the rate falls to `final_lr_share`."""
    skip_share: float
    """Share of deduction and abduction examples whose reasoning skips all but its end."""
    seed: int
    final_lr_share: float = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Both stages and what they share."""

    steps: tuple[int, ...] = (1, 2, 3)
    """Numbers of steps that the warm start sees; 4 to 6 stay unseen."""
    batch_tokens: int = 4096
    """Padded tokens of one worker's batch."""
    workers: int = 2
    """Data-parallel processes, one thread each: 1.5 times two threads of one process."""
    prompt_weight: float = 0.05
    """Weight of prompt tokens in the loss; completion tokens have 1."""
    max_tokens: int = 336
    """Longer examples are left out."""
    warm: Stage = Stage(
        tokens=32_000_000,
        peak_lr=4e-3,
        warmup_steps=50,
        decay_share=0.45,
        skip_share=0.0,
        seed=11,
    )
    mixed: Stage = Stage(
        tokens=900_000,
        peak_lr=5e-4,
        warmup_steps=20,
        decay_share=0.7,
        skip_share=0.6,
        seed=12,
    )


def new_model(seed: int) -> Qwen3ForCausalLM:
    """A Qwen3 of the embedded shape with fresh weights (float32)."""
    torch.manual_seed(seed)
    special = {token: index for index, token in enumerate(SPECIAL_TOKENS)}
    config = Qwen3Config(
        vocab_size=VOCABULARY_SIZE,
        tie_word_embeddings=True,
        rope_parameters={"rope_type": "default", "rope_theta": 10_000.0},
        bos_token_id=None,
        eos_token_id=special["<|im_end|>"],
        pad_token_id=special["<|endoftext|>"],
        attention_dropout=0.0,
        **SHAPE,
    )
    return Qwen3ForCausalLM(config)
