"""Spans and think tokens, against a loop that anyone can check."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tina_azr.text.tags import Ids, Span, TagStream, count_think_tokens, find_spans

OPEN, CLOSE = 1, 2
IDS = st.lists(st.integers(0, 4), max_size=40)


def spans_by_hand(ids: Sequence[int], start_inside: bool) -> list[Span]:
    spans, start = [], 0 if start_inside else None
    for position, one in enumerate(ids):
        if start is None and one == OPEN:
            start = position + 1
        elif start is not None and one == CLOSE:
            spans.append(Span(start, position, True))
            start = None
    if start is not None:
        spans.append(Span(start, len(ids), False))
    return spans


@given(IDS, st.booleans(), st.sampled_from([np.int32, np.int64]))
def test_spans_are_those_of_the_loop(ids: list[int], start_inside: bool, dtype: type) -> None:
    found = find_spans(np.array(ids, dtype=dtype), OPEN, CLOSE, start_inside=start_inside)
    assert found == spans_by_hand(ids, start_inside)


@given(st.lists(IDS, max_size=6), st.booleans(), st.sampled_from([np.int32, np.int64]), st.sampled_from([np.int32, np.int64]))
def test_counts_are_the_lengths_of_the_spans(rows: list[list[int]], start_inside: bool, dtype: type, offset_dtype: type) -> None:
    by_hand = [sum(span.stop - span.start for span in spans_by_hand(row, start_inside)) for row in rows]
    arrays: list[Ids] = [np.array(row, dtype=dtype) for row in rows]
    assert count_think_tokens(arrays, OPEN, CLOSE, start_inside=start_inside) == by_hand
    flat = np.concatenate([np.array([], dtype), *arrays])
    offsets: Ids = np.cumsum([0, *map(len, rows)], dtype=offset_dtype)
    assert count_think_tokens(flat, OPEN, CLOSE, offsets=offsets, start_inside=start_inside) == by_hand


def test_a_completion_of_a_thinking_model_has_only_the_closing_tag() -> None:
    assert find_spans(np.array([7, 8, CLOSE, 9]), OPEN, CLOSE) == [Span(0, 2, True)]


def test_ids_of_another_type_are_refused() -> None:
    with pytest.raises(TypeError, match="int32 or int64"):
        find_spans(np.array([1.0]), OPEN, CLOSE)


def test_an_array_with_gaps_is_refused_rather_than_copied() -> None:
    with pytest.raises(TypeError, match="contiguous"):
        find_spans(np.arange(10)[::2], OPEN, CLOSE)


def test_a_tag_that_no_id_of_the_array_can_equal_is_refused() -> None:
    with pytest.raises(ValueError, match="int32"):
        find_spans(np.zeros(3, np.int32), OPEN, 1 << 40)


def test_rows_of_two_types_are_counted_together() -> None:
    rows: list[Ids] = [np.array([7, CLOSE], np.int32), np.array([7, 8, 9], np.int64), np.array([], np.int64)]
    assert count_think_tokens(rows, OPEN, CLOSE) == [1, 3, 0]


def test_rows_of_a_rectangle_are_rows() -> None:
    assert count_think_tokens(np.array([[7, CLOSE, 8], [7, 8, CLOSE]]), OPEN, CLOSE) == [1, 2]


def test_ids_that_cannot_be_written_to_are_read_all_the_same() -> None:
    ids = np.array([7, 8, CLOSE])
    ids.flags.writeable = False
    assert find_spans(ids, OPEN, CLOSE) == [Span(0, 2, True)]


@pytest.mark.parametrize("offsets", [[], [0], [1, 3], [0, 2], [0, 4], [0, 2, 1, 3], [0, -1, 3]])
def test_offsets_that_do_not_cut_the_ids_into_rows_are_refused(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="offsets must begin with 0"):
        count_think_tokens(np.array([7, 8, 9]), OPEN, CLOSE, offsets=np.array(offsets, np.int64))


def test_a_flat_array_and_a_sequence_of_rows_are_not_confused() -> None:
    with pytest.raises(TypeError, match="needs offsets"):
        count_think_tokens(np.array([7, CLOSE]), OPEN, CLOSE)
    with pytest.raises(TypeError, match="leave the offsets out"):
        count_think_tokens([np.array([7, CLOSE])], OPEN, CLOSE, offsets=np.array([0, 2]))


@given(st.lists(IDS, max_size=6), st.booleans(), st.sampled_from([np.int32, np.int64]))
def test_pieces_of_a_stream_count_as_the_whole(pieces: list[list[int]], start_inside: bool, dtype: type) -> None:
    stream = TagStream(OPEN, CLOSE, start_inside)
    seen: list[int] = []
    for piece in pieces:
        seen += piece
        spans = spans_by_hand(seen, start_inside)
        assert stream.feed(np.array(piece, dtype)) == stream.think_tokens == sum(span.stop - span.start for span in spans)
        assert stream.inside == (bool(spans) and not spans[-1].closed)
