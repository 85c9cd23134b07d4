"""What goes into the introspective engine and what comes out. Axes: `_L` tapped layers.

A *forecast* is made of the prompt alone, before the first token of thought. A *budget* is what the thought is meant to take, a *wall*
is what it can never exceed. Everything a client is shown about a completion is in `Generation`; a stream is a sequence of `Event`s
that ends with the same `Generation`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from tina_azr.introspection.types import BudgetDecision, Forecast

if TYPE_CHECKING:  # a package of rollout imports torch; what only reads these types does without
    from tina_azr.rollout.types import Completion


class ThinkStop(StrEnum):
    """Why a thought ended."""

    CLOSED = "closed"
    """The model closed it by itself, within the budget."""
    SLACK = "slack"
    """It closed it by itself, between the budget and the wall."""
    THINK_LIMIT = "wall"
    """The closing ids were forced at the wall."""
    ANSWER_NOW = "answer_now"
    """They were forced because somebody asked for the answer."""
    UNFINISHED = "unfinished"
    """The completion ended inside the thought: cancelled, out of tokens, or the model ended its turn there."""


class FinishReason(StrEnum):
    """Why a completion ended."""

    STOP = "stop"
    """The model ended its turn, or a stop string came."""
    LENGTH = "length"
    """`max_tokens`."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One turn of a conversation. Thoughts of earlier turns are stripped as the template demands."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationRequest:
    """One prompt. What is None is the engine's default."""

    messages: Sequence[Message] = ()
    prompt_ids: tuple[int, ...] | None = None
    """In place of `messages`: ids that end inside the opened thought."""
    n: int = 1
    """Completions; they share the prompt's prefill and its forecast."""
    max_tokens: int | None = None
    """Thought, forced ids and answer together."""
    temperature: float | None = None
    """0 is greedy."""
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    seed: int = 0
    stop: tuple[str, ...] = ()
    """Strings that end the answer; they are not part of it. They never match inside the thought."""
    budget_tokens: int | None = None
    """Think tokens to aim at, in place of the forecast."""
    budget_quantile: float | None = None
    """Which quantile of the forecast is the budget: .5, .8 or .95."""
    visible: bool = False
    """Whether thoughts may leave the engine as text. Also needs `EngineSettings.allow_visible`."""
    logprobs: bool = False
    """Keep the answer's log-probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One finished completion."""

    index: int
    """Which of the request's `n`."""
    answer: str
    """Text after the thought, up to the stop; empty if the thought never closed."""
    reasoning: str | None
    """None where hidden."""
    completion: "Completion"
    """The ids. Not for clients: it holds the thought."""
    forecast: Forecast | None
    """None without heads."""
    decision: BudgetDecision
    confidence_after: float | None
    """Probability that this answer is correct, read at `</think>`; None without heads or without a close."""
    think_tokens: int
    """Ids before `</think>`, forced ones included."""
    think_stop: ThinkStop
    forced_close: bool
    finish_reason: FinishReason
    prompt_tokens: int
    answer_tokens: int
    leak: bool
    """The answer holds a think tag's id: never where everything works."""
    calibration_digest: str | None
    abstain: bool
    """Confidence is below `EngineSettings.abstain_below`."""
    tag_tokens: Mapping[str, int] = field(default_factory=dict)
    """Tokens between each of `EngineSettings.tags`."""
    answer_logprobs: tuple[tuple[int, str, float], ...] | None = None
    """(id, text, log-probability) of each answer token, where asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """The prompt was prefilled. Comes once a request, before everything else."""

    prompt_tokens: int
    forecast: Forecast | None
    decision: BudgetDecision


@dataclass(frozen=True, slots=True, kw_only=True)
class Thinking:
    """More thought."""

    index: int
    think_tokens: int
    """So far."""
    text: str | None
    """None where hidden; may be empty while a character is incomplete."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningEnded:
    """`</think>` came; what follows is the answer."""

    index: int
    think_tokens: int
    think_stop: ThinkStop
    forced_close: bool
    confidence_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """More answer."""

    index: int
    text: str
    """Whole characters, never a part of a stop string; may be empty."""
    tokens: int
    """Answer tokens so far."""
    logprobs: tuple[tuple[int, str, float], ...] = ()
    """Of the tokens since the last event, where asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """One completion is complete; a request with `n` completions gets `n` of these."""

    generation: Generation


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The request cannot be done (it does not fit, or the model failed); nothing follows."""

    message: str


Event: TypeAlias = Started | Thinking | ReasoningEnded | Answering | Finished | Failed
Listener: TypeAlias = Callable[[Event], None]
Ticket: TypeAlias = int


class ChatEngine(Protocol):
    """What a server needs of the engine. One thread owns it and calls every method but `prepare`; a step takes milliseconds."""

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        """The request as `submit` takes it without delay: ids in place of messages. Any thread may call this, at any time.

        Raises ServeError for messages that the template refuses.
        """
        ...

    def submit(self, request: GenerationRequest, listener: Listener) -> Ticket:
        """Queue a request; `listener` is called from within later `step`s. Raises ServeError for a request that cannot be done."""
        ...

    def cancel(self, ticket: Ticket) -> None:
        """End a request within one step; its completions finish as cancelled. Unknown and ended tickets are ignored."""
        ...

    def answer_now(self, ticket: Ticket) -> bool:
        """Close the thoughts of a running request at the next step. False if it does not think (any more)."""
        ...

    def step(self) -> bool:
        """One token for every running completion. False if there was nothing to do."""
        ...

    def release(self) -> None:
        """Give back the memory of keys and values. For when nothing runs."""
        ...
