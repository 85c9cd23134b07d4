"""Tasks as JSON objects: in held-out files, in seed files and in the buffer's columns."""

from collections.abc import Mapping
from typing import Any

from tina_azr.errors import ConfigError
from tina_azr.tasks.types import Example, HeldoutTask, Reference, Task

Json = dict[str, Any]
"""An object as `json` reads and writes it."""

_TEXTS = ("key", "mode", "program", "input", "output", "message", "structure")
_PAIRS = ("visible", "hidden")
_REQUIRED = ("mode", "program")


def task_to_json(task: Task) -> Json:
    """The fields of a task that are not empty."""
    fields: Json = {name: getattr(task, name) for name in _TEXTS}
    fields |= {name: pairs_to_json(getattr(task, name)) for name in _PAIRS}
    fields["steps"] = task.length
    return {name: value for name, value in fields.items() if value not in ("", [])}


def task_from_json(fields: Mapping[str, Any]) -> Task:
    """The task of `task_to_json`. Raises ConfigError naming the field that is missing, unknown or of another type."""
    _check_names(fields, {*_TEXTS, *_PAIRS, "steps"}, _REQUIRED)
    texts = {name: _text(fields, name) for name in _TEXTS}
    steps = fields.get("steps", 0)
    if not isinstance(steps, int) or isinstance(steps, bool):
        raise ConfigError("`steps` must be a whole number")
    visible, hidden = (pairs_from_json(fields.get(name, []), name) for name in _PAIRS)
    return Task(**texts, visible=visible, hidden=hidden, length=steps)


def heldout_to_json(held_out: HeldoutTask) -> Json:
    """A task with its stratum."""
    return {"stratum": held_out.stratum, **task_to_json(held_out.task)}


def heldout_from_json(fields: Mapping[str, Any]) -> HeldoutTask:
    """The task of `heldout_to_json`. Raises ConfigError."""
    stratum = fields.get("stratum")
    if not isinstance(stratum, int) or isinstance(stratum, bool) or stratum < 1:
        raise ConfigError("`stratum` must be a whole number from 1")
    return HeldoutTask(task=task_from_json({name: value for name, value in fields.items() if name != "stratum"}), stratum=stratum)


def reference_from_json(fields: Mapping[str, Any]) -> Reference:
    """A seed: program, input and output. Raises ConfigError."""
    names = ("program", "input", "output")
    _check_names(fields, set(names), names)
    return Reference(program=_text(fields, "program"), input=_text(fields, "input"), output=_text(fields, "output"))


def pairs_to_json(pairs: tuple[Example, ...]) -> list[list[str]]:
    """Input-output pairs as lists of two."""
    return [[pair.input, pair.output] for pair in pairs]


def pairs_from_json(pairs: Any, name: str) -> tuple[Example, ...]:
    """The pairs of `pairs_to_json`. Raises ConfigError."""
    if not isinstance(pairs, list) or any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
        raise ConfigError(f"`{name}` must be a list of [input, output] pairs")
    if any(not isinstance(text, str) for pair in pairs for text in pair):
        raise ConfigError(f"`{name}` must hold texts")
    return tuple(Example(input=given, output=result) for given, result in pairs)


def _check_names(fields: Mapping[str, Any], known: set[str], required: tuple[str, ...]) -> None:
    unknown = sorted(set(fields) - known)
    if unknown:
        raise ConfigError(f"unknown field `{unknown[0]}` (known: {', '.join(sorted(known))})")
    missing = [name for name in required if name not in fields]
    if missing:
        raise ConfigError(f"the field `{missing[0]}` is missing")


def _text(fields: Mapping[str, Any], name: str) -> str:
    value = fields.get(name, "")
    if not isinstance(value, str):
        raise ConfigError(f"`{name}` must be a text")
    return value
