"""What request bodies have in common: strict where a field is known, deaf where it is not, and messages made of text alone."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tina_azr.engine.types import GenerationRequest, Message
from tina_azr.introspection.budget import EFFORT_QUANTILES
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


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Value = TypeVar("Value")
Budget = Annotated[int, Field(ge=0, le=2**31 - 1)]

QUANTILES: dict[str, float] = {**EFFORT_QUANTILES, "xhigh": EFFORT_QUANTILES["high"], "max": EFFORT_QUANTILES["high"]}
"""Effort -> quantile of the forecast; the efforts that are missing here mean a budget of 0."""


class ReasoningOptions(Body):
    """`reasoning` as OpenRouter and the Responses API have it, with `visible`, which is ours."""

    effort: Effort | None = None
    """Which quantile of the forecast is the budget."""
    max_tokens: Budget | None = None
    """Think tokens to aim at."""
    enabled: bool | None = None
    """False: a budget of 0."""
    exclude: bool | None = None
    """True: no thought in the response, whatever else is said."""
    visible: bool | None = None
    """True: the thought's text, where the server allows it."""


class ThinkingOptions(Body):
    """`thinking` as Anthropic's and DeepSeek's clients have it."""

    type: Literal["enabled", "disabled", "adaptive"] | None = None
    budget_tokens: Budget | None = None
    """Think tokens to aim at."""


class TemplateOptions(Body):
    """The only template arguments that are taken; any other is refused."""

    model_config = ConfigDict(extra="forbid")

    enable_thinking: bool | None = None
    """False: a budget of 0."""
    thinking_budget: Budget | None = None
    """Think tokens to aim at."""
    reasoning_effort: Effort | None = None
    """Which quantile of the forecast is the budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """What a request says about its thought."""

    budget_tokens: int | None
    budget_quantile: float | None
    visible: bool


class BudgetFields(Body):
    """Mixed into request bodies."""

    thinking_token_budget: Budget | None = None
    """Think tokens to aim at (vLLM's name)."""
    thinking_budget: Budget | None = None
    """Think tokens to aim at (Qwen's and SGLang's name)."""
    thinking_budget_tokens: Budget | None = None
    """Think tokens to aim at (llama.cpp's name)."""
    thinking: ThinkingOptions | None = None
    reasoning: ReasoningOptions | None = None
    reasoning_effort: Effort | None = None
    """Which quantile of the forecast is the budget: low .5, medium .8, high .95; none and minimal: a budget of 0."""
    include_reasoning: bool | None = None
    """True: the thought's text, where the server allows it."""
    chat_template_kwargs: TemplateOptions | None = None

    def thinking_request(self) -> Thinking:
        """The budget and whether the text is asked for. Raises ApiError where two fields contradict each other."""
        thinking = self.thinking or ThinkingOptions()
        reasoning = self.reasoning or ReasoningOptions()
        template = self.chat_template_kwargs or TemplateOptions()
        numbers: dict[str, int | None] = {
            "thinking_token_budget": self.thinking_token_budget,
            "thinking_budget": self.thinking_budget,
            "thinking_budget_tokens": self.thinking_budget_tokens,
            "thinking.budget_tokens": thinking.budget_tokens,
            "reasoning.max_tokens": reasoning.max_tokens,
            "chat_template_kwargs.thinking_budget": template.thinking_budget,
            "thinking.type": 0 if thinking.type == "disabled" else None,
            "reasoning.enabled": 0 if reasoning.enabled is False else None,
            "chat_template_kwargs.enable_thinking": 0 if template.enable_thinking is False else None,
        }
        efforts: dict[str, str | None] = {
            "reasoning_effort": self.reasoning_effort,
            "reasoning.effort": reasoning.effort,
            "chat_template_kwargs.reasoning_effort": template.reasoning_effort,
        }
        budget = _agreed(numbers)
        effort = _agreed(efforts)
        if budget is None and effort is not None and effort not in QUANTILES:
            budget = 0
        return Thinking(
            budget_tokens=budget,
            budget_quantile=QUANTILES[effort] if budget is None and effort is not None else None,
            visible=bool(reasoning.visible or self.include_reasoning) and not reasoning.exclude,
        )


def _agreed(fields: dict[str, Value | None]) -> Value | None:
    """The one value that all fields agree on."""
    given = {name: value for name, value in fields.items() if value is not None}
    if len(set(given.values())) > 1:
        names = list(given)
        raise refused(f"{' and '.join(names)} say different things about the thought: give one of them", names[-1])
    return next(iter(given.values()), None)


class TextFormat(Body):
    """`response_format` or `text.format`; text is all that there is."""

    type: Literal["text", "json_object", "json_schema"]


class RequestFields(BudgetFields):
    """Base of a body that asks for an answer."""

    model: Text | None = None
    """The model's name; left out: the one that is served."""
    stream: bool | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    seed: Seed | None = None
    """Left out: another one each time."""
    tools: list[Any] | None = None
    tool_choice: Any = None

    def wants_tools(self) -> bool:
        """Whether tools may be called."""
        return bool(self.tools) and self.tool_choice != "none"

    def asked(
        self, turns: Sequence[Message], param: str, max_tokens: int | None, model: ServedModel, limits: RequestLimits
    ) -> GenerationRequest:
        """The engine's request as far as these fields decide it; `param` is the field of the turns. Raises ApiError."""
        reasoning = self.thinking_request()
        return GenerationRequest(
            messages=conversation(turns, limits, param),
            max_tokens=None if max_tokens is None else min(max_tokens, model.context_limit),
            temperature=self.temperature,
            top_p=self.top_p,
            seed=seed_of(self.seed),
            budget_tokens=reasoning.budget_tokens,
            budget_quantile=reasoning.budget_quantile,
            visible=reasoning.visible and limits.allow_visible,
        )
