"""YAML reader and writer: one mapping, no duplicate keys, `1e-6` is a number, and the line of each value is kept for messages."""

import re
import sys
from dataclasses import dataclass, field
from typing import Any

import yaml

from tina_azr.errors import ConfigError

Path = tuple[str | int, ...]
"""Keys from the root to a value; list positions as numbers."""


class _Loader(yaml.SafeLoader):
    """PyYAML follows YAML 1.1, where `1e-6` is a string. Here it is a float, as in YAML 1.2 and in Python."""


class _Dumper(yaml.SafeDumper):
    """Its counterpart: a *string* that looks like such a number is written in quotes."""


for _side in (_Loader, _Dumper):
    _side.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d[\d_]*)(\.[\d_]*)?[eE][-+]?\d+$"), list("-+0123456789")
    )


def write_yaml(value: Any, *, inline: bool = False) -> str:
    """Return YAML that this module reads back to an equal value. `inline`: on one line, without a line end."""
    if not inline:
        return yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120)
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=sys.maxsize)
    return text.removesuffix("\n").removesuffix("\n...")


@dataclass(slots=True)
class Document:
    """Values of one source, and the place where each was written."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[Path, str] = field(default_factory=dict)
    """For a person: `configs/a.yaml line 12`, or the flag."""


def parse_document(text: str, source: str) -> Document:
    """Read one YAML mapping. `source` is named in errors."""
    document = Document()
    try:
        loader = _Loader(text)
        root = loader.get_single_node()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{source} line {mark.line + 1}" if mark is not None else source
        raise ConfigError(f"{where}: not YAML: {getattr(error, 'problem', None) or error}.") from error
    if root is None:
        return document
    if not isinstance(root, yaml.MappingNode):
        raise ConfigError(f"{source}: a configuration is a mapping of sections (`run:`, `model:`, ...), this is a {_kind(root)}.")
    document.values = _mapping(loader, root, source, (), document.origins)
    return document


def parse_scalar(text: str, source: str) -> Any:
    """Return the value of a `--set` flag: a YAML scalar, or a list in brackets."""
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{source}: the value is not YAML: {getattr(error, 'problem', None) or error}. Put it in quotes."
        ) from error


def _mapping(loader: _Loader, node: yaml.MappingNode, source: str, path: Path, origins: dict[Path, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key_node, value_node in node.value:
        where = f"{source} line {key_node.start_mark.line + 1}"
        key = loader.construct_object(key_node, deep=True) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            raise ConfigError(f"{where}: keys are plain words, this one is not.")
        if key in values:
            raise ConfigError(f"{where}: `{'.'.join(map(str, (*path, key)))}` is given twice; keep one.")
        origins[*path, key] = where
        values[key] = _value(loader, value_node, source, (*path, key), origins)
    return values


def _value(loader: _Loader, node: yaml.Node, source: str, path: Path, origins: dict[Path, str]) -> Any:
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node, source, path, origins)
    try:
        return loader.construct_object(node, deep=True)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{origins[path]}: `{'.'.join(map(str, path))}` has a value that cannot be read: {error}.") from error


def _kind(node: yaml.Node) -> str:
    return "list" if isinstance(node, yaml.SequenceNode) else "single value"
