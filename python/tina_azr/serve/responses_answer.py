"""Events of a run as `/v1/responses` streams them: each block has a name and a number, and an item opens, grows and closes."""

from collections.abc import Iterable, Iterator, Mapping

from tina_azr.engine.types import Answering, Event, Failed, Finished, Generation, Started, Thinking, ThoughtEnded
from tina_azr.serve.event_stream import block
from tina_azr.serve.introspection import Tina, at_start, at_thought_end
from tina_azr.serve.responses_wire import (
    ResponseObject,
    finished_response,
    message_item,
    output_text,
    reasoning_item,
    response_object,
)
from tina_azr.serve.run import Run
from tina_azr.serve.types import ServedModel


class ResponsesTeller:
    """The blocks of a stream."""

    def __init__(self, run: Run, model: ServedModel, created: int) -> None:
        self._run = run
        self._model = model
        self._created = created
        self._number = -1
        self._position = -1
        """Of the newest output item."""
        self._thought: str | None = None
        """So far; None: none is shown, or it is closed."""
        self._answer: str | None = None
        """So far; None: it has not begun."""

    def opening(self) -> Iterator[str]:
        yield self._block("response.created", {"response": self._response()})

    def tell(self, event: Event) -> Iterator[str]:
        match event:
            case Started():
                yield self._block("response.in_progress", {"response": {**self._response(), "tina": at_start(event, self._model)}})
            case Thinking(text=text):
                if text and self._run.request.visible:
                    yield from self._think(text)
            case ThoughtEnded():
                yield from self._close_thought(at_thought_end(event))
            case Answering(text=text):
                if text:
                    yield from self._say(text)
            case Finished(generation=generation):
                yield from self._finish(generation)
            case Failed(message=message):
                response = self._response(status="failed")
                response["error"] = {"code": "server_error", "message": message}
                yield self._block("response.failed", {"response": response})

    def closing(self) -> Iterable[str]:
        return ()

    def _think(self, text: str) -> Iterator[str]:
        if self._thought is None:
            self._thought = ""
            self._position += 1
            item = reasoning_item(self._run, None, status="in_progress")
            yield self._block("response.output_item.added", {"output_index": self._position, "item": item})
        self._thought += text
        yield self._block("response.reasoning_text.delta", {**self._place(f"rs_{self._run.id}"), "delta": text})

    def _close_thought(self, tina: Tina) -> Iterator[str]:
        if self._thought is not None:
            yield self._block("response.reasoning_text.done", {**self._place(f"rs_{self._run.id}"), "text": self._thought})
            item = reasoning_item(self._run, self._thought)
            yield self._block("response.output_item.done", {"output_index": self._position, "item": item})
            self._thought = None
        yield self._block("response.in_progress", {"response": {**self._response(), "tina": tina}})

    def _say(self, text: str) -> Iterator[str]:
        if self._answer is None:
            yield from self._open_answer()
        self._answer = (self._answer or "") + text
        yield self._block("response.output_text.delta", {**self._place(f"msg_{self._run.id}"), "delta": text, "logprobs": []})

    def _open_answer(self) -> Iterator[str]:
        self._answer = ""
        self._position += 1
        item = message_item(self._run, None, status="in_progress")
        yield self._block("response.output_item.added", {"output_index": self._position, "item": item})
        yield self._block("response.content_part.added", {**self._place(f"msg_{self._run.id}"), "part": output_text("")})

    def _finish(self, generation: Generation) -> Iterator[str]:
        response = finished_response(self._run, self._model, self._created, generation)
        if self._thought is not None:
            # It ended inside the thought.
            yield self._block("response.reasoning_text.done", {**self._place(f"rs_{self._run.id}"), "text": self._thought})
            item = reasoning_item(self._run, self._thought, status="incomplete")
            yield self._block("response.output_item.done", {"output_index": self._position, "item": item})
        if self._answer is None:
            yield from self._open_answer()
        place = self._place(f"msg_{self._run.id}")
        yield self._block("response.output_text.done", {**place, "text": generation.answer, "logprobs": []})
        yield self._block("response.content_part.done", {**place, "part": output_text(generation.answer)})
        yield self._block("response.output_item.done", {"output_index": self._position, "item": response["output"][-1]})
        yield self._block(f"response.{response['status']}", {"response": response})

    def _response(self, *, status: str = "in_progress") -> ResponseObject:
        return response_object(self._run, self._model, self._created, status=status)

    def _place(self, item: str) -> dict[str, object]:
        return {"item_id": item, "output_index": self._position, "content_index": 0}

    def _block(self, name: str, fields: Mapping[str, object]) -> str:
        self._number += 1
        return block({"type": name, "sequence_number": self._number, **fields}, name)
