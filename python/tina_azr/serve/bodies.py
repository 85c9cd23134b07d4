"""What request bodies have in common: strict where a field is known, deaf where it is not, and messages made of text alone."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tina_azr.engine.types import Message
from tina_azr.serve.types import ApiError, ServedModel, refused

MOST_STOPS = 16
LONGEST_STOP = 256
"""Characters."""
SEED_RANGE = 2**63


class Body(BaseModel):
    """Base of every request body: known fields are checked without conversion, unknown ones are ignored, numbers are finite."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


def _whole(text: str) -> str:
    """JSON can escape half of a character, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"character {error.start} is half of a surrogate pair") from error
    return text


Text = Annotated[str, AfterValidator(_whole)]


class TextPart(Body):
    """A piece of a message that is text."""

    type: Literal["text", "input_text", "output_text"]
    text: Text


Content = Text | list[TextPart]
Role = Literal["system", "developer", "user", "assistant"]
Temperature = Annotated[float, Field(ge=0, le=2)]
Share = Annotated[float, Field(gt=0, le=1)]
Tokens = Annotated[int, Field(ge=1, le=2**31 - 1)]
Seed = Annotated[int, Field(ge=-SEED_RANGE, lt=SEED_RANGE)]


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLimits:
    """What one request may ask for; see `ServeConfig`."""

    messages: int
    prompt_chars: int
    choices: int
    allow_visible: bool
    """Thoughts may be shown to those who ask."""


def text_of(content: Content | None) -> str:
    """A message's text."""
    if content is None:
        return ""
    return content if isinstance(content, str) else "".join(part.text for part in content)


def message(role: Role, content: Content | None) -> Message:
    """One turn as the engine takes it."""
    return Message(role="system" if role == "developer" else role, content=text_of(content))


def conversation(messages: Sequence[Message], limits: RequestLimits, param: str) -> tuple[Message, ...]:
    """The turns, if there are some, and not too many, and something is asked."""
    if len(messages) > limits.messages:
        raise refused(f"there are {len(messages)} messages, at most {limits.messages} are taken", param)
    characters = sum(len(one.content) for one in messages)
    if characters > limits.prompt_chars:
        raise refused(
            f"the messages have {characters} characters, at most {limits.prompt_chars} are taken",
            param,
            code="context_length_exceeded",
        )
    if not any(one.role == "user" for one in messages):
        raise refused("there is no message of the role `user`, so nothing is asked", param)
    if messages[-1].role == "assistant":
        raise refused(
            "the last message is the assistant's: to go on with an answer is not supported, end with a user's message", param
        )
    return tuple(messages)


def check_model(name: str | None, model: ServedModel) -> None:
    """Raise for a model that is not the one served. None is the one served."""
    if name is not None and name != model.name:
        raise ApiError(
            404, f"there is no model of that name here; this server has `{model.name}`", param="model", code="model_not_found"
        )


def stops(value: str | list[str] | None) -> tuple[str, ...]:
    """Stop strings, few and short and not empty."""
    found = () if value is None else (value,) if isinstance(value, str) else tuple(value)
    if len(found) > MOST_STOPS or not all(0 < len(stop) <= LONGEST_STOP for stop in found):
        raise refused(f"stop takes at most {MOST_STOPS} strings of 1 to {LONGEST_STOP} characters", "stop")
    return found


def seed_of(value: int | None) -> int:
    """The seed, or one that nobody knows, so that asking again gives another answer."""
    return secrets.randbelow(SEED_RANGE) if value is None else value % SEED_RANGE


def unsupported(fields: dict[str, bool]) -> None:
    """Raise for the first field that asks for what this server does not do, rather than answer without it."""
    for param, asked in fields.items():
        if asked:
            raise refused(f"{param} is not supported by this server: leave it out", param, code="unsupported_parameter")
