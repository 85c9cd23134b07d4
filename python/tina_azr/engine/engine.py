"""The introspective engine: prefill -> introspection -> budget -> thought under a wall -> closing ids -> answer with its reserve.

It is a client of one decode session. Many requests run in it at once; each is told what happens to it by events.
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
from tina_azr.engine.request import Running
from tina_azr.engine.settings import EngineSettings, resolve
from tina_azr.engine.transcript import Transcript
from tina_azr.engine.types import Event, Failed, Finished, Generation, GenerationRequest, Listener, Started, Thinking, Ticket
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
"""A prefill holds up everybody who runs, for about a step: prompts that come one by one beside many wait this long for each other."""


class IntrospectionWarning(UserWarning):
    """What the heads say may be wrong: they, or their calibration, belong to other weights."""


class IntrospectiveEngine:
    """Implements `ChatEngine`. Not for use by two threads at once."""

    def __init__(
        self,
        policy: Policy,
        *,
        introspector: Introspector | None = None,
        settings: EngineSettings | None = None,
        notes: Sequence[str] = (),
    ) -> None:
        """`notes`: reasons to doubt the heads, each warned of once here (`opening.open_engine` finds them)."""
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
        self._running: dict[Ticket, Running] = {}

    def _new_session(self, *, tickets_after: int = 0) -> DecodeSession:
        return DecodeSession(
            self.policy,
            slots=self.settings.slots,
            taps=self.introspector.taps if self.introspector else (),
            on_prompts=self._decide,
            patience=PATIENCE,
            piece_tokens=self.settings.piece_tokens,
            kv_tokens=self.settings.kv_tokens,
            modulator=self._modulator,
            tickets_after=tickets_after,
        )

    @property
    def modulator(self) -> Modulator | None:
        """Side adapters, FiLM and gate that are on; None without any."""
        return self._modulator.modulator if self._modulator is not None else None

    # Requests.

    def prepare(self, request: GenerationRequest) -> GenerationRequest:
        """The request with ids in place of its messages. Any thread may call this at any time: a long prompt takes its time.

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

    def submit(self, request: GenerationRequest, listener: Listener) -> Ticket:
        """Queue a request; `listener` is called from within later `step`s. Raises ServeError for a request that cannot be done."""
        settings = self.settings
        if "" in request.stop:
            raise ServeError("a stop string is empty: it would end every answer before it begins")
        prompt_ids = self._prompt_ids(request)
        room = self.context_limit - len(prompt_ids)
        max_tokens = max(1, min(settings.max_tokens, room)) if request.max_tokens is None else request.max_tokens
        # With heads this is only a look whether the request makes sense: the forecast decides when the prompt is through.
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
        self._running[ticket] = Running(
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
        """Positions of the model."""
        return int(self.policy.module.config.max_position_embeddings)

    def cancel(self, ticket: Ticket) -> None:
        """End a request within one step; its completions finish as cancelled. Unknown and ended tickets are ignored."""
        try:
            for ended in self._session.cancel(ticket):
                self._finish(ended)
        except ModelError as error:
            self._fail(str(error))

    def answer_now(self, ticket: Ticket) -> bool:
        """Close the thoughts of a running request at the next step. False if it does not think (any more)."""
        if ticket not in self._running or not self._session.close_reasoning(ticket):
            return False
        for transcript in self._running[ticket].transcripts:
            # A completion that has no slot yet is not asked, and one that was asked before stays so.
            transcript.asked_for_answer |= transcript.think_tokens > 0 and not (transcript.closed or transcript.forced_close)
        return True

    @property
    def waiting(self) -> int:
        """Completions that have no slot yet."""
        return self._session.waiting

    @property
    def running(self) -> int:
        """Requests that have not ended."""
        return len(self._running)

    @property
    def held_bytes(self) -> int:
        """Memory of keys and values now."""
        return self._session.held_bytes

    # The step.

    def step(self) -> bool:
        """One token for every running completion. False if there was nothing to do."""
        if not self._session.busy:
            return False
        try:
            self._tell(self._session.step())
        except ModelError as error:
            self._fail(str(error))
        return True

    def _tell(self, report: StepReport) -> None:
        """Events of one step, in the order of a completion."""
        for ticket, _ in report.prompts:
            one = self._running[ticket]
            one.listener(Started(prompt_tokens=one.prompt_tokens, forecast=one.forecast, decision=one.decision))
        self._notify_closed([(t, index, states_LH) for t, index, states_LH in report.closed if t in self._running])
        for token in report.tokens:
            if token.ticket in self._running:
                self._take(token)
        for ended in report.ended:
            self._finish(ended)

    def stream(self, request: GenerationRequest) -> Iterator[Event]:
        """Events of one request until all its completions have ended. Leaving the iterator cancels what is left."""
        events: deque[Event] = deque()
        ticket = self.submit(request, events.append)
        try:
            while ticket in self._running or events:
                while events:
                    yield events.popleft()
                self.step()
        finally:
            self.cancel(ticket)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[list[Generation]]:
        """All completions of all requests, in order, decoded together. Raises ServeError if one of them fails."""
        events: list[list[Event]] = [[] for _ in requests]
        tickets = [self.submit(request, log.append) for request, log in zip(requests, events, strict=True)]
        while any(ticket in self._running for ticket in tickets):
            self.step()
        failures = [event.message for log in events for event in log if isinstance(event, Failed)]
        if failures:
            raise ServeError(failures[0])
        done = [[event.generation for event in log if isinstance(event, Finished)] for log in events]
        return [sorted(generations, key=lambda one: one.index) for generations in done]

    def release(self) -> None:
        """Give back the memory of keys and values. Raises ModelError while requests run."""
        self._session.release()

    # From the session's reports to events.

    def _decide(self, tickets: Sequence[Ticket], states_NLH: NDArray[np.float32]) -> list[int | None]:
        assert self.introspector is not None  # without heads nothing is tapped, and the session does not ask
        think_limits: list[int | None] = []
        for ticket, forecast in zip(tickets, self.introspector.forecasts(states_NLH), strict=True):
            one = self._running.get(ticket)
            if one is None:
                think_limits.append(None)
                continue
            one.forecast = forecast
            one.decision = self._budget(one.request, one.max_tokens, forecast.budget_quantiles)
            asked = one.request.budget_tokens is not None or one.request.budget_quantile is not None
            stops = self.settings.obey_stop_plan and forecast.plan_choice is Plan.STOP
            if not asked and (stops or forecast.confidence_before < self.settings.skip_below):
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
        """`</think>` was read: what do the heads say now?"""
        if not closed or self.introspector is None:
            return
        extras = np.stack([self._running[ticket].transcripts[index].extras() for ticket, index, _ in closed])
        confidences = self.introspector.close_confidences(np.stack([states for *_, states in closed]), extras)
        for (ticket, index, _), confidence in zip(closed, confidences, strict=True):
            one = self._running[ticket]
            one.confidence[index] = confidence
            one.notify_reasoning_ended(index)

    def _take(self, token: Token) -> None:
        one = self._running[token.ticket]
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
                # A stop string ends this completion; the others of its request go on.
                for ended in self._session.cancel(token.ticket, token.index):
                    self._finish(ended)

    def _finish(self, ended: FinishedCompletion) -> None:
        one = self._running.get(ended.ticket)
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
            del self._running[ended.ticket]

    @cached_property
    def calibration_digest(self) -> str | None:
        """Of the calibration that confidences and budgets go through; None without one."""
        calibration = self.introspector.calibration if self.introspector else None
        return calibration.digest if calibration is not None and calibration.date is not None else None

    def _fail(self, message: str) -> None:
        """The model gave no numbers: every request that was running is lost, and says so."""
        lost, self._running = self._running, {}
        # A ticket of the lost must never come to name another's request: somebody may still cancel by it.
        self._session = self._new_session(tickets_after=self._session.newest_ticket)
        for one in lost.values():
            one.listener(Failed(message=message))
