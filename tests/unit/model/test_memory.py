"""Memory from a model's description alone, held against the model itself."""

import json
from pathlib import Path

import pytest
from transformers import Qwen3Config, Qwen3ForCausalLM

from tina_azr.config import load_config
from tina_azr.errors import ModelError
from tina_azr.model.memory import ModelShape, estimate_memory

QWEN3_4B = ModelShape(layers=36, hidden=2560, heads=32, kv_heads=8, head_dim=128, feed_forward=9728, vocabulary=151936, tied=True)


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_those_of_the_module(tmp_path: Path, tied: bool) -> None:
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
    assert ModelShape.of_folder(tmp_path).parameters == expected


def test_the_4b_model_has_the_4_02_billion_parameters_of_its_card() -> None:
    assert QWEN3_4B.parameters == 4_022_468_096


def test_training_state_is_four_times_the_weights() -> None:
    memory = estimate_memory(QWEN3_4B, load_config())
    assert memory.weights == 4 * QWEN3_4B.parameters
    assert memory.gradients + memory.optimizer == 3 * memory.weights


def test_weights_stored_in_less_have_float32_copies_and_gradients() -> None:
    memory = estimate_memory(QWEN3_4B, load_config(overrides=["model.dtype=bfloat16"]))
    assert memory.weights == 2 * QWEN3_4B.parameters
    assert (memory.gradients, memory.optimizer) == (6 * QWEN3_4B.parameters, 12 * QWEN3_4B.parameters)


def test_layers_that_are_computed_again_keep_their_inputs_alone() -> None:
    whole, inputs = (
        estimate_memory(QWEN3_4B, load_config(overrides=[f"learning.gradient_checkpointing={value}"]))
        for value in ("false", "true")
    )
    assert 3 * inputs.activations < whole.activations


def test_each_slot_adds_its_keys_and_values() -> None:
    few, many = (estimate_memory(QWEN3_4B, load_config(overrides=[f"selfplay.slots={slots}"])) for slots in (1, 3))
    a_token = 36 * 2 * 8 * 128 * 4
    assert many.kv_cache - few.kv_cache == 2 * (176 + 160) * a_token


def test_what_is_no_model_folder_says_so(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen3"}))
    with pytest.raises(ModelError, match="is no description of a model"):
        ModelShape.of_folder(tmp_path)
