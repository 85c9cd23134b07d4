"""State of one request in the engine, and the events that its listener gets."""

from dataclasses import dataclass, field

from tina_azr.engine.settings import ResolvedSettings
from tina_azr.engine.transcript import Transcript, count_tagged_tokens
from tina_azr.engine.types import Answering, EventListener, FinishReason, Generation, GenerationRequest, ReasoningEnded
from tina_azr.introspection.types import BudgetDecision, Forecast
from tina_azr.rollout.types import Completion, StopCause
from tina_azr.text.chat import ChatTokenizer


@dataclass(slots=True, kw_only=True)
class RequestState:
    """State of a request that has not ended."""

    request: GenerationRequest
    prompt_tokens: int
    max_tokens: int
    listener: EventListener
    forecast: Forecast | None = None
    decision: BudgetDecision
    transcripts: list[Transcript]
    confidence: dict[int, float] = field(default_factory=dict)
    """Confidence after reasoning, by completion."""
    notified_closed: set[int] = field(default_factory=set)
    open: int
    """Completions that have not ended."""

    def notify_reasoning_ended(self, index: int) -> None:
        """Emit `ReasoningEnded` once, when the reasoning is closed."""
        transcript = self.transcripts[index]
        if index in self.notified_closed or not transcript.closed:
            return
        self.notified_closed.add(index)
        self.listener(
            ReasoningEnded(
                index=index,
                think_tokens=transcript.think_tokens,
                think_stop=transcript.think_stop(self.decision),
                forced_close=transcript.forced_close,
                confidence_after=self.confidence.get(index),
            )
        )

    def notify_answer(self, index: int, text: str, answered: int) -> None:
        """Emit new answer text and the log-probabilities from index `answered` on, if there are any."""
        transcript = self.transcripts[index]
        logprobs = tuple(transcript.logprobs[answered:])
        if text or logprobs:
            self.listener(Answering(index=index, text=text, tokens=transcript.answer_tokens, logprobs=logprobs))

    def generation(
        self,
        index: int,
        completion: Completion,
        *,
        settings: ResolvedSettings,
        tokenizer: ChatTokenizer,
        calibration_digest: str | None,
    ) -> Generation:
        """Build the `Generation` of a completion that has ended."""
        transcript, forecast = self.transcripts[index], self.forecast
        confidence = self.confidence.get(index)
        known = confidence if confidence is not None else forecast.confidence_before if forecast else None
        return Generation(
            index=index,
            answer=transcript.answer,
            reasoning=transcript.reasoning,
            completion=completion,
            forecast=forecast,
            decision=self.decision,
            confidence_after=confidence,
            think_tokens=transcript.think_tokens,
            think_stop=transcript.think_stop(self.decision),
            forced_close=transcript.forced_close,
            finish_reason=_reason(completion, transcript),
            prompt_tokens=self.prompt_tokens,
            answer_tokens=transcript.answer_tokens,
            leak=transcript.leak,
            calibration_digest=calibration_digest,
            abstain=known is not None and known < settings.abstain_below,
            tag_tokens=count_tagged_tokens(tokenizer, completion.ids_T.tolist(), settings.tags),
            answer_logprobs=tuple(transcript.logprobs) if self.request.logprobs else None,
        )


def _reason(completion: Completion, transcript: Transcript) -> FinishReason:
    if transcript.stopped or completion.stop_cause is StopCause.STOP_ID:
        return FinishReason.STOP
    return FinishReason.LENGTH if completion.stop_cause is StopCause.LENGTH else FinishReason.CANCELLED
