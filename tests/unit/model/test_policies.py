"""Tests of loading, saving and fusing a policy, and of the error messages."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, Qwen3ForCausalLM

from tina_azr.errors import ModelError
from tina_azr.model.fused import fuse
from tina_azr.model.loading import load_policy
from tina_azr.model.logprobs import completion_logprobs, micro_batches
from tina_azr.model.saving import save_policy
from tina_azr.text.style import PromptStyle


def test_a_saved_policy_is_an_ordinary_model_folder(byte_model: Path, tmp_path: Path) -> None:
    policy = load_policy(str(byte_model), device="cpu")
    fuse(policy.module)
    save_policy(policy, tmp_path / "saved")
    plain = Qwen3ForCausalLM.from_pretrained(tmp_path / "saved", dtype=torch.float32)
    for (name, one), (_, other) in zip(policy.module.named_parameters(), plain.named_parameters(), strict=True):
        assert torch.equal(one, other), name
    again = load_policy(str(tmp_path / "saved"), device="cpu")
    assert again.style is PromptStyle.COMPACT
    assert again.tokenizer.render("x") == policy.tokenizer.render("x")


def test_the_prompt_set_is_saved_with_the_model(byte_model: Path, tmp_path: Path) -> None:
    save_policy(load_policy(str(byte_model), device="cpu", style=PromptStyle.FULL), tmp_path / "full")
    assert load_policy(str(tmp_path / "full"), device="cpu").style is PromptStyle.FULL
    # Back again, and from a folder that names nothing at all.
    (tmp_path / "full" / "tina.json").unlink()
    save_policy(load_policy(str(tmp_path / "full"), device="cpu", style=PromptStyle.COMPACT), tmp_path / "compact")
    assert load_policy(str(tmp_path / "compact"), device="cpu").style is PromptStyle.COMPACT


def test_other_keys_of_tina_json_are_kept(tmp_path: Path) -> None:
    tiny = load_policy("tiny", device="cpu", style=PromptStyle.FULL)
    save_policy(tiny, tmp_path / "saved")
    saved = load_policy(str(tmp_path / "saved"), device="cpu")
    assert (saved.style, saved.closing_ids) == (PromptStyle.FULL, tiny.closing_ids)
    save_policy(load_policy("tiny", device="cpu"), tmp_path / "same")
    assert (tmp_path / "same" / "tina.json").read_bytes() == (tiny.folder / "tina.json").read_bytes()


def test_fusing_changes_no_output_and_happens_once(byte_model: Path) -> None:
    policy = load_policy(str(byte_model), device="cpu")
    ids = torch.tensor([policy.tokenizer.render("some words")])
    before = policy.module(ids).logits
    first, second = fuse(policy.module), fuse(policy.module)
    assert torch.equal(policy.module(ids).logits, before)
    assert first.layers[0].qkv.data_ptr() == second.layers[0].qkv.data_ptr()
    assert second.layers[0].qkv.shape == first.layers[0].qkv.shape
    assert first.layers[0].qkv.data_ptr() == policy.module.model.layers[0].self_attn.q_proj.weight.data_ptr()


def test_the_rendered_prompt_equals_that_of_transformers(byte_model: Path) -> None:
    plain = AutoTokenizer.from_pretrained(byte_model)
    plain.chat_template = (byte_model / "chat_template.jinja").read_text()
    text = plain.apply_chat_template([{"role": "user", "content": "some words"}], add_generation_prompt=True, tokenize=False)
    tokenizer = load_policy(str(byte_model), device="cpu").tokenizer
    assert tokenizer.decode(tokenizer.render("some words")) == text


def test_learner_logprobs_equal_those_of_a_plain_forward(byte_model: Path) -> None:
    policy = load_policy(str(byte_model), device="cpu")
    prompts = [policy.tokenizer.render("a"), policy.tokenizer.render("some longer words")]
    completions = [np.array([5, 6, 7]), np.array([9])]
    with torch.no_grad():
        ours = completion_logprobs(policy.module, prompts, completions, temperature=0.5)
        expected = []
        for prompt, completion in zip(prompts, completions, strict=True):
            logits = policy.module(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 : -1] / 0.5
            expected += logits.log_softmax(-1)[range(len(completion)), completion].tolist()
    np.testing.assert_allclose(ours.logprobs_T.numpy(), expected, atol=1e-5)
    assert (ours.entropy_T > 0).all()


def test_micro_batches_have_every_row_once_within_the_budget() -> None:
    lengths = [5, 100, 7, 30, 31, 200, 6]
    groups = micro_batches(lengths, 64)
    assert sorted(index for group in groups for index in group) == list(range(7))
    assert all(len(group) == 1 or max(lengths[i] for i in group) * len(group) <= 64 for group in groups)


def _broken(byte_model: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(byte_model, tmp_path / "broken"))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model folder at runs/nowhere"):
        load_policy("runs/nowhere")  # which has the form of a hub name
    with pytest.raises(ModelError, match=r"no model folder at .*nowhere"):
        load_policy(str(tmp_path / "nowhere"))


def test_missing_weights_are_named(byte_model: Path, tmp_path: Path) -> None:
    folder = _broken(byte_model, tmp_path)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"no \*\.safetensors"):
        load_policy(str(folder))


def test_damaged_weights_are_named(byte_model: Path, tmp_path: Path) -> None:
    folder = _broken(byte_model, tmp_path)
    (folder / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_policy(str(folder))


def test_another_architecture_is_refused(byte_model: Path, tmp_path: Path) -> None:
    folder = _broken(byte_model, tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}))
    with pytest.raises(ModelError, match="only the Qwen3 architecture"):
        load_policy(str(folder))


def test_a_template_without_an_opening_tag_is_refused(byte_model: Path, tmp_path: Path) -> None:
    folder = _broken(byte_model, tmp_path)
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}")
    with pytest.raises(ModelError, match="does not open the reasoning"):
        load_policy(str(folder))


def test_split_tags_are_refused(byte_model: Path, tmp_path: Path) -> None:
    folder = _broken(byte_model, tmp_path)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["content"] != "</think>"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="</think> is 8 tokens"):
        load_policy(str(folder))
