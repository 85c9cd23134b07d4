"""Chat engine with introspection.

A completion passes these stages: prefill, forecast, budget, reasoning up to the think limit, closing ids, answer. The engine drives one
decode session. Many requests run at once, and each gets its events through a listener.
"""

import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tina_azr.engine.checks import check_tags
from tina_azr.engine.modulation import build_modulator
from tina_azr.engine.request import RequestState
from tina_azr.engine.settings import EngineSettings, resolve
from tina_azr.engine.transcript import Transcript
from tina_azr.engine.types import Event, EventListener, Failed, Finished, Generation, GenerationRequest, Started, Thinking, Ticket
from tina_azr.errors import ConfigError, ModelError, ServeError
from tina_azr.introspection.budget import decide_budget
from tina_azr.introspection.heads import QUANTILES
from tina_azr.introspection.introspector import Introspector
from tina_azr.introspection.side_adapter import Modulator
from tina_azr.introspection.types import BudgetDecision, BudgetSource, Plan
from tina_azr.model.loading import Policy
from tina_azr.rollout.session import DecodeSession
from tina_azr.rollout.types import FinishedCompletion, RolloutRequest, SamplingParams, StepReport, Token

PATIENCE = 4
"""Steps that a small batch of new prompts may wait so that later prompts can share its prefill.

A prefill delays all running completions by about one step.
"""


class IntrospectionWarning(UserWarning):
    """Forecasts may be wrong: the heads, or their calibration, belong to other weights."""


class IntrospectiveEngine:
    """Implementation of `ChatEngine`. It is not thread-safe, except for `prepare`."""

    def __init__(
        self,
        policy: Policy,
        *,
        introspector: Introspector | None = None,
        settings: EngineSettings | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """Create the engine. `notes` are reasons to doubt the heads (see `loading.open_engine`); each causes one warning."""
        self.policy = policy
        self.introspector = introspector
        self.settings = resolve(settings or EngineSettings(), policy)
        self.notes = tuple(notes)
        for note in notes:
            warnings.warn(note, IntrospectionWarning, stacklevel=2)
        for problem in check_tags(self.settings.tags, "introspection.tags"):
            raise ConfigError(str(problem))
        self._modulator = build_modulator(introspector, self.settings, policy)
        self._session = self._new_session()
        self._requests: dict[Ticket, RequestState] = {}

    def _new_session(self, *, tickets_after: int = 0) -> DecodeSession:
        return DecodeSession(
            self.policy,
            slots=self.settings.slots,
            taps=self.introspector.taps if self.introspector else (),
            on_prompts=self._decide_budgets,
            patience=PATIENCE,
            piece_tokens=self.settings.piece_tokens,
            kv_tokens=self.settings.kv_tokens,
            modulator=self._modulator,
            tickets_after=tickets_after,
        )

    @property
    def modulator(self) -> Modulator | None:
        """Side adapters, FiLM and feedback gate that are switched on; None without any."""
        return self._modulator.modulator if self._modulator is not None else None

    # Requests.

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        """Tokenize a request: return it with ids in place of its messages. Any thread may call this at any time.

        Raises ServeError for messages that the template refuses.
        """
        return replace(request, messages=(), prompt_ids=self._prompt_ids(request))

    def _prompt_ids(self, request: GenerationRequest) -> tuple[int, ...]:
        if (request.prompt_ids is None) == (not request.messages):
            raise ServeError("a request needs either messages or prompt_ids")
        try:
            return request.prompt_ids or self.policy.tokenizer.render_chat([(one.role, one.content) for one in request.messages])
        except ModelError as error:
            raise ServeError(str(error)) from error

    def submit(self, request: GenerationRequest, listener: EventListener) -> Ticket:
        """Queue a request. Later calls of `step` call `listener`. Raises ServeError for an invalid request."""
        settings = self.settings
        if "" in request.stop:
            raise ServeError("a stop string is empty, which would end every answer at once: give at least one character")
        prompt_ids = self._prompt_ids(request)
        room = self.context_limit - len(prompt_ids)
        max_tokens = max(1, min(settings.max_tokens, room)) if request.max_tokens is None else request.max_tokens
        # With heads this only validates the request: the budget is decided after prefill, from the forecast.
        decision = self._budget(request, max_tokens, dict.fromkeys(QUANTILES, 1.0) if self.introspector else None)
        try:
            transcripts = [
                Transcript(
                    self.policy.tokenizer,
                    visible=request.visible and settings.allow_visible,
                    stop=request.stop,
                    keep_logprobs=request.logprobs,
                )
                for _ in range(request.n)
            ]
            params = SamplingParams(
                max_tokens=max_tokens,
                temperature=settings.temperature if request.temperature is None else request.temperature,
                top_p=settings.top_p if request.top_p is None else request.top_p,
                top_k=settings.top_k if request.top_k is None else request.top_k,
                min_p=settings.min_p if request.min_p is None else request.min_p,
                min_think=min(settings.budget.min_think_tokens, decision.think_limit),
                tagless_answer=True,
                think_limit=decision.think_limit,
            )
            ticket = self._session.submit(
                RolloutRequest(prompt_ids=prompt_ids, group_size=request.n, params=params, seed=request.seed), follow=True
            )
        except ModelError as error:
            raise ServeError(str(error)) from error
        self._requests[ticket] = RequestState(
            request=request,
            prompt_tokens=len(prompt_ids),
            max_tokens=max_tokens,
            listener=listener,
            decision=decision,
            transcripts=transcripts,
            open=request.n,
        )
        return ticket

    @property
    def context_limit(self) -> int:
        """Number of positions of the model."""
        return int(self.policy.module.config.max_position_embeddings)

    def cancel(self, ticket: Ticket) -> None:
        """End a request within one step. Its completions finish as cancelled; unknown and ended tickets are ignored."""
        try:
            for ended in self._session.cancel(ticket):
                self._finish(ended)
        except ModelError as error:
            self._fail(str(error))

    def answer_now(self, ticket: Ticket) -> bool:
        """Close the reasoning of a running request at the next step. Return False if it is not reasoning."""
        if ticket not in self._requests or not self._session.close_reasoning(ticket):
            return False
        for transcript in self._requests[ticket].transcripts:
            # A completion without a slot is not affected. A flag that was set before stays set.
            transcript.answer_now_requested |= transcript.think_tokens > 0 and not (transcript.closed or transcript.forced_close)
        return True

    @property
    def waiting(self) -> int:
        """Completions that have no slot yet."""
        return self._session.waiting

    @property
    def running(self) -> int:
        """Requests that have not ended."""
        return len(self._requests)

    @property
    def held_bytes(self) -> int:
        """Current size of the KV cache in bytes."""
        return self._session.held_bytes

    # The step.

    def step(self) -> bool:
        """Sample one token for every running completion. Return False if there was nothing to do."""
        if not self._session.busy:
            return False
        try:
            self._emit_events(self._session.step())
        except ModelError as error:
            self._fail(str(error))
        return True

    def _emit_events(self, report: StepReport) -> None:
        """Emit the events of one step, in the order of a completion."""
        for ticket, _ in report.prompts:
            one = self._requests[ticket]
            one.listener(Started(prompt_tokens=one.prompt_tokens, forecast=one.forecast, decision=one.decision))
        self._notify_closed([(t, index, states_LH) for t, index, states_LH in report.closed if t in self._requests])
        for token in report.tokens:
            if token.ticket in self._requests:
                self._push_token(token)
        for ended in report.ended:
            self._finish(ended)

    def stream(self, request: GenerationRequest) -> Iterator[Event]:
        """Yield the events of one request until all its completions have ended. Closing the iterator cancels the request."""
        events: deque[Event] = deque()
        ticket = self.submit(request, events.append)
        try:
            while ticket in self._requests or events:
                while events:
                    yield events.popleft()
                self.step()
        finally:
            self.cancel(ticket)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[list[Generation]]:
        """Return all completions of all requests, in order, decoded together. Raises ServeError if one of them fails."""
        events: list[list[Event]] = [[] for _ in requests]
        tickets = [self.submit(request, log.append) for request, log in zip(requests, events, strict=True)]
        while any(ticket in self._requests for ticket in tickets):
            self.step()
        failures = [event.message for log in events for event in log if isinstance(event, Failed)]
        if failures:
            raise ServeError(failures[0])
        done = [[event.generation for event in log if isinstance(event, Finished)] for log in events]
        return [sorted(generations, key=lambda one: one.index) for generations in done]

    def release(self) -> None:
        """Free the KV cache. Raises ModelError while requests run."""
        self._session.release()

    # From the session's reports to events.

    def _decide_budgets(self, tickets: Sequence[Ticket], states_NLH: NDArray[np.float32]) -> list[int | None]:
        assert self.introspector is not None  # without heads nothing is tapped, and the session does not call this
        think_limits: list[int | None] = []
        for ticket, forecast in zip(tickets, self.introspector.forecasts(states_NLH), strict=True):
            one = self._requests.get(ticket)
            if one is None:
                think_limits.append(None)
                continue
            one.forecast = forecast
            one.decision = self._budget(one.request, one.max_tokens, forecast.budget_quantiles)
            requested = one.request.budget_tokens is not None or one.request.budget_quantile is not None
            stops = self.settings.obey_stop_plan and forecast.plan_choice is Plan.STOP
            if not requested and (stops or forecast.confidence_before < self.settings.skip_below):
                one.decision = BudgetDecision(budget=0, think_limit=0, source=BudgetSource.PREDICTED)
            think_limits.append(one.decision.think_limit)
        return think_limits

    def _budget(self, request: GenerationRequest, max_tokens: int, quantiles: Mapping[float, float] | None) -> BudgetDecision:
        settings = self.settings.budget
        slack = self.introspector.calibration.slack if self.introspector else None
        return decide_budget(
            quantiles,
            budget_tokens=request.budget_tokens,
            budget_quantile=request.budget_quantile,
            max_tokens=max_tokens,
            closing_tokens=len(self.policy.closing_ids),
            settings=settings if slack is None else replace(settings, slack=slack),
        )

    def _notify_closed(self, closed: Sequence[tuple[Ticket, int, NDArray[np.float32]]]) -> None:
        """Compute the confidence after reasoning of all completions that have just read `</think>`."""
        if not closed or self.introspector is None:
            return
        extras = np.stack([self._requests[ticket].transcripts[index].extras() for ticket, index, _ in closed])
        confidences = self.introspector.close_confidences(np.stack([states for *_, states in closed]), extras)
        for (ticket, index, _), confidence in zip(closed, confidences, strict=True):
            one = self._requests[ticket]
            one.confidence[index] = confidence
            one.notify_reasoning_ended(index)

    def _push_token(self, token: Token) -> None:
        one = self._requests[token.ticket]
        transcript = one.transcripts[token.index]
        was_closed, answered = transcript.closed, len(transcript.logprobs)
        reasoning, answer = transcript.push(token.id, token.logprob, token.forced)
        if not was_closed:
            text = reasoning if transcript.reasoning is not None else None
            one.listener(Thinking(index=token.index, think_tokens=transcript.think_tokens, text=text))
            if transcript.closed and self.introspector is None:
                one.notify_reasoning_ended(token.index)
        elif not token.forced:
            one.notify_answer(token.index, answer, answered)
            if transcript.stopped:
                # A stop string ends this completion; the others of its request continue.
                for ended in self._session.cancel(token.ticket, token.index):
                    self._finish(ended)

    def _finish(self, ended: FinishedCompletion) -> None:
        one = self._requests.get(ended.ticket)
        if one is None:
            return
        transcript = one.transcripts[ended.index]
        rest = transcript.finish()
        one.notify_reasoning_ended(ended.index)
        one.notify_answer(ended.index, rest, len(transcript.logprobs))
        generation = one.generation(
            ended.index,
            ended.completion,
            settings=self.settings,
            tokenizer=self.policy.tokenizer,
            calibration_digest=self.calibration_digest,
        )
        one.listener(Finished(generation=generation))
        one.open -= 1
        if not one.open:
            del self._requests[ended.ticket]

    @cached_property
    def calibration_digest(self) -> str | None:
        """Digest of the calibration of confidences and budgets; None without one."""
        calibration = self.introspector.calibration if self.introspector else None
        return calibration.digest if calibration is not None and calibration.date is not None else None

    def _fail(self, message: str) -> None:
        """Fail all running requests and start a new session, after an error of the model."""
        lost, self._requests = self._requests, {}
        # Do not reuse ids: a client may still cancel a failed request by its old id.
        self._session = self._new_session(tickets_after=self._session.newest_ticket)
        for one in lost.values():
            one.listener(Failed(message=message))
