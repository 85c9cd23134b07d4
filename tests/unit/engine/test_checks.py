"""Tests of the checks of a model folder. Each test breaks one thing in a valid folder."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models

import tina_azr
from tina_azr.engine import checks
from tina_azr.engine.checks import CheckpointShape, Problem
from tina_azr.introspection.calibration import Calibration, ConfidenceCalibration, ConfidenceMap, tokenizer_digest

TINY = Path(tina_azr.__file__).parent / "assets" / "tiny"
SHAPE = CheckpointShape(layers=3, hidden_size=160, positions=1_024, vocabulary=576)
SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "tina.json",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a copy of the embedded model without weights, which the checks must not need."""
    for name in SMALL_FILES:
        shutil.copy(TINY / name, tmp_path / name)
    return tmp_path


def edit(path: Path, change: Callable[[Any], None]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def said(problems: list[Problem]) -> str:
    assert len(problems) == 1, problems
    return str(problems[0])


def all_checks(folder: Path) -> list[Problem]:
    shape = checks.read_shape(folder)
    assert isinstance(shape, CheckpointShape)
    return [
        *checks.check_tokenizer(folder, shape.vocabulary),
        *checks.check_heads(folder, shape),
        *checks.check_calibration(folder, None),
    ]


def test_embedded_model_passes_all_checks(folder: Path) -> None:
    assert checks.read_shape(folder) == SHAPE
    assert all_checks(folder) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "there is no such file"),
        ("{", "it cannot be read as JSON"),
        ("[]", "it does not hold a JSON object"),
        ('{"model_type": "llama"}', "the model is of type 'llama'. Only the Qwen3 architecture is supported."),
    ],
)
def test_folder_without_a_qwen3_model_is_reported(text: str | None, expected: str, folder: Path) -> None:
    (folder / "config.json").unlink()
    if text is not None:
        (folder / "config.json").write_text(text)
    problems = checks.read_shape(folder)
    assert isinstance(problems, list)
    assert said(problems).startswith(f"{folder / 'config.json'}: {expected}")


def test_every_invalid_number_of_the_config_is_reported(folder: Path) -> None:
    edit(folder / "config.json", lambda c: c.update(num_hidden_layers="3", vocab_size=0))
    problems = checks.read_shape(folder)
    assert isinstance(problems, list)
    assert [problem.what.partition(",")[0] for problem in problems] == ["`num_hidden_layers` is '3'", "`vocab_size` is 0"]


@pytest.mark.parametrize("tag", ["<think>", "</think>", "<|im_end|>"])
def test_tag_of_several_tokens_is_reported(tag: str, folder: Path) -> None:
    edit(folder / "tokenizer.json", lambda t: t.update(added_tokens=[a for a in t["added_tokens"] if a["content"] != tag]))
    assert f"{tag} is " in said(checks.check_tokenizer(folder, 576))


def test_tokenizer_larger_than_the_model_is_reported(folder: Path) -> None:
    assert "the tokenizer has 521 tokens, the model 500" in said(checks.check_tokenizer(folder, 500))


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([2, 4], "the stop id 4 is </think>: every completion would end before its answer"),
        ([2, 9_999], "the stop id 9999 is not one of the model's 576 tokens"),
        ([2, "x"], "the stop id 'x' is not one of"),
    ],
)
def test_wrong_stop_id_is_reported(ids: list[Any], expected: str, folder: Path) -> None:
    edit(folder / "generation_config.json", lambda c: c.update(eos_token_id=ids))
    assert expected in said(checks.check_tokenizer(folder, 576))


def test_stop_ids_without_the_end_of_turn_are_reported(folder: Path) -> None:
    for name in ("generation_config.json", "config.json"):
        edit(folder / name, lambda c: c.update(eos_token_id=0))
    assert "no stop id is <|im_end|> (2), with which the template ends a turn" in said(checks.check_tokenizer(folder, 576))


def test_template_with_another_end_of_turn_is_reported(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("<|im_end|>", "<|im_start|>"))
    assert "a turn ends with '<|im_start|>', which is not a stop id: answers would not end" in said(
        checks.check_tokenizer(folder, 576)
    )


def test_template_that_keeps_old_reasoning_is_reported(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace(".split('</think>')[-1]", ""))
    assert "reasoning of earlier turns stays in the prompt" in said(checks.check_tokenizer(folder, 576))


def test_template_that_does_not_open_reasoning_is_reported(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace("assistant\\n<think>\\n", "assistant\\n"))
    assert "does not open the reasoning" in said(checks.check_tokenizer(folder, 576))


def test_template_that_loses_answers_is_reported(folder: Path) -> None:
    path = folder / "chat_template.jinja"
    path.write_text(path.read_text().replace(".split('</think>')[-1]", ".split('</think>')[0][:1]"))
    assert "the answer of an earlier turn is missing" in said(checks.check_tokenizer(folder, 576))


def test_tag_that_is_an_unknown_token_is_reported(folder: Path) -> None:
    unknown = Tokenizer(models.WordLevel({"?": 0, "<|im_end|>": 1}, unk_token="?"))
    unknown.save(str(folder / "tokenizer.json"))
    edit(folder / "generation_config.json", lambda c: c.update(eos_token_id=1))
    edit(folder / "config.json", lambda c: c.update(eos_token_id=1))
    found = [problem.what for problem in checks.check_tokenizer(folder, 576)]
    assert "<think> becomes the single id 0, which is '?'" in found
    assert "</think> becomes the single id 0, which is '?'" in found


def test_missing_tokenizer_is_reported(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    assert "has no tokenizer.json" in said(checks.check_tokenizer(folder, 576))


@pytest.mark.parametrize("taps", [[3], [-1, 0], [1, 0], [1, 1], []])
def test_taps_outside_the_model_are_reported(taps: list[int]) -> None:
    expected = (
        f"introspection.taps: {taps} does not fit a model of 3 decoder layers. Give rising layer numbers from 0 to 2, or null"
    )
    assert said(checks.check_taps(taps, 3, "introspection.taps")).startswith(expected)


@pytest.mark.parametrize("taps", [None, [0], [0, 1, 2]])
def test_taps_inside_the_model_pass(taps: list[int] | None) -> None:
    assert checks.check_taps(taps, 3, "introspection.taps") == []


def test_budget_out_of_bounds_is_reported() -> None:
    def check(**given: Any) -> list[Problem]:
        values = {"slack": 0.5, "min_think_tokens": 0, "max_think_tokens": 4_096, **given}
        return checks.check_budget(**values, positions=1_024, where="introspection")

    assert check() == []
    assert check(min_think_tokens=204) == []
    assert "slack is -1" in said(check(slack=-1.0))
    assert "min_think_tokens 9 is above max_think_tokens 8" in said(check(min_think_tokens=9, max_think_tokens=8))
    assert "205 is more than a fifth of the model's 1024 positions. Set it to at most 204" in said(check(min_think_tokens=205))


def test_prompt_and_completion_must_fit_the_context() -> None:
    assert checks.check_context_length(prompt_tokens=1_000, completion_tokens=24, positions=1_024, where="x") == []
    assert "do not fit the model's 1024 positions" in said(
        checks.check_context_length(prompt_tokens=1_000, completion_tokens=25, positions=1_024, where="x")
    )


def test_invalid_names_of_additional_tags_are_reported() -> None:
    assert checks.check_tags(["plan", "exec"], "x") == []
    assert "`<plan>` cannot name a tag" in said(checks.check_tags(["<plan>"], "x"))
    assert "think tokens are always counted" in said(checks.check_tags(["think"], "x"))
    assert "`plan` is named twice" in said(checks.check_tags(["plan", "plan"], "x"))


def write_heads(folder: Path, **shape: Any) -> None:
    facts = {"shape": {"taps": [1, 2], "hidden_size": 160, **shape}, "policy_digest": "p1", "heads_digest": "h1"}
    (folder / "heads.json").write_text(json.dumps(facts))


def test_heads_of_another_model_are_reported(folder: Path) -> None:
    write_heads(folder)
    assert checks.check_heads(folder, SHAPE) == []
    write_heads(folder, taps=[1, 3])
    assert "heads.json: [1, 3] does not fit a model of 3 decoder layers. Remove heads.json" in said(
        checks.check_heads(folder, SHAPE)
    )
    write_heads(folder, hidden_size=64)
    assert "the heads read 64 features, the model has 160" in said(checks.check_heads(folder, SHAPE))
    write_heads(folder, taps="all")
    assert "`shape.taps` is not a list of layer numbers" in said(checks.check_heads(folder, SHAPE))


def fitted(folder: Path, **digests: str) -> Path:
    path = folder / "calibration.json"
    own = {"policy_digest": "p1", "heads_digest": "h1", "tokenizer_digest": tokenizer_digest(folder)}
    warm = ConfidenceCalibration(pooled=ConfidenceMap(method="temperature", temperature=2.0, n=60))
    Calibration(c0=warm, **{**own, **digests}).save(path)
    return path


def test_calibration_of_this_model_passes(folder: Path) -> None:
    write_heads(folder)
    path = fitted(folder)
    assert checks.check_calibration(folder, None) == checks.check_calibration(folder, path) == []


@pytest.mark.parametrize("part", ["policy", "heads", "tokenizer"])
def test_calibration_of_another_policy_heads_or_tokenizer_is_reported(part: str, folder: Path) -> None:
    write_heads(folder)
    path = fitted(folder, **{f"{part}_digest": "other"})
    expected = f"{path}: The calibration was fitted to {part} other, but runs with "
    assert said(checks.check_calibration(folder, None)).startswith(expected)
    assert said(checks.check_calibration(folder, None)).endswith(". Fit it again with `tina-azr calibrate`.")


def test_calibration_without_its_heads_is_reported(folder: Path) -> None:
    fitted(folder)
    assert "it was fitted to heads h1, but there are none in" in said(checks.check_calibration(folder, None))


def test_missing_or_unreadable_calibration_is_reported(folder: Path) -> None:
    assert checks.check_calibration(folder, None) == []
    assert "there is no such calibration" in said(checks.check_calibration(folder, folder / "mine.json"))
    (folder / "mine.json").write_text('{"slack": -1, "budget_clip": 0}')
    assert [problem.what.partition(",")[0] for problem in checks.check_calibration(folder, folder / "mine.json")] == [
        "`budget_clip` is 0",
        "`slack` is -1",
    ]


def test_a_problem_is_one_line(folder: Path) -> None:
    (folder / "calibration.json").write_text("{")
    assert "\n" not in said(checks.check_calibration(folder, None))
