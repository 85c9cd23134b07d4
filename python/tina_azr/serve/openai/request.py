"""Common parts of request bodies. Known fields are checked strictly, unknown fields are ignored, messages are text."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from tina_azr.engine.types import GenerationRequest, Message
from tina_azr.introspection.budget import EFFORT_QUANTILES
from tina_azr.serve.types import ApiError, ServedModel, bad_request

MAX_STOPS = 16
MAX_STOP_CHARS = 256
"""Most characters of one stop string."""
SEED_RANGE = 2**63


class Body(BaseModel):
    """Base of all request bodies. Known fields are checked without conversion, unknown ones are ignored, numbers are finite."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


def _reject_lone_surrogates(text: str) -> str:
    """Reject half of a surrogate pair, which JSON can escape and no tokenizer accepts."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"character {error.start} is half of a surrogate pair") from error
    return text


Text = Annotated[str, AfterValidator(_reject_lone_surrogates)]


class TextPart(Body):
    """Text part of a message."""

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
    """Limits of one request; see `ServeConfig`."""

    messages: int
    prompt_chars: int
    choices: int
    allow_visible: bool
    """Whether requests may ask for the text of the reasoning."""


def text_of(content: Content | None) -> str:
    """Return the text of a message."""
    if content is None:
        return ""
    return content if isinstance(content, str) else "".join(part.text for part in content)


def message(role: Role, content: Content | None) -> Message:
    """Return one message in the engine's form."""
    return Message(role="system" if role == "developer" else role, content=text_of(content))


def conversation(messages: Sequence[Message], limits: RequestLimits, param: str) -> tuple[Message, ...]:
    """Check the messages of a conversation and return them.

    Raises ApiError for too many messages or characters, without a user message, or if the last message is the assistant's.
    """
    if len(messages) > limits.messages:
        raise bad_request(f"there are {len(messages)} messages; at most {limits.messages} are allowed", param)
    characters = sum(len(one.content) for one in messages)
    if characters > limits.prompt_chars:
        raise bad_request(
            f"the messages have {characters} characters; at most {limits.prompt_chars} are allowed",
            param,
            code="context_length_exceeded",
        )
    if not any(one.role == "user" for one in messages):
        raise bad_request("there is no message with the role `user`: add one", param)
    if messages[-1].role == "assistant":
        raise bad_request(
            "the last message is the assistant's: continuing an answer is not supported, end with a user message", param
        )
    return tuple(messages)


def check_model(name: str | None, model: ServedModel) -> None:
    """Raise ApiError for the name of a model that is not served. None means the served one."""
    if name is not None and name != model.name:
        raise ApiError(
            404, f"there is no model of that name on this server; it serves `{model.name}`", param="model", code="model_not_found"
        )


def stop_strings(value: str | list[str] | None) -> tuple[str, ...]:
    """Return the stop strings. Raises ApiError for too many, empty or too long ones."""
    found = () if value is None else (value,) if isinstance(value, str) else tuple(value)
    if len(found) > MAX_STOPS or not all(0 < len(stop) <= MAX_STOP_CHARS for stop in found):
        raise bad_request(f"stop accepts at most {MAX_STOPS} strings of 1 to {MAX_STOP_CHARS} characters", "stop")
    return found


def seed_of(value: int | None) -> int:
    """Return the given seed, or a random one, so that a repeated request gives a different answer."""
    return secrets.randbelow(SEED_RANGE) if value is None else value % SEED_RANGE


def reject_unsupported(fields: dict[str, bool]) -> None:
    """Raise ApiError for the first field that asks for an unsupported feature, instead of ignoring it."""
    for param, base_request in fields.items():
        if base_request:
            raise bad_request(f"{param} is not supported by this server: leave it out", param, code="unsupported_parameter")


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
Value = TypeVar("Value")
Budget = Annotated[int, Field(ge=0, le=2**31 - 1)]

QUANTILES: dict[str, float] = {**EFFORT_QUANTILES, "xhigh": EFFORT_QUANTILES["high"], "max": EFFORT_QUANTILES["high"]}
"""Quantile of the forecast for each effort. Efforts that are not listed mean a budget of 0."""


class ReasoningOptions(Body):
    """Field `reasoning` of OpenRouter and the Responses API, extended by `visible`."""

    effort: Effort | None = None
    """Which quantile of the forecast is the budget."""
    max_tokens: Budget | None = None
    """Think tokens to aim at."""
    enabled: bool | None = None
    """False: a budget of 0."""
    exclude: bool | None = None
    """True: no reasoning text in the response, whatever the other fields say."""
    visible: bool | None = None
    """True: return the text of the reasoning, if the server allows it."""


class ThinkingOptions(Body):
    """Field `thinking` of Anthropic's and DeepSeek's clients."""

    type: Literal["enabled", "disabled", "adaptive"] | None = None
    budget_tokens: Budget | None = None
    """Think tokens to aim at."""


class TemplateOptions(Body):
    """Template arguments that are accepted; any other is refused."""

    model_config = ConfigDict(extra="forbid")

    enable_thinking: bool | None = None
    """False: a budget of 0."""
    thinking_budget: Budget | None = None
    """Think tokens to aim at."""
    reasoning_effort: Effort | None = None
    """Which quantile of the forecast is the budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningRequest:
    """Reasoning options of a request: budget and visibility."""

    budget_tokens: int | None
    budget_quantile: float | None
    visible: bool


class BudgetFields(Body):
    """Fields for the think budget, under the names of several servers."""

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
    """True: return the text of the reasoning, if the server allows it."""
    chat_template_kwargs: TemplateOptions | None = None

    def reasoning_request(self) -> ReasoningRequest:
        """Return the budget, and whether the text is requested. Raises ApiError if two fields contradict each other."""
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
        budget = _single_value(numbers)
        effort = _single_value(efforts)
        if budget is None and effort is not None and effort not in QUANTILES:
            budget = 0
        return ReasoningRequest(
            budget_tokens=budget,
            budget_quantile=QUANTILES[effort] if budget is None and effort is not None else None,
            visible=bool(reasoning.visible or self.include_reasoning) and not reasoning.exclude,
        )


def _single_value(fields: dict[str, Value | None]) -> Value | None:
    """Return the value that all given fields agree on. Raises ApiError if they differ."""
    given = {name: value for name, value in fields.items() if value is not None}
    if len(set(given.values())) > 1:
        names = list(given)
        raise bad_request(f"{' and '.join(names)} contradict each other about the reasoning: give one of them", names[-1])
    return next(iter(given.values()), None)


class TextFormat(Body):
    """Field `response_format` or `text.format`; only text is supported."""

    type: Literal["text", "json_object", "json_schema"]


class RequestFields(BudgetFields):
    """Base of the bodies that ask for a completion."""

    model: Text | None = None
    """Name of the model; default: the one that is served."""
    stream: bool | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    seed: Seed | None = None
    """Default: a random one for each request."""
    tools: list[Any] | None = None
    tool_choice: Any = None

    def wants_tools(self) -> bool:
        """Return whether the request allows tool calls."""
        return bool(self.tools) and self.tool_choice != "none"

    def base_request(
        self, turns: Sequence[Message], param: str, max_tokens: int | None, model: ServedModel, limits: RequestLimits
    ) -> GenerationRequest:
        """Build the engine's request from these fields. `param` names the field of the messages in errors. Raises ApiError."""
        reasoning = self.reasoning_request()
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
