"""Loading of a `Config` from preset, file and flags. Errors name the key, its source, and the values that are allowed."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from tina_azr.config.presets import read_preset
from tina_azr.config.renamed import advice, is_old, upgrade
from tina_azr.config.sections import Config
from tina_azr.config.yaml import Document, Path, parse_document, parse_scalar, write_yaml
from tina_azr.errors import ConfigError

Thing = TypeVar("Thing")

NO_SUPERVISED = (
    "there is no supervised training here: the model learns only from tasks that it invents and the sandbox grades, "
    "so there are no datasets or labels to train on. Use `mode: self_play`, or leave the key out"
)


@dataclass(frozen=True, slots=True)
class Flag:
    """Setting that has a flag of its own, such as `--steps` for `run.steps`. Errors name the flag."""

    name: str
    key: str
    value: object


def load_config(
    path: FilePath | str | None = None, overrides: Sequence[str | Flag] = (), *, preset: str | None = None, translate: bool = False
) -> Config:
    """Resolve a configuration: defaults, then the preset, then the file, then each `section.key=value` or flag of `overrides` in order.

    `translate`: the file is the resolved configuration of a run, perhaps of an earlier release. Raises ConfigError listing every problem.
    """
    document = parse_document(read_preset(preset), f"preset {preset}") if preset is not None else Document()
    if path is not None:
        _merge(document, _read(FilePath(path)))
    if translate and is_old(document.values):
        try:
            document.values = upgrade(document.values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}.") from error
    for override in overrides:
        _override(document, override)
    # A section whose every line is commented out reads as null; it means the defaults.
    values = {key: {} if value is None and _is_section(key) else value for key, value in document.values.items()}
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        problems = [_problem(details, document.origins) for details in error.errors(include_url=False)]
        raise ConfigError("\n".join(problems)) from error


def read_values(path: FilePath) -> dict[str, Any]:
    """Return the values of a configuration file as they are written there. Raises ConfigError for a file that cannot be read."""
    return _read(path).values


def dump_config(config: Config) -> str:
    """Return the resolved configuration as YAML. `load_config` reads it back to an equal `Config`."""
    return write_yaml(config.model_dump(mode="json"))


def config_schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration file, with descriptions, units and bounds, generated from the models."""
    schema = Config.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def choose(table: Mapping[str, Thing], name: str, field: str) -> Thing:
    """Return the entry of a configured name. Raises ConfigError, which names `field`, for an unknown one."""
    if name not in table:
        raise ConfigError(f"{field}: there is no `{name}`{_nearest(name, table)}. Known: {', '.join(table)}.")
    return table[name]


def _read(path: FilePath) -> Document:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"{path}: there is no such file. `tina-azr config show` prints the defaults to start one from."
        ) from error
    except IsADirectoryError as error:
        raise ConfigError(f"{path}: this is a folder; name a YAML file in it.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text (byte {error.start}); is it a YAML file?") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from error
    return parse_document(text, str(path))


def _merge(document: Document, later: Document) -> None:
    """Put the values of a later source over those of `document`, section by section."""
    for key, value in later.values.items():
        known = document.values.get(key)
        document.values[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    document.origins.update(later.origins)


def _override(document: Document, override: str | Flag) -> None:
    if isinstance(override, Flag):
        _put(document, tuple(override.key.split(".")), override.value, override.name)
        return
    source = f"--set {override}"
    dotted, equals, text = override.partition("=")
    keys = tuple(dotted.strip().split("."))
    if not equals or not all(keys):
        raise ConfigError(f"{source}: write it as --set section.key=value, for example --set run.steps=20.")
    _put(document, keys, parse_scalar(text, source), source)


def _put(document: Document, keys: tuple[str, ...], value: object, source: str) -> None:
    values = document.values
    for depth, key in enumerate(keys[:-1], start=1):
        inner = values.get(key)
        if inner is None:
            inner = values[key] = {}
        elif not isinstance(inner, dict):
            raise ConfigError(f"{source}: `{'.'.join(keys[:depth])}` is a value, not a section.")
        document.origins.setdefault(keys[:depth], source)
        values = inner
    values[keys[-1]] = value
    document.origins[keys] = source


def _problem(details: ErrorDetails, origins: Mapping[Path, str]) -> str:
    path = details["loc"]
    origin = next((origins[path[:end]] for end in range(len(path), 0, -1) if path[:end] in origins), "configuration")
    dotted = ".".join(map(str, path))
    return f"{origin}: {_sentence(details, path, dotted)}."


def _sentence(details: ErrorDetails, path: Path, dotted: str) -> str:
    value = details["input"]
    if details["type"] == "extra_forbidden":
        if became := advice(dotted):
            return f"`{dotted}` {became}"
        known = _known_keys(path[:-1])
        where = f"section `{'.'.join(map(str, path[:-1]))}`" if len(path) > 1 else "the top level"
        return f"unknown key `{dotted}`{_nearest(str(path[-1]), known)}. Keys of {where}: {', '.join(known)}"
    if path == ("selfplay", "length_cap") and isinstance(value, bool):
        return f"`{dotted}` is now the pass rate from which a length counts as solved (true was 0.3), or null for no cap"
    if path == ("mode",):
        return f"`mode: {value}`: {NO_SUPERVISED}" if value == "supervised" else f"`mode: {value}`: the only mode is `self_play`"
    if details["type"] == "value_error":
        return f"`{dotted}`: {details['ctx']['error']}"
    if details["type"] in ("model_type", "model_attributes_type"):
        return f"`{dotted}` is a section with keys of its own ({', '.join(_known_keys(path))}), not {value!r}"
    wanted = details["msg"].removeprefix("Input should be ").replace("a valid tuple", "a list, such as [deduction, abduction]")
    unit = _unit(path)
    return f"`{dotted}` is {value!r}, but must be {wanted}" + (
        f" (unit: {unit})" if unit not in (None, "name", "names", "number") else ""
    )


def _is_section(key: str) -> bool:
    return bool(_known_keys((key,)))


def _known_keys(path: Path) -> list[str]:
    model: Any = Config
    for key in path:
        field = model.model_fields.get(str(key)) if isinstance(model, type) and issubclass(model, BaseModel) else None
        model = field.annotation if field is not None else None
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _unit(path: Path) -> str | None:
    section: Any = Config.model_fields[str(path[0])].annotation if len(path) > 1 else Config
    field = section.model_fields.get(str(path[1 if len(path) > 1 else 0])) if hasattr(section, "model_fields") else None
    extra = field.json_schema_extra if field is not None else None
    return str(extra["unit"]) if isinstance(extra, dict) else None


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean `{near[0]}`?)" if near else ""
