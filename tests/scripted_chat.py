"""`ChatEngine` that follows a script, one piece of text a step, and a server to try the page with it.

    python tests/scripted_chat.py --port 8000 --visible

It implements the whole protocol (slots, budgets, think limits, stop strings, seeds, cancellation, answer-now, two-token characters), so
that tests of the server and of the page need no model. Its reasoning always holds `SENTINEL`, which must not appear in hidden mode.
"""

import argparse
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

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

SENTINEL = "SENTINEL-THOUGHT"
CONTEXT = 4_096
MAX_TOKENS = 2_048
DEFAULT_BUDGET = 256
CODE = "Here it is:\n\n```python\ndef f(n):\n    return [i * i for i in range(n)]\n```\n\nTry `f(4)`."
MARKUP = 'Text with <script>alert("x")</script>, **bold** and a [link](https://example.org).'


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Reasoning and answer of one completion."""

    reasoning: str
    answer: str
    fails: str | None = None
    """The request fails with this message after its first token."""


Playwright = Callable[[GenerationRequest, int], Script]


def usual(request: GenerationRequest, index: int) -> Script:
    """Return an answer that depends on the prompt, the seed and the index; words of the prompt select variants."""
    prompt = request.messages[-1].content if request.messages else ""
    words = 400 if "think long" in prompt else 24
    reasoning = f"{SENTINEL} " + " ".join(f"step-{number}" for number in range(words))
    if "code" in prompt:
        answer = CODE
    elif "markup" in prompt:
        answer = MARKUP
    elif "answer long" in prompt:
        answer = " ".join(f"word-{number}" for number in range(400))
    else:
        answer = f"You said {len(prompt)} characters; seed {request.seed % 1000}, choice {index}. Žluťoučký 🐎."
    return Script(reasoning=reasoning, answer=answer, fails="the script says so" if "fail now" in prompt else None)


def pieces(text: str) -> Iterator[str]:
    """Split a text into tokens: words with their space. A non-Latin character takes two tokens, and the first shows nothing."""
    for piece in re.findall(r"\s*[^\s\U00010000-\U0010ffff]+|\s*[\U00010000-\U0010ffff]|\s+$", text):
        if any(ord(character) > 0xFFFF for character in piece):
            yield ""
        yield piece


@dataclass(slots=True)
class Running:
    """State of one completion."""

    index: int
    reasoning: list[str]
    answer: list[str]
    said: str = ""
    shown: int = 0
    think_tokens: int = 0
    answer_tokens: int = 0
    think_stop: ThinkStop | None = None
    logprobs: list[tuple[int, str, float]] = field(default_factory=list)
    over: bool = False


@dataclass(slots=True)
class Job:
    """State of one request."""

    ticket: Ticket
    request: GenerationRequest
    listener: EventListener
    scripts: list[Script]
    decision: BudgetDecision
    forecast: Forecast | None
    prompt_tokens: int
    running: list[Running] = field(default_factory=list)
    cancelled: bool = False
    answer_now: bool = False


class ScriptedChatEngine:
    """`ChatEngine` without a model. `steps` counts its steps, `log` holds its requests."""

    def __init__(
        self,
        playwright: Playwright = usual,
        *,
        slots: int = 64,
        seconds_per_step: float = 0.0,
        heads: bool = True,
        allow_visible: bool = False,
        abstain_below: float | None = None,
    ) -> None:
        self.playwright = playwright
        self.slots = slots
        self.seconds_per_step = seconds_per_step
        self.heads = heads
        self.allow_visible = allow_visible
        self.abstain_below = abstain_below
        self.steps = 0
        self.log: list[tuple[str, object]] = []
        self._waiting: list[Job] = []
        self._jobs: dict[Ticket, Job] = {}
        self._tickets = 0

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        return request

    def submit(self, request: GenerationRequest, listener: EventListener) -> Ticket:
        self.log.append(("submit", request))
        prompt_tokens = sum(len(message.content.split()) + 4 for message in request.messages)
        if prompt_tokens + 16 > CONTEXT:
            raise ServeError(f"the prompt has {prompt_tokens} tokens, and the context holds {CONTEXT}: shorten it")
        self._tickets += 1
        self._waiting.append(
            Job(
                ticket=self._tickets,
                request=request,
                listener=listener,
                scripts=[self.playwright(request, index) for index in range(request.n)],
                decision=self._decide(request),
                forecast=self._forecast(request) if self.heads else None,
                prompt_tokens=prompt_tokens,
            )
        )
        return self._tickets

    def cancel(self, ticket: Ticket) -> None:
        self.log.append(("cancel", ticket))
        for job in (*self._waiting, *self._jobs.values()):
            if job.ticket == ticket:
                job.cancelled = True

    def answer_now(self, ticket: Ticket) -> bool:
        self.log.append(("answer_now", ticket))
        job = self._jobs.get(ticket)
        if job is None or all(one.think_stop is not None for one in job.running):
            return False
        job.answer_now = True
        return True

    def step(self) -> bool:
        self._admit()
        if not self._jobs:
            return False
        self.steps += 1
        time.sleep(self.seconds_per_step)
        for job in list(self._jobs.values()):
            for one in job.running:
                if not one.over:
                    self._advance(job, one)
            if all(one.over for one in job.running):
                del self._jobs[job.ticket]
        return True

    def release(self) -> None:
        assert not self._jobs, "memory is given back while something runs"

    @property
    def busy(self) -> int:
        """Number of slots in use. It is safe to call from another thread."""
        return sum(not one.over for job in list(self._jobs.values()) for one in job.running)

    def _admit(self) -> None:
        while self._waiting and (
            self._waiting[0].cancelled or not self.busy or self.busy + self._waiting[0].request.n <= self.slots
        ):
            job = self._waiting.pop(0)
            job.running = [
                Running(index=index, reasoning=list(pieces(script.reasoning)), answer=list(pieces(script.answer)))
                for index, script in enumerate(job.scripts)
            ]
            self._jobs[job.ticket] = job
            job.listener(Started(prompt_tokens=job.prompt_tokens, forecast=job.forecast, decision=job.decision))

    def _advance(self, job: Job, one: Running) -> None:
        script = job.scripts[one.index]
        if job.cancelled:
            self._finish(job, one, FinishReason.CANCELLED)
        elif script.fails is not None and one.think_tokens:
            for other in job.running:
                other.over = True
            job.listener(Failed(message=script.fails))
        elif one.think_tokens + one.answer_tokens >= (job.request.max_tokens or MAX_TOKENS):
            self._finish(job, one, FinishReason.LENGTH)
        elif one.think_stop is None:
            self._think(job, one)
        else:
            self._answer(job, one)

    def _think(self, job: Job, one: Running) -> None:
        stop = None
        if job.answer_now:
            stop = ThinkStop.ANSWER_NOW
        elif one.think_tokens >= len(one.reasoning):
            stop = ThinkStop.CLOSED if one.think_tokens <= job.decision.budget else ThinkStop.SLACK
        elif one.think_tokens >= job.decision.think_limit:
            stop = ThinkStop.THINK_LIMIT
        if stop is None:
            text = one.reasoning[one.think_tokens]
            one.think_tokens += 1
            visible = self.allow_visible and job.request.visible
            job.listener(Thinking(index=one.index, think_tokens=one.think_tokens, text=text if visible else None))
            return
        one.think_stop = stop
        forced = stop in (ThinkStop.THINK_LIMIT, ThinkStop.ANSWER_NOW)
        job.listener(
            ReasoningEnded(
                index=one.index,
                think_tokens=one.think_tokens,
                think_stop=stop,
                forced_close=forced,
                confidence_after=self._confidence(job),
            )
        )

    def _answer(self, job: Job, one: Running) -> None:
        if one.answer_tokens >= len(one.answer):
            self._finish(job, one, FinishReason.STOP)
            return
        piece = one.answer[one.answer_tokens]
        one.answer_tokens += 1
        one.said += piece
        token = (one.answer_tokens, piece, -0.25)
        if job.request.logprobs:
            one.logprobs.append(token)
        cuts = [cut for cut in (one.said.find(stop) for stop in job.request.stop) if cut >= 0]
        if cuts:
            one.said = one.said[: min(cuts)]
            self._finish(job, one, FinishReason.STOP)
            return
        longest = max((len(stop) for stop in job.request.stop), default=1) - 1
        safe = max(len(one.said) - longest, one.shown)
        text, one.shown = one.said[one.shown : safe], safe
        job.listener(
            Answering(index=one.index, text=text, tokens=one.answer_tokens, logprobs=(token,) if job.request.logprobs else ())
        )

    def _finish(self, job: Job, one: Running, reason: FinishReason) -> None:
        one.over = True
        if one.think_stop is not None and one.shown < len(one.said):
            job.listener(Answering(index=one.index, text=one.said[one.shown :], tokens=one.answer_tokens))
        forced = one.think_stop in (ThinkStop.THINK_LIMIT, ThinkStop.ANSWER_NOW)
        confidence = self._confidence(job)
        count = one.think_tokens + (one.think_stop is not None) + one.answer_tokens
        visible = self.allow_visible and job.request.visible
        generation = Generation(
            index=one.index,
            answer=one.said,
            reasoning="".join(one.reasoning[: one.think_tokens]) if visible else None,
            completion=Completion(
                ids_T=np.arange(count),
                logprobs_T=np.zeros(count, np.float32),
                forced_T=np.zeros(count, np.bool_),
                stop_cause=StopCause.LENGTH if reason is FinishReason.LENGTH else StopCause.STOP_ID,
                think_tokens=one.think_tokens,
                forced_close=forced,
            ),
            forecast=job.forecast,
            decision=job.decision,
            confidence_after=confidence if one.think_stop is not None else None,
            think_tokens=one.think_tokens,
            think_stop=one.think_stop or ThinkStop.UNFINISHED,
            forced_close=forced,
            finish_reason=reason,
            prompt_tokens=job.prompt_tokens,
            answer_tokens=one.answer_tokens,
            leak=False,
            calibration_digest="c" * 64 if self.heads else None,
            abstain=self.abstain_below is not None and confidence is not None and confidence < self.abstain_below,
            answer_logprobs=tuple(one.logprobs) if job.request.logprobs else None,
        )
        job.listener(Finished(generation=generation))

    def _decide(self, request: GenerationRequest) -> BudgetDecision:
        if request.budget_tokens is not None:
            budget, source = request.budget_tokens, BudgetSource.REQUESTED
        elif self.heads:
            quantiles = self._forecast(request).budget_quantiles
            budget, source = round(quantiles[request.budget_quantile or 0.8]), BudgetSource.PREDICTED
        else:
            budget, source = DEFAULT_BUDGET, BudgetSource.DEFAULT
        warning = f"{budget} think tokens are far below what this prompt needs" if 0 < budget < 5 else None
        return BudgetDecision(budget=budget, think_limit=budget + budget // 2, source=source, warning=warning)

    def _forecast(self, request: GenerationRequest) -> Forecast:
        return Forecast(
            plan={Plan.OUTLINE: 0.5, Plan.VERIFY: 0.25, Plan.DECOMPOSE: 0.15, Plan.STOP: 0.1},
            plan_choice=Plan.OUTLINE,
            budget_quantiles={0.5: 20.0, 0.8: 32.0, 0.95: 80.0},
            confidence_before=0.62,
            alpha_L=(0.25, 0.75),
            layers_L=(1, 3),
            plan_by_layer_L=(Plan.OUTLINE, Plan.VERIFY),
        )

    def _confidence(self, job: Job) -> float | None:
        if not self.heads:
            return None
        return 0.31 if job.request.messages and "unsure" in job.request.messages[-1].content else 0.83


def events_of(engine: ScriptedChatEngine, request: GenerationRequest) -> list[Event]:
    """Run one request to its end and return its events."""
    seen: list[Event] = []
    engine.submit(request, seen.append)
    while engine.step():
        pass
    return seen


def main() -> None:
    """Serve the script, for work on the page."""
    from scripted_server import serve_scripted

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8_000)
    parser.add_argument("--visible", action="store_true", help="allow visible thoughts")
    parser.add_argument("--no-heads", action="store_true", help="no forecast, no confidence")
    parser.add_argument("--abstain-below", type=float, default=None)
    parser.add_argument("--seconds-per-step", type=float, default=0.03)
    parser.add_argument("--key", default=None, help="key that clients must send")
    given = parser.parse_args()
    engine = ScriptedChatEngine(
        seconds_per_step=given.seconds_per_step,
        heads=not given.no_heads,
        allow_visible=given.visible,
        abstain_below=given.abstain_below,
    )
    serve_scripted(engine, port=given.port, key=given.key)


if __name__ == "__main__":
    main()
