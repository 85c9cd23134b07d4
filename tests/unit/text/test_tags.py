"""Tests of the tag scanner: it agrees with a simple loop in Python."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tina_azr.text.tags import Ids, Span, TagStream, count_think_tokens, find_spans, last_close, reasoning_length

OPEN, CLOSE = 1, 2
IDS = st.lists(st.integers(0, 4), max_size=40)


def loop_spans(ids: Sequence[int], start_inside: bool) -> list[Span]:
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
def test_spans_equal_those_of_a_loop(ids: list[int], start_inside: bool, dtype: type) -> None:
    found = find_spans(np.array(ids, dtype=dtype), OPEN, CLOSE, start_inside=start_inside)
    assert found == loop_spans(ids, start_inside)


@given(st.lists(IDS, max_size=6), st.booleans(), st.sampled_from([np.int32, np.int64]), st.sampled_from([np.int32, np.int64]))
def test_counts_are_the_summed_lengths_of_the_spans(
    rows: list[list[int]], start_inside: bool, dtype: type, offset_dtype: type
) -> None:
    expected = [sum(span.stop - span.start for span in loop_spans(row, start_inside)) for row in rows]
    arrays: list[Ids] = [np.array(row, dtype=dtype) for row in rows]
    assert count_think_tokens(arrays, OPEN, CLOSE, start_inside=start_inside) == expected
    flat = np.concatenate([np.array([], dtype), *arrays])
    offsets: Ids = np.cumsum([0, *map(len, rows)], dtype=offset_dtype)
    assert count_think_tokens(flat, OPEN, CLOSE, offsets=offsets, start_inside=start_inside) == expected


@given(IDS, st.sampled_from([np.int32, np.int64]))
def test_reasoning_length_is_the_position_of_the_first_closing_tag(ids: list[int], dtype: type) -> None:
    expected = ids.index(CLOSE) if CLOSE in ids else len(ids)
    assert reasoning_length(np.array(ids, dtype=dtype), CLOSE) == expected


@given(IDS, st.sampled_from([np.int32, np.int64]))
def test_last_close_is_the_position_of_the_last_closing_tag(ids: list[int], dtype: type) -> None:
    expected = max((position for position, one in enumerate(ids) if one == CLOSE), default=-1)
    assert last_close(np.array(ids, dtype=dtype), CLOSE) == expected


def test_reasoning_that_is_opened_again_is_not_counted_in_reasoning_length() -> None:
    assert reasoning_length(np.array([7, 8, CLOSE, 9, OPEN, 7, 7, CLOSE]), CLOSE) == 2


def test_a_completion_of_a_thinking_model_has_only_the_closing_tag() -> None:
    assert find_spans(np.array([7, 8, CLOSE, 9]), OPEN, CLOSE) == [Span(0, 2, True)]


def test_float_ids_are_refused() -> None:
    with pytest.raises(TypeError, match="int32 or int64"):
        find_spans(np.array([1.0]), OPEN, CLOSE)


def test_a_non_contiguous_array_is_refused() -> None:
    with pytest.raises(TypeError, match="contiguous"):
        find_spans(np.arange(10)[::2], OPEN, CLOSE)


def test_a_tag_outside_the_range_of_the_ids_is_refused() -> None:
    with pytest.raises(ValueError, match="int32"):
        find_spans(np.zeros(3, np.int32), OPEN, 1 << 40)


def test_rows_may_mix_int32_and_int64() -> None:
    rows: list[Ids] = [np.array([7, CLOSE], np.int32), np.array([7, 8, 9], np.int64), np.array([], np.int64)]
    assert count_think_tokens(rows, OPEN, CLOSE) == [1, 3, 0]


def test_a_two_dimensional_array_is_counted_by_row() -> None:
    assert count_think_tokens(np.array([[7, CLOSE, 8], [7, 8, CLOSE]]), OPEN, CLOSE) == [1, 2]


def test_read_only_ids_are_accepted() -> None:
    ids = np.array([7, 8, CLOSE])
    ids.flags.writeable = False
    assert find_spans(ids, OPEN, CLOSE) == [Span(0, 2, True)]


@pytest.mark.parametrize("offsets", [[], [0], [1, 3], [0, 2], [0, 4], [0, 2, 1, 3], [0, -1, 3]])
def test_invalid_offsets_are_refused(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="offsets must begin with 0"):
        count_think_tokens(np.array([7, 8, 9]), OPEN, CLOSE, offsets=np.array(offsets, np.int64))


def test_offsets_are_required_for_a_flat_array_and_refused_for_rows() -> None:
    with pytest.raises(TypeError, match="needs offsets"):
        count_think_tokens(np.array([7, CLOSE]), OPEN, CLOSE)
    with pytest.raises(TypeError, match="leave the offsets out"):
        count_think_tokens([np.array([7, CLOSE])], OPEN, CLOSE, offsets=np.array([0, 2]))


@given(st.lists(IDS, max_size=6), st.booleans(), st.sampled_from([np.int32, np.int64]))
def test_a_stream_in_pieces_counts_like_the_whole(pieces: list[list[int]], start_inside: bool, dtype: type) -> None:
    stream = TagStream(OPEN, CLOSE, start_inside)
    seen: list[int] = []
    for piece in pieces:
        seen += piece
        spans = loop_spans(seen, start_inside)
        assert stream.feed(np.array(piece, dtype)) == stream.think_tokens == sum(span.stop - span.start for span in spans)
        assert stream.inside == (bool(spans) and not spans[-1].closed)
