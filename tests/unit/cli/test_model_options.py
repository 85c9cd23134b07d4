"""Tests of model options, and of opening the engine of a command."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tina_azr.cli.model_options import model_config, open_chat_engine
from tina_azr.config import Config
from tina_azr.errors import ConfigError
from tina_azr.introspection.heads import HeadShape, build_heads
from tina_azr.introspection.heads_file import HeadFacts, save_heads
from tina_azr.serve.loading import open_for_serving


def config(model: str, *, device: str = "cpu", dtype: str = "float32", overrides: tuple[str, ...] = ()) -> Config:
    return model_config(None, None, overrides, model=model, device=device, dtype=dtype)


def test_chat_and_serve_resolve_the_same_settings(byte_model: Path) -> None:
    settings = config(str(byte_model), overrides=("introspection.slack=0.25", "introspection.tags=[plan]", "serve.slots=3"))
    chat, served = open_chat_engine(settings, print).settings, open_for_serving(settings).settings
    assert replace(chat, allow_visible=False) == served
    assert (served.budget.slack, served.tags, served.slots) == (0.25, ("plan",), 3)
    assert served.budget.min_think_tokens == Config().introspection.min_think_tokens


def test_a_device_of_another_form_is_refused() -> None:
    with pytest.raises(ConfigError, match="give auto, cpu, cuda or cuda:N"):
        config("tiny", device="gpu")


def test_heads_of_other_weights_give_a_note_not_a_python_warning(byte_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(byte_model, folder)
    heads = build_heads(HeadShape(kind="linear", taps=(1,), hidden_size=32), seed=0)
    save_heads(heads, HeadFacts(policy_digest="0" * 16, labels=10, step=0), folder)
    said: list[str] = []
    engine = open_chat_engine(config(str(folder)), said.append)  # a warning would be an error here
    assert engine.introspector is not None
    assert len(said) == 1
    assert "fitted to other weights" in said[0]


def test_model_without_heads_opens_without_a_note(byte_model: Path) -> None:
    said: list[str] = []
    engine = open_chat_engine(config(str(byte_model), dtype="bfloat16"), said.append)
    assert (engine.introspector, said) == (None, [])
    assert engine.settings.allow_visible
    assert engine.policy.module.dtype == torch.bfloat16


def test_a_gpu_that_is_not_there_is_refused_before_the_model_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="torch sees no GPU"):
        open_chat_engine(config("./none", device="cuda"), print)
