"""File of a saved conversation, which `/save` writes and `/load` reads."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tina_azr.engine.types import Message
from tina_azr.errors import ConfigError

MAX_BYTES = 64 << 20
"""Largest file that `/load` reads."""


class SavedChat(BaseModel):
    """Saved conversation, without reasoning."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["tina-azr chat 1"] = "tina-azr chat 1"
    model: str
    system: str | None
    visible: bool
    budget: str
    messages: Sequence[Message]

    @model_validator(mode="after")
    def _speakers_take_turns(self) -> Self:
        roles = [message.role for message in self.messages]
        if len(roles) % 2 or roles != ["user", "assistant"] * (len(roles) // 2):
            raise ValueError("messages must alternate between user and assistant")
        return self


def save_chat(path: Path, chat: SavedChat) -> None:
    """Write a conversation to a temporary file, then rename it.

    Raises ConfigError for a path that cannot be written, and for an existing file that is not an earlier state of `chat`.
    """
    if path.exists():
        try:
            held = load_chat(path).messages
        except ConfigError as error:
            raise ConfigError(f"{path} exists and is not a saved conversation: choose another name") from error
        if tuple(held) != tuple(chat.messages[: len(held)]):
            raise ConfigError(f"{path} holds another conversation, which would be overwritten: choose another name")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(chat.model_dump_json(indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):
            temporary.unlink()
        raise ConfigError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error


def load_chat(path: Path) -> SavedChat:
    """Read a file that `save_chat` wrote. Raises ConfigError that names the file's fault."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path} is larger than any saved conversation")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} cannot be read: it is not UTF-8 text") from error
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error
    try:
        return SavedChat.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"{path} is not a saved conversation: {where + ': ' if where else ''}{first['msg']}") from error
