"""Tag spans and think tokens in arrays of token ids. The scanner in Rust reads the arrays without a copy.

Prompts of Qwen3-Thinking end after `<think>`, so a completion has only the closing tag: `start_inside` says so. The decode
engine uses `reasoning_length`, and `ChatTokenizer.split` uses `last_close`. A stream that is shown token by token needs a state machine
instead (`engine.transcript`), because it also decodes text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tina_azr import _native
from tina_azr._native import TagStream

__all__ = ["Ids", "Span", "TagStream", "count_think_tokens", "find_spans", "last_close", "reasoning_length"]

Ids = NDArray[np.int32] | NDArray[np.int64]

_NO_ID = -1
"""An opening tag that does not occur."""


@dataclass(frozen=True, slots=True)
class Span:
    """The ids between two tags, `ids[start:stop]`. The tags are not part of it."""

    start: int
    stop: int
    closed: bool
    """False where the ids end inside the span."""


def find_spans(ids_T: Ids, open_id: int, close_id: int, *, start_inside: bool = True) -> list[Span]:
    """Return all spans of one sequence, in order. An opening tag inside a span is content.

    Raises TypeError for ids that are neither int32 nor int64, and for an array with gaps.
    """
    return [Span(*span) for span in _native.find_spans(ids_T, open_id, close_id, start_inside)]


def reasoning_length(ids_T: Ids, close_id: int) -> int:
    """Return how many ids come before the first closing tag; all of them if there is none.

    The result is also the position of the tag. Reasoning that is opened again in the answer does not count. Raises TypeError as
    `find_spans` does.
    """
    return _native.find_spans(ids_T, _NO_ID, close_id, True)[0][1]


def last_close(ids_T: Ids, close_id: int) -> int:
    """Return the position of the last closing tag; -1 if there is none. Raises TypeError as `find_spans` does."""
    # With the same id as opening tag, every closing tag is an end of some span.
    start, stop, closed = _native.find_spans(ids_T, close_id, close_id, True)[-1]
    return stop if closed else start - 1


def count_think_tokens(
    ids: Ids | Sequence[Ids], open_id: int, close_id: int, *, offsets: Ids | None = None, start_inside: bool = True
) -> list[int]:
    """Count the ids inside spans, for each row of a ragged batch. The tags themselves are not counted.

    A batch is a sequence of arrays, which are joined, or one flat array with `offsets`, which is read without a copy: row i is
    `ids[offsets[i]:offsets[i + 1]]`. Raises ValueError for offsets that do not begin with 0, that fall, or that do not end with the
    number of ids.
    """
    if offsets is not None:
        if not isinstance(ids, np.ndarray):
            raise TypeError("offsets cut one flat array into rows, but these ids are a sequence of rows: leave the offsets out")
        return _native.count_think_tokens(ids, offsets, open_id, close_id, start_inside)
    if isinstance(ids, np.ndarray) and ids.ndim == 1:
        raise TypeError("one flat array needs offsets that cut it into rows; for a single row, give a list that holds it")
    rows = list(ids)
    if not rows:
        return []
    ends = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return _native.count_think_tokens(np.concatenate(rows), ends, open_id, close_id, start_inside)
