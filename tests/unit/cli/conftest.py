"""Fixtures of the command tests: a scripted engine and hand-made turns."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from tina_azr.engine.types import (
    Answering,
    Event,
    EventListener,
    Failed,
    Finished,
    FinishReason,
    Generation,
    GenerationRequest,
    ReasoningEnded,
    Started,
    Thinking,
    ThinkStop,
    Ticket,
)
from tina_azr.errors import ServeError
from tina_azr.introspection.types import BudgetDecision, BudgetSource, Forecast, Plan
from tina_azr.rollout.types import Completion, StopCause

FORECAST = Forecast(
    plan={Plan.OUTLINE: 0.2, Plan.VERIFY: 0.62, Plan.DECOMPOSE: 0.1, Plan.STOP: 0.08},
    plan_choice=Plan.VERIFY,
    budget_quantiles={0.5: 31.0, 0.8: 52.0, 0.95: 78.0},
    confidence_before=0.71,
    alpha_L=(0.8, 0.2),
    layers_L=(1, 2),
    plan_by_layer_L=(Plan.VERIFY, Plan.OUTLINE),
)
DECISION = BudgetDecision(budget=52, think_limit=78, source=BudgetSource.PREDICTED)


def generation_of(answer: str = "17", *, think_tokens: int = 3, **changed: object) -> Generation:
    """Return a finished completion that closed by itself, with a forecast and hidden reasoning."""
    ids = np.arange(think_tokens + 4, dtype=np.int64)
    completion = Completion(
        ids_T=ids,
        logprobs_T=np.zeros(len(ids), dtype=np.float32),
        forced_T=np.zeros(len(ids), dtype=np.bool_),
        stop_cause=StopCause.STOP_ID,
        think_tokens=think_tokens,
        forced_close=False,
    )
    made = Generation(
        index=0,
        answer=answer,
        reasoning=None,
        completion=completion,
        forecast=FORECAST,
        decision=DECISION,
        confidence_after=0.88,
        think_tokens=think_tokens,
        think_stop=ThinkStop.CLOSED,
        forced_close=False,
        finish_reason=FinishReason.STOP,
        prompt_tokens=11,
        answer_tokens=len(answer),
        leak=False,
        calibration_digest="3f9a2c10",
        abstain=False,
    )
    return replace(made, **changed)  # type: ignore[arg-type]


@dataclass
class ScriptedChat:
    """`ChatEngine` with three reasoning tokens and then `pieces` as the answer, one event a step."""

    pieces: Sequence[str] = ("1", "7")
    reasoning: Sequence[str] = ("so ", "it ", "is")
    ending: Generation = field(default_factory=generation_of)
    """What `Finished` carries; its answer is that of `pieces`."""
    failure: str | None = None
    """Fails in the middle with this message."""
    refusal: str | None = None
    """Refuses the request with this message."""
    on_step: Callable[[int], None] = lambda number: None
    """Called with the number of the step, before it."""
    requests: list[GenerationRequest] = field(default_factory=list)
    steps: int = 0
    in_step: bool = False
    _events: list[Event] = field(default_factory=list)
    _said: str = ""
    _listener: EventListener = lambda event: None

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        return request

    def submit(self, request: GenerationRequest, listener: EventListener) -> Ticket:
        if self.refusal is not None:
            raise ServeError(self.refusal)
        self.requests.append(request)
        self._listener, self._said = listener, ""
        ending = replace(self.ending, reasoning="".join(self.reasoning) if request.visible else None)
        self._events = [Started(prompt_tokens=11, forecast=ending.forecast, decision=ending.decision)]
        self._events += [
            Thinking(index=0, think_tokens=number + 1, text=text if request.visible else None)
            for number, text in enumerate(self.reasoning)
        ]
        if self.failure is not None:
            self._events.append(Failed(message=self.failure))
            return 1
        if ending.think_stop is not ThinkStop.UNFINISHED:
            self._events.append(
                ReasoningEnded(
                    index=0,
                    think_tokens=ending.think_tokens,
                    think_stop=ending.think_stop,
                    forced_close=ending.forced_close,
                    confidence_after=ending.confidence_after,
                )
            )
            self._events += [Answering(index=0, text=text, tokens=number + 1) for number, text in enumerate(self.pieces)]
            ending = replace(ending, answer="".join(self.pieces).strip("\n"))
        self._events.append(Finished(generation=ending))
        return 1

    def cancel(self, ticket: Ticket) -> None:
        if self._events:
            self._events.clear()
            cancelled = {} if self._said else {"think_stop": ThinkStop.UNFINISHED, "cE": None}
            self._listener(
                Finished(generation=generation_of(self._said, finish_reason=FinishReason.CANCELLED, **cancelled))  # type: ignore[arg-type]
            )

    def answer_now(self, ticket: Ticket) -> bool:
        return False

    def step(self) -> bool:
        if not self._events:
            return False
        self.on_step(self.steps)
        self.steps += 1
        event = self._events.pop(0)
        if isinstance(event, Answering):
            self._said += event.text
        self.in_step = True
        self._listener(event)
        self.in_step = False
        return True

    def release(self) -> None:
        pass


@pytest.fixture
def scripted_chat() -> type[ScriptedChat]:
    return ScriptedChat


@pytest.fixture
def made_generation() -> Callable[..., Generation]:
    return generation_of
