"""Checks of a model folder for mistakes that would otherwise stay silent.

They read only config.json, the tokenizer, the chat template and JSON files. No weights are read and torch is not imported. Each check
takes plain values and returns all problems, not only the first.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tina_azr.errors import ConfigError, ModelError
from tina_azr.introspection.budget import BudgetSettings
from tina_azr.introspection.calibration import CALIBRATION, Calibration, tokenizer_digest
from tina_azr.text.chat import THINK_CLOSE, THINK_OPEN, TURN_END, ChatTokenizer

_ANSWER, _SECRET = "Zq7answer", "Zq7secret"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One problem: where it is, what is wrong, and what to do."""

    where: str
    """File or key."""
    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}. {self.advice}."


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckpointShape:
    """Part of a model's config.json that the checks need."""

    layers: int
    hidden_size: int
    positions: int
    vocabulary: int


def read_shape(folder: Path) -> CheckpointShape | list[Problem]:
    """Read the shape of the model in a folder, or return the problems of its config.json."""
    path = folder / "config.json"
    document = _object(path)
    if isinstance(document, Problem):
        return [document]
    if document.get("model_type") != "qwen3":
        kind = document.get("model_type")
        return [Problem(where=str(path), what=f"the model is of type {kind!r}", advice="Only the Qwen3 architecture is supported")]
    keys = ("num_hidden_layers", "hidden_size", "max_position_embeddings", "vocab_size")
    wrong = [key for key in keys if type(document.get(key)) is not int or document[key] < 1]
    if wrong:
        return [
            Problem(
                where=str(path),
                what=f"`{key}` is {document.get(key)!r}, but must be a positive integer",
                advice="Copy the file again",
            )
            for key in wrong
        ]
    layers, hidden_size, positions, vocabulary = (document[key] for key in keys)
    return CheckpointShape(layers=layers, hidden_size=hidden_size, positions=positions, vocabulary=vocabulary)


def check_tokenizer(folder: Path, vocabulary: int) -> list[Problem]:
    """Check the tokenizer and its chat template.

    Each think tag must be one id of the model. The stop ids must contain the template's end of turn. The template must open the
    reasoning and must strip the reasoning of earlier turns.
    """
    try:
        tokenizer = ChatTokenizer.from_folder(folder)
    except ModelError as error:
        return [Problem(where=str(folder), what=str(error), advice="Use the tokenizer files that came with a Qwen3-Thinking model")]
    problems = []
    path = folder / "tokenizer.json"
    for tag, index in ((THINK_OPEN, tokenizer.think_open_id), (THINK_CLOSE, tokenizer.think_close_id)):
        if tokenizer.decode([index]) != tag:
            what = f"{tag} becomes the single id {index}, which is {tokenizer.decode([index])!r}"
            problems.append(Problem(where=str(path), what=what, advice="Use a tokenizer that knows the tag"))
    if tokenizer.vocabulary_size > vocabulary:
        what = f"the tokenizer has {tokenizer.vocabulary_size} tokens, the model {vocabulary}"
        problems.append(Problem(where=str(path), what=what, advice="Use the tokenizer that came with the model"))
    return problems + _check_stop_ids(folder, tokenizer, vocabulary) + _check_template(folder, tokenizer)


def check_taps(taps: Sequence[int] | None, layers: int, where: str) -> list[Problem]:
    """Check that the tapped layers exist, rise, and have no duplicates. None is the default, which always fits."""
    if taps is None or (taps and list(taps) == sorted(set(taps)) and taps[0] >= 0 and taps[-1] < layers):
        return []
    what = f"{list(taps)} does not fit a model of {layers} decoder layers"
    return [Problem(where=where, what=what, advice=f"Give rising layer numbers from 0 to {layers - 1}, or null for the default")]


def check_budget(*, slack: float, min_think_tokens: int, max_think_tokens: int, positions: int, where: str) -> list[Problem]:
    """Check that slack and budgets are within bounds, and that the smallest budget fits the model."""
    try:
        BudgetSettings(slack=slack, min_think_tokens=min_think_tokens, max_think_tokens=max_think_tokens)
    except ConfigError as error:
        return [Problem(where=where, what=str(error).rstrip("."), advice="Set it within these bounds")]
    if min_think_tokens > positions // 5:
        what = f"min_think_tokens {min_think_tokens} is more than a fifth of the model's {positions} positions"
        return [Problem(where=where, what=what, advice=f"Set it to at most {positions // 5}, so that prompt and answer fit")]
    return []


def check_context_length(*, prompt_tokens: int, completion_tokens: int, positions: int, where: str) -> list[Problem]:
    """Check that the longest prompt and the longest completion fit the model's positions together."""
    if prompt_tokens + completion_tokens <= positions:
        return []
    what = f"prompts of {prompt_tokens} and completions of {completion_tokens} tokens do not fit the model's {positions} positions"
    return [Problem(where=where, what=what, advice="Lower one of them")]


def check_tags(names: Sequence[str], where: str) -> list[Problem]:
    """Check the names of additional tag pairs: valid, without duplicates, and not the think tag."""
    problems = []
    for name in dict.fromkeys(names):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
            what = f"`{name}` cannot name a tag"
            problems.append(Problem(where=where, what=what, advice="Give the bare name, as in `plan` for <plan> and </plan>"))
        elif name == THINK_OPEN[1:-1]:
            problems.append(Problem(where=where, what="think tokens are always counted", advice=f"Leave `{name}` out"))
        if list(names).count(name) > 1:
            problems.append(Problem(where=where, what=f"`{name}` is named twice", advice="Name it once"))
    return problems


def check_heads(folder: Path, shape: CheckpointShape) -> list[Problem]:
    """Check that the heads in a model's folder fit its layers and its hidden size."""
    path = folder / "heads.json"
    if not path.is_file():
        return []
    document = _object(path)
    if isinstance(document, Problem):
        return [document]
    facts = document.get("shape")
    taps, hidden_size = (facts.get("taps"), facts.get("hidden_size")) if isinstance(facts, dict) else (None, None)
    refit = "Remove heads.json and heads.safetensors, or fit the heads again"
    if not isinstance(taps, list) or not all(type(tap) is int for tap in taps):
        return [Problem(where=str(path), what="`shape.taps` is not a list of layer numbers", advice=refit)]
    problems = [Problem(where=str(path), what=p.what, advice=refit) for p in check_taps(taps, shape.layers, str(path))]
    if hidden_size != shape.hidden_size:
        what = f"the heads read {hidden_size} features, the model has {shape.hidden_size}"
        problems.append(Problem(where=str(path), what=what, advice=refit))
    return problems


def check_calibration(folder: Path, calibration: Path | None) -> list[Problem]:
    """Check that the calibration can be read and belongs to the heads and tokenizer of the folder.

    `calibration` None means the file in the model's folder, if there is one.
    """
    path = calibration or folder / CALIBRATION
    if calibration is None and not path.is_file():
        return []
    try:
        fitted = Calibration.load(path)
    except ConfigError as error:
        advice = "Fit it again with `tina-azr calibrate`, or leave introspection.calibration null"
        lines = [line.removeprefix(f"{path}: ").rstrip(".") for line in str(error).splitlines()]
        return [Problem(where=str(path), what=line, advice=advice) for line in lines]
    heads = _object(folder / "heads.json") if (folder / "heads.json").is_file() else {}
    known = heads if isinstance(heads, dict) else {}
    sentences = fitted.mismatches(
        policy_digest=str(known.get("policy_digest", "")),
        heads_digest=str(known.get("heads_digest", "")),
        tokenizer_digest=tokenizer_digest(folder) if (folder / "tokenizer.json").is_file() else "",
    )
    problems = []
    for sentence in sentences:
        what, _, advice = sentence.rstrip(".").rpartition(". ")
        problems.append(Problem(where=str(path), what=what, advice=advice))
    if fitted.heads_digest and not known:
        what = f"it was fitted to heads {fitted.heads_digest}, but there are none in {folder}"
        problems.append(Problem(where=str(path), what=what, advice="Give the folder of the model that has these heads"))
    return problems


def _check_stop_ids(folder: Path, tokenizer: ChatTokenizer, vocabulary: int) -> list[Problem]:
    problems = []
    end_of_turn = tokenizer.encode(TURN_END)[0]
    found: dict[str, list[int]] = {}
    for name in ("generation_config.json", "config.json"):
        document = _object(folder / name) if (folder / name).is_file() else {}
        if isinstance(document, Problem):
            problems.append(document)
            continue
        listed = document.get("eos_token_id")
        ids = listed if isinstance(listed, list) else [] if listed is None else [listed]
        where = str(folder / name)
        for index in ids:
            if type(index) is not int or not 0 <= index < vocabulary:
                what = f"the stop id {index!r} is not one of the model's {vocabulary} tokens"
                problems.append(Problem(where=where, what=what, advice="Set eos_token_id to ids of the tokenizer"))
            elif index in (tokenizer.think_open_id, tokenizer.think_close_id):
                what = f"the stop id {index} is {tokenizer.decode([index])}: every completion would end before its answer"
                problems.append(Problem(where=where, what=what, advice="Take it out of eos_token_id"))
        found[name] = ids
    if any(found.values()) and not any(end_of_turn in ids for ids in found.values()):
        what = f"no stop id is {TURN_END} ({end_of_turn}), with which the template ends a turn"
        problems.append(Problem(where=str(folder), what=what, advice="Add it to eos_token_id in generation_config.json"))
    return problems


def _check_template(folder: Path, tokenizer: ChatTokenizer) -> list[Problem]:
    where = f"chat template of {folder}"
    reasoning = f"{THINK_OPEN}\n{_SECRET}\n{THINK_CLOSE}\n\n{_ANSWER}"
    try:
        ids = list(tokenizer.render_chat([("user", "a"), ("assistant", reasoning), ("user", "b")]))
    except ModelError as error:
        return [Problem(where=where, what=str(error), advice="Use the template that came with a Qwen3-Thinking model")]
    problems = []
    text = tokenizer.decode(ids)
    if _SECRET in text or tokenizer.think_close_id in ids:
        what = "reasoning of earlier turns stays in the prompt"
        problems.append(Problem(where=where, what=what, advice=f"Let the template keep only the text after the last {THINK_CLOSE}"))
    after = tokenizer.encode(text.rpartition(_ANSWER)[2])
    if _ANSWER not in text:
        what = "the answer of an earlier turn is missing from the prompt"
        problems.append(Problem(where=where, what=what, advice="Use the template that came with a Qwen3-Thinking model"))
    elif not after or after[0] not in tokenizer.stop_ids:
        what = f"a turn ends with {tokenizer.decode(after[:1])!r}, which is not a stop id: answers would not end"
        problems.append(Problem(where=where, what=what, advice=f"Let it end turns with {TURN_END}, or add that id to eos_token_id"))
    return problems


def _object(path: Path) -> dict[str, Any] | Problem:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Problem(where=str(path), what="there is no such file", advice="Give a folder with a model and its fast tokenizer")
    except (OSError, ValueError) as error:
        return Problem(where=str(path), what=f"it cannot be read as JSON: {error}", advice="Copy the file again")
    return (
        value
        if isinstance(value, dict)
        else Problem(where=str(path), what="it does not hold a JSON object", advice="Copy the file again")
    )
