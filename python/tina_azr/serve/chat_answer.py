"""Events of a run as `/v1/chat/completions` says them: one object at the end, or chunks on the way."""

import time
from collections.abc import Iterable, Iterator, Sequence

from tina_azr.engine.types import Answering, Event, Failed, Finished, Generation, Started, Thinking, ThoughtEnded
from tina_azr.serve.chat_wire import (
    FINISH,
    ChatChunk,
    ChatCompletion,
    Choice,
    ChunkChoice,
    Delta,
    Logprobs,
    assistant_message,
    logprobs,
    usage,
)
from tina_azr.serve.event_stream import block
from tina_azr.serve.introspection import Tina, at_end, at_start, at_thought_end
from tina_azr.serve.run import Run
from tina_azr.serve.types import ServedModel, failed

SECONDS_BETWEEN_COUNTS = 0.1
"""A hidden thought says how long it is no more often than this."""


def chat_completion(run: Run, generations: Sequence[Generation], model: ServedModel, created: int) -> ChatCompletion:
    """The whole response. Its `tina` is the first choice's; where there are several, each has its own."""
    tinas = [at_end(generation, run, model) for generation in generations]
    choices: list[Choice] = [
        {
            "index": generation.index,
            "message": assistant_message(generation, visible=run.request.visible),
            "logprobs": logprobs(generation.answer_logprobs),
            "finish_reason": FINISH[generation.finish_reason],
        }
        for generation in generations
    ]
    if len(choices) > 1:
        for choice, tina in zip(choices, tinas, strict=True):
            choice["tina"] = tina
    return {
        "id": run.id,
        "object": "chat.completion",
        "created": created,
        "model": model.name,
        "choices": choices,
        "usage": usage(generations),
        "tina": tinas[0],
    }


class ChatTeller:
    """The chunks of a stream."""

    def __init__(self, run: Run, model: ServedModel, created: int, *, include_usage: bool) -> None:
        self._run = run
        self._model = model
        self._created = created
        self._include_usage = include_usage
        self._generations: list[Generation] = []
        self._counted: dict[int, float] = {}

    def opening(self) -> Iterable[str]:
        return ()

    def tell(self, event: Event) -> Iterator[str]:
        match event:
            case Started():
                for index in range(self._run.request.n):
                    yield self._chunk(index, {"role": "assistant", "content": ""}, tina=at_start(event, self._model))
            case Thinking():
                yield from self._thinking(event)
            case ThoughtEnded():
                yield self._chunk(event.index, {}, tina=at_thought_end(event))
            case Answering():
                if event.text or event.logprobs:
                    tokens = logprobs(event.logprobs) if self._run.request.logprobs else None
                    yield self._chunk(event.index, {"content": event.text}, tokens=tokens)
            case Finished(generation=generation):
                self._generations.append(generation)
                tina = at_end(generation, self._run, self._model)
                yield self._chunk(generation.index, {}, finish=FINISH[generation.finish_reason], tina=tina)
            case Failed(message=message):
                yield block(failed(message).body())

    def closing(self) -> Iterator[str]:
        if self._include_usage and self._generations:
            yield block({**self._frame([]), "usage": usage(self._generations)})
        yield "data: [DONE]\n\n"

    def _thinking(self, event: Thinking) -> Iterator[str]:
        delta: Delta = {}
        if event.text and self._run.request.visible:
            delta = {"reasoning_content": event.text, "reasoning": event.text}
        now = time.monotonic()
        if delta or now - self._counted.get(event.index, 0.0) >= SECONDS_BETWEEN_COUNTS:
            self._counted[event.index] = now
            yield self._chunk(event.index, delta, tina={"used": event.think_tokens})

    def _chunk(
        self, index: int, delta: Delta, *, tina: Tina | None = None, tokens: Logprobs | None = None, finish: str | None = None
    ) -> str:
        chunk = self._frame([{"index": index, "delta": delta, "logprobs": tokens, "finish_reason": finish}])
        if tina is not None:
            chunk["tina"] = tina
        return block(chunk)

    def _frame(self, choices: list[ChunkChoice]) -> ChatChunk:
        chunk: ChatChunk = {
            "id": self._run.id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model.name,
            "choices": choices,
        }
        if self._include_usage:
            chunk["usage"] = None
        return chunk
