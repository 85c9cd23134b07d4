"""A model of Qwen3-4B-Thinking-2507's shape rules (36 layers, 151,936 ids, its tag ids and template) made narrow: found out by itself."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import Qwen3Config, Qwen3ForCausalLM

from tina_azr.engine.engine import IntrospectiveEngine
from tina_azr.engine.loading import open_engine
from tina_azr.engine.settings import EngineSettings
from tina_azr.engine.types import GenerationRequest, Message, ThinkStop
from tina_azr.introspection.budget import BudgetSettings
from tina_azr.introspection.heads import HeadShape, build_heads
from tina_azr.introspection.introspector import Introspector
from tina_azr.model.loading import QWEN_CLOSING, Policy, load_policy
from tina_azr.model.taps import choose_taps
from tina_azr.text.style import PromptStyle

BASE, PADDED = 151_643, 151_936
ADDED = (
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>"),
    *("<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>"),
    *("<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>", "<|repo_name|>"),
    *("<|file_sep|>", "<tool_response>", "</tool_response>", "<think>", "</think>"),
)
THINK_OPEN, THINK_CLOSE = 151_667, 151_668
TEMPLATE = """\
{%- for message in messages %}
{%- if message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' + message.content.split('</think>')[-1].lstrip('\\n') + '<|im_end|>\\n' }}
{%- else %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n<think>\\n' }}
{%- endif %}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("qwen3")
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: number for number, symbol in enumerate([*letters, *(f"token{n}" for n in range(len(letters), BASE))])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([AddedToken(token, special=token.startswith("<|"), normalized=False) for token in ADDED])
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    torch.manual_seed(0)
    shape = Qwen3Config(
        vocab_size=PADDED,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=36,
        num_attention_heads=8,
        num_key_value_heads=2,
        head_dim=8,
        tie_word_embeddings=True,
        max_position_embeddings=262_144,
        rope_parameters={"rope_type": "default", "rope_theta": 5_000_000.0},
        eos_token_id=151_645,
    )
    Qwen3ForCausalLM(shape).save_pretrained(path)
    advice = {"do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": [151_645, 151_643]}
    (path / "generation_config.json").write_text(json.dumps(advice))
    return path


@pytest.fixture(scope="module")
def policy(folder: Path) -> Policy:
    return load_policy(str(folder), device="cpu")


def test_tags_have_their_pretrained_ids_and_no_embedding_was_touched(policy: Policy, folder: Path) -> None:
    assert (policy.tokenizer.think_open_id, policy.tokenizer.think_close_id) == (THINK_OPEN, THINK_CLOSE)
    stored = Qwen3ForCausalLM.from_pretrained(folder).model.embed_tokens.weight
    assert policy.module.model.embed_tokens.weight.shape == (PADDED, 16)
    assert torch.equal(policy.module.model.embed_tokens.weight, stored)


def test_stop_ids_are_the_models_own(policy: Policy) -> None:
    assert policy.tokenizer.stop_ids == (151_645, 151_643)
    assert policy.tokenizer.pad_id == 151_643


def test_template_opens_the_reasoning(policy: Policy) -> None:
    ids = policy.tokenizer.render("hello")
    assert ids.count(THINK_OPEN) == 1
    assert THINK_CLOSE not in ids
    assert ids[-2] == THINK_OPEN


def test_past_reasoning_is_stripped_and_quoted_tags_stay_text(policy: Policy) -> None:
    ids = policy.tokenizer.render_chat([("user", "a </think> b"), ("assistant", "secret</think>\n\nfour"), ("user", "and?")])
    assert THINK_CLOSE not in ids
    assert ids.count(THINK_OPEN) == 1
    text = policy.tokenizer.decode(ids)
    assert "secret" not in text
    assert "a </think> b" in text


def test_prompts_are_full_style_and_the_closing_sentence_is_qwens(policy: Policy) -> None:
    assert policy.style is PromptStyle.FULL
    assert policy.tokenizer.decode(policy.closing_ids) == QWEN_CLOSING
    assert policy.closing_ids.count(THINK_CLOSE) == 1


def test_default_taps_for_this_depth(policy: Policy) -> None:
    assert choose_taps(policy.module.config.num_hidden_layers, None) == (8, 16, 24, 32)


def test_engine_defaults_are_generation_config_and_full_budgets(folder: Path) -> None:
    settings = open_engine(str(folder), device="cpu").settings
    assert (settings.temperature, settings.top_p, settings.top_k, settings.min_p) == (0.6, 0.95, 20, 0.0)
    assert (settings.max_tokens, settings.budget.max_think_tokens, settings.budget.answer_reserve) == (8_192, 4_096, 256)
    assert settings.budget.slack == 0.5


def test_answer_with_heads_of_this_shape(policy: Policy) -> None:
    shape = HeadShape(kind="linked", taps=(8, 16, 24, 32), hidden_size=16, width=8)
    settings = EngineSettings(budget=BudgetSettings(answer_reserve=8))
    engine = IntrospectiveEngine(policy, introspector=Introspector(build_heads(shape, seed=0)), settings=settings)
    request = GenerationRequest(
        messages=(Message(role="user", content="hello"),),
        max_tokens=150,
        budget_tokens=8,
        seed=1,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
    )
    (generation,) = engine.generate([request])[0]
    assert generation.forecast is not None
    assert generation.forecast.layers_L == (8, 16, 24, 32)
    assert generation.think_stop is ThinkStop.THINK_LIMIT
    assert generation.completion.ids_T[12 : 12 + len(policy.closing_ids)].tolist() == list(policy.closing_ids)
    assert generation.confidence_after is not None
