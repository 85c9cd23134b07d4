"""Types of the chat engine: requests, generations and events. Axes: `_L` tapped layers.

A *forecast* is made from the prompt only, before the first reasoning token. The *budget* is the target number of think tokens. The
*think limit* is the number that the reasoning can never exceed. `Generation` holds everything that a client sees of a completion. A
stream is a sequence of `Event`s that ends with the same `Generation`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from tina_azr.introspection.types import BudgetDecision, Forecast

if TYPE_CHECKING:  # rollout imports torch, which modules that only use these types do not need
    from tina_azr.rollout.types import Completion


class ThinkStop(StrEnum):
    """Reason why the reasoning ended."""

    CLOSED = "closed"
    """The model closed it by itself, within the budget."""
    SLACK = "slack"
    """The model closed it by itself, between the budget and the think limit."""
    THINK_LIMIT = "wall"
    """The closing ids were forced at the think limit."""
    ANSWER_NOW = "answer_now"
    """The closing ids were forced because a client asked for the answer."""
    UNFINISHED = "unfinished"
    """The completion ended inside the reasoning: cancelled, out of tokens, or the model ended its turn there."""


class FinishReason(StrEnum):
    """Reason why a completion ended."""

    STOP = "stop"
    """The model ended its turn, or a stop string was found."""
    LENGTH = "length"
    """The completion reached `max_tokens`."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """Message of a conversation. The chat template strips the reasoning of earlier turns."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """Request for completions of one prompt. None means the engine's default."""

    messages: Sequence[Message] = ()
    prompt_ids: tuple[int, ...] | None = None
    """Prompt as ids, in place of `messages`. They end inside the opened reasoning."""
    n: int = 1
    """Number of completions. They share the prompt's prefill and its forecast."""
    max_tokens: int | None = None
    """Most tokens of reasoning, forced ids and answer together."""
    temperature: float | None = None
    """0 is greedy."""
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int = 0
    stop: tuple[str, ...] = ()
    """Strings that end the answer and are not part of it. They never match inside the reasoning."""
    budget_tokens: int | None = None
    """Budget in think tokens, in place of the forecast."""
    budget_quantile: float | None = None
    """Quantile of the forecast that becomes the budget: .5, .8 or .95."""
    visible: bool = False
    """Whether to return the text of the reasoning. This also needs `EngineSettings.allow_visible`."""
    logprobs: bool = False
    """Keep the answer's log-probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A finished completion."""

    index: int
    """Index among the request's `n` completions."""
    answer: str
    """Text after the reasoning, up to the stop; empty if the reasoning was never closed."""
    reasoning: str | None
    """Text of the reasoning; None if it is hidden."""
    completion: "Completion"
    """Token ids. They contain the reasoning, so clients must not get them."""
    forecast: Forecast | None
    """None without heads."""
    decision: BudgetDecision
    confidence_after: float | None
    """Probability that this answer is correct, read at `</think>`; None without heads or if the reasoning was never closed."""
    think_tokens: int
    """Sampled ids before `</think>`; forced closing ids do not count."""
    think_stop: ThinkStop
    forced_close: bool
    finish_reason: FinishReason
    prompt_tokens: int
    answer_tokens: int
    leak: bool
    """The answer holds a think tag's id, which must never happen."""
    calibration_digest: str | None
    abstain: bool
    """Confidence is below `EngineSettings.abstain_below`."""
    tag_tokens: Mapping[str, int] = field(default_factory=dict)
    """Tokens between each of `EngineSettings.tags`."""
    answer_logprobs: tuple[tuple[int, str, float], ...] | None = None
    """(id, text, log-probability) of each answer token, if requested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """Event: the prompt was prefilled. It is the first event of a request."""

    prompt_tokens: int
    forecast: Forecast | None
    decision: BudgetDecision


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """Event: more reasoning."""

    index: int
    think_tokens: int
    """Think tokens so far."""
    text: str | None
    """New text; None if it is hidden. It may be empty while a character is incomplete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningEnded:
    """Event: the model read `</think>`, and the answer follows."""

    index: int
    think_tokens: int
    think_stop: ThinkStop
    forced_close: bool
    confidence_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """Event: more of the answer."""

    index: int
    text: str
    """Whole characters, never a part of a stop string; may be empty."""
    tokens: int
    """Answer tokens so far."""
    logprobs: tuple[tuple[int, str, float], ...] = ()
    """Log-probabilities of the tokens since the last event, if requested."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """Event: one completion is finished. A request with `n` completions gets `n` of these events."""

    generation: Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Event: the request failed (it does not fit, or the model failed). It is the last event."""

    message: str


Event: TypeAlias = Started | Thinking | ReasoningEnded | Answering | Finished | Failed
EventListener: TypeAlias = Callable[[Event], None]
Ticket: TypeAlias = int


class ChatEngine(Protocol):
    """Interface of the engine for a server. One thread owns it and calls all methods except `prepare`. A step takes milliseconds."""

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        """Tokenize a request: return it with ids in place of messages. Any thread may call this at any time.

        Raises ServeError for messages that the template refuses.
        """
        ...

    def submit(self, request: GenerationRequest, listener: EventListener) -> Ticket:
        """Queue a request. Later calls of `step` call `listener`. Raises ServeError for an invalid request."""
        ...

    def cancel(self, ticket: Ticket) -> None:
        """End a request within one step. Its completions finish as cancelled; unknown and ended tickets are ignored."""
        ...

    def answer_now(self, ticket: Ticket) -> bool:
        """Close the reasoning of a running request at the next step. Return False if it is not reasoning."""
        ...

    def step(self) -> bool:
        """Sample one token for every running completion. Return False if there was nothing to do."""
        ...

    def release(self) -> None:
        """Free the KV cache. Call it only while no request runs."""
        ...
