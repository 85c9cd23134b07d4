"""Files of one JSON object a line, read with errors that name file and line."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from tina_azr.errors import ConfigError

Item = TypeVar("Item")


def read_jsonl(path: Path, parse: Callable[[Mapping[str, Any]], Item]) -> tuple[Item, ...]:
    """Every line's object, parsed. Raises ConfigError."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines: a JSON text may hold other separators
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text (byte {error.start}).") from error
    items = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            if not isinstance(fields, dict):
                raise ConfigError("an object `{...}` is wanted")
            items.append(parse(fields))
        except ValueError as error:  # ConfigError is one too
            raise ConfigError(f"{path}, line {number}: {error}") from error
    return tuple(items)
