"""Tag spans and think tokens in arrays of token ids: thin over the scanner in Rust, which reads the arrays where they lie.

Qwen3-Thinking's prompts end inside an open thought, so a completion has only the closing tag: `start_inside` says so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tina_azr import _native
from tina_azr._native import TagStream

__all__ = ["Ids", "Span", "TagStream", "count_think_tokens", "find_spans"]

Ids = NDArray[np.int32] | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Span:
    """`ids[start:stop]` lies between the tags, which are not part of it."""

    start: int
    stop: int
    closed: bool
    """False where the ids end inside the span."""


def find_spans(ids_T: Ids, open_id: int, close_id: int, *, start_inside: bool = True) -> list[Span]:
    """All spans of one sequence, in order. An opening tag inside a span is content.

    Raises TypeError for ids that are neither int32 nor int64, and for an array with gaps.
    """
    return [Span(*span) for span in _native.find_spans(ids_T, open_id, close_id, start_inside)]


def count_think_tokens(
    ids: Ids | Sequence[Ids], open_id: int, close_id: int, *, offsets: Ids | None = None, start_inside: bool = True
) -> list[int]:
    """Ids inside spans, for each row of a ragged batch; the tags themselves are not counted.

    A batch is a sequence of arrays, which are joined, or one flat array with `offsets`, which is read where it lies: row i is
    `ids[offsets[i]:offsets[i + 1]]`. Raises ValueError for offsets that do not begin with 0, fall, or end elsewhere than the ids do.
    """
    if offsets is not None:
        if not isinstance(ids, np.ndarray):
            raise TypeError("offsets cut one flat array into rows, and these ids are a sequence of rows: leave the offsets out")
        return _native.count_think_tokens(ids, offsets, open_id, close_id, start_inside)
    if isinstance(ids, np.ndarray) and ids.ndim == 1:
        raise TypeError("one flat array needs offsets that cut it into rows; for a single row, give a list that holds it")
    rows = list(ids)
    if not rows:
        return []
    ends = np.concatenate([[0], np.cumsum([len(row) for row in rows])])
    return _native.count_think_tokens(np.concatenate(rows), ends, open_id, close_id, start_inside)
