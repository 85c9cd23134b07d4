"""Tests of the memory estimate: sizes from `config.json` equal those of the model."""

import json
from pathlib import Path

import pytest
from transformers import Qwen3Config, Qwen3ForCausalLM

from tina_azr.config import load_config
from tina_azr.errors import ModelError
from tina_azr.model.memory import ModelDimensions, estimate_memory

QWEN3_4B = ModelDimensions(
    layers=36, hidden=2560, heads=32, kv_heads=8, head_dim=128, feed_forward=9728, vocabulary=151936, tied=True
)


@pytest.mark.parametrize("tied", [True, False])
def test_the_number_of_parameters_equals_the_modules(tmp_path: Path, tied: bool) -> None:
    config = Qwen3Config(
        vocab_size=96,
        hidden_size=40,
        intermediate_size=72,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        tie_word_embeddings=tied,
    )
    config.save_pretrained(tmp_path)
    expected = sum(parameter.numel() for parameter in Qwen3ForCausalLM(config).parameters())
    assert ModelDimensions.of_folder(tmp_path).parameters == expected


def test_the_4b_model_has_the_4_02_billion_parameters_of_its_card() -> None:
    assert QWEN3_4B.parameters == 4_022_468_096


def test_training_state_is_four_times_the_weights() -> None:
    memory = estimate_memory(QWEN3_4B, load_config())
    assert memory.weights == 4 * QWEN3_4B.parameters
    assert memory.gradients + memory.optimizer == 3 * memory.weights


def test_bfloat16_weights_have_float32_copies_and_gradients() -> None:
    memory = estimate_memory(QWEN3_4B, load_config(overrides=["model.dtype=bfloat16"]))
    assert memory.weights == 2 * QWEN3_4B.parameters
    assert (memory.gradients, memory.optimizer) == (6 * QWEN3_4B.parameters, 12 * QWEN3_4B.parameters)


def test_gradient_checkpointing_needs_less_memory_for_activations() -> None:
    whole, inputs = (
        estimate_memory(QWEN3_4B, load_config(overrides=[f"learning.gradient_checkpointing={value}"]))
        for value in ("false", "true")
    )
    assert 3 * inputs.activations < whole.activations


def test_each_slot_adds_its_kv_cache() -> None:
    few, many = (estimate_memory(QWEN3_4B, load_config(overrides=[f"selfplay.slots={slots}"])) for slots in (1, 3))
    a_token = 36 * 2 * 8 * 128 * 4
    assert many.kv_cache - few.kv_cache == 2 * (176 + 160) * a_token


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3"}))
    with pytest.raises(ModelError, match="does not describe a model"):
        ModelDimensions.of_folder(tmp_path)
