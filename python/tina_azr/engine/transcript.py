"""Transcript of one completion, token by token: it splits reasoning from answer and decides which text may be sent.

Parsing uses token ids, so quoted tags stay text. A tag id inside the answer is flagged as a leak, and the text that it opens is not
sent. The pieces that a stream has sent always join to exactly the answer of the finished `Generation`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tina_azr.engine.types import ThinkStop
from tina_azr.introspection.introspector import reasoning_extras
from tina_azr.introspection.types import BudgetDecision
from tina_azr.text.chat import ChatTokenizer


class Transcript:
    """Incremental parser of one completion: push tokens, get text."""

    def __init__(self, tokenizer: ChatTokenizer, *, visible: bool, stop: Sequence[str], keep_logprobs: bool) -> None:
        self._tokenizer = tokenizer
        self._visible = visible
        self._stop = tuple(stop)
        self._longest_stop = max(map(len, stop), default=0)
        self._keep_logprobs = keep_logprobs
        self._reasoning_decoder = tokenizer.stream_decoder()
        self._answer_decoder = tokenizer.stream_decoder()
        self._reasoning: list[str] = []
        self._answer: list[str] = []
        self._held = ""
        """Answer text that is held back: it may be the start of a stop string, or line ends at the very end."""
        self._think_logprobs: list[float] = []
        self._think_forced: list[bool] = []
        self._reopened = False
        self.think_tokens = 0
        """Sampled think tokens. The sentence that closes the reasoning by force does not count."""
        self.answer_tokens = 0
        self.closed = False
        self.forced_close = False
        self.leak = False
        self.stopped = False
        """A stop string was found; later text is dropped."""
        self.logprobs: list[tuple[int, str, float]] = []
        self.answer_now_requested = False
        """A client has called `answer_now`."""

    def push(self, token: int, logprob: float, forced: bool) -> tuple[str, str]:
        """Add one token. Return new reasoning text (empty if hidden) and new answer text that may be sent."""
        if not self.closed:
            return self._push_reasoning(token, logprob, forced), ""
        if forced or token in self._tokenizer.stop_ids:
            return "", ""
        return "", self._push_answer(token, logprob)

    def _push_reasoning(self, token: int, logprob: float, forced: bool) -> str:
        self.forced_close |= forced
        if token == self._tokenizer.think_close_id:
            self.closed = True
            return self._keep(self._reasoning_decoder.flush())
        if token in self._tokenizer.stop_ids:
            return ""
        # Forced closing tokens do not count, so the number of think tokens never exceeds the think limit.
        self.think_tokens += not forced
        self._think_logprobs.append(logprob)
        self._think_forced.append(forced)
        return self._keep(self._reasoning_decoder.push(token)) if self._visible else ""

    def _keep(self, text: str) -> str:
        if self._visible:
            self._reasoning.append(text)
        return text if self._visible else ""

    def _push_answer(self, token: int, logprob: float) -> str:
        if token in (self._tokenizer.think_open_id, self._tokenizer.think_close_id):
            self.leak = True
            self._reopened = token == self._tokenizer.think_open_id
            return ""
        if self._reopened or self.stopped:
            return ""
        self.answer_tokens += 1
        text = self._answer_decoder.push(token)
        if self._keep_logprobs:
            self.logprobs.append((token, self._tokenizer.decode([token]), logprob))
        return self._release(text)

    def _release(self, text: str, *, last: bool = False) -> str:
        """Return the part of the held text and `text` that cannot change any more."""
        held = self._held + text
        if not self._answer:
            held = held.lstrip("\n")
        found = [(held.index(stop) + len(stop), held.index(stop)) for stop in self._stop if stop in held]
        if found:
            # Choose the stop string that was complete first, however the text was tokenized.
            self.stopped, held = True, held[: min(found)[1]]
        if last or self.stopped:
            sent, self._held = held.rstrip("\n"), ""
        else:
            keep = max(
                (size for size in range(1, min(len(held) + 1, self._longest_stop)) if self._may_stop(held[-size:])), default=0
            )
            body = held[: len(held) - keep].rstrip("\n")
            sent, self._held = body, held[len(body) :]
        if sent:
            self._answer.append(sent)
        return sent

    def _may_stop(self, tail: str) -> bool:
        return any(stop.startswith(tail) for stop in self._stop)

    def finish(self) -> str:
        """Return the last text of the answer, to be sent before `Finished`."""
        if not self.closed:
            self._keep(self._reasoning_decoder.flush())
            return ""
        return "" if self.stopped else self._release(self._answer_decoder.flush(), last=True)

    @property
    def answer(self) -> str:
        """Answer so far."""
        return "".join(self._answer)

    @property
    def reasoning(self) -> str | None:
        """Reasoning so far; None if it is hidden."""
        return "".join(self._reasoning).strip("\n") if self._visible else None

    def extras(self) -> NDArray[np.float32]:
        """Return the features that the heads get in addition to the states at `</think>`."""
        return reasoning_extras(np.array(self._think_logprobs, dtype=np.float32), np.array(self._think_forced, dtype=np.bool_))

    def think_stop(self, decision: BudgetDecision) -> ThinkStop:
        """Return why the reasoning ended."""
        if not self.closed:
            return ThinkStop.UNFINISHED
        if self.forced_close:
            return ThinkStop.ANSWER_NOW if self.answer_now_requested else ThinkStop.THINK_LIMIT
        return ThinkStop.CLOSED if self.think_tokens <= decision.budget else ThinkStop.SLACK


def count_tagged_tokens(tokenizer: ChatTokenizer, ids: Sequence[int], names: Sequence[str]) -> dict[str, int]:
    """Count, for each name, the tokens between its opening tag and the next closing tag, or the end without one.

    Tokens of the tags themselves do not count. An opening tag inside its own span is ignored.
    """
    if not names:
        return {}
    decoder = tokenizer.stream_decoder()
    starts, text = [], ""
    for index in ids:
        starts.append(len(text))
        text += decoder.push(index)
    text += decoder.flush()
    return {name: _count(text, starts, name) for name in names}


def _count(text: str, starts: Sequence[int], name: str) -> int:
    total, at = 0, 0
    while (opened := text.find(f"<{name}>", at)) >= 0:
        begin = opened + len(name) + 2
        end = text.find(f"</{name}>", begin)
        stop = len(text) if end < 0 else end
        total += sum(begin <= start < stop for start in starts)
        at = stop + len(name) + 3
    return total
