"""A conversation as a file: what `/save` writes and `/load` reads."""

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from tina_azr.engine.types import Message
from tina_azr.errors import ConfigError

MAX_BYTES = 64 << 20
"""A larger file is no conversation."""


class SavedChat(BaseModel):
    """A conversation. Thoughts are not in it."""

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
            raise ValueError("messages have to be of user and assistant in turn")
        return self


def save_chat(path: Path, chat: SavedChat) -> None:
    """Write beside, then rename. Raises ConfigError for a path that cannot be written, or that holds what `chat` does not."""
    if path.exists():
        try:
            held = load_chat(path).messages
        except ConfigError as error:
            raise ConfigError(f"{path} is there and is no saved conversation: choose another name") from error
        if tuple(held) != tuple(chat.messages[: len(held)]):
            raise ConfigError(f"{path} holds another conversation, which would be lost: choose another name")
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(chat.model_dump_json(indent=2) + "\n", encoding="utf-8")
        beside.replace(path)
    except (OSError, ValueError) as error:
        with suppress(OSError, ValueError):
            beside.unlink()
        raise ConfigError(f"{path} cannot be written: {getattr(error, 'strerror', None) or error}") from error


def load_chat(path: Path) -> SavedChat:
    """Read what `save_chat` wrote. Raises ConfigError naming what is wrong with the file."""
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
        raise ConfigError(f"{path} is no saved conversation: {where + ': ' if where else ''}{first['msg']}") from error
