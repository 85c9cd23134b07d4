"""Fenced blocks in answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tina_azr.tasks.blocks import fence, find_blocks

BODIES = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="`\r\n")).map(str.strip)


@given(st.lists(BODIES.filter(bool), min_size=1, max_size=3).map("\n".join), st.sampled_from(["python", "input", "output"]))
def test_what_is_fenced_is_found(body: str, tag: str) -> None:
    assert find_blocks("Thus:\n" + fence(tag, body) + "done", tag) == [body]


def test_blocks_of_a_kind_are_found_in_order_among_others() -> None:
    answer = fence("input", "1") + fence("message", "add") + fence("input", "2")
    assert find_blocks(answer, "input") == ["1", "2"]


def test_the_final_newline_of_an_answer_may_be_missing() -> None:
    assert find_blocks("```output\n[1, 2]\n```", "output") == ["[1, 2]"]


def test_a_block_that_is_not_closed_is_none() -> None:
    assert find_blocks("```output\n5", "output") == []


def test_an_opening_fence_does_not_close_a_block() -> None:
    assert find_blocks("```output\n5\n```output\n6\n```", "output") == ["5\n```output\n6"]


@pytest.mark.parametrize("tag", ["out", "outputs", "Output"])
def test_a_tag_is_matched_whole(tag: str) -> None:
    assert find_blocks(fence(tag, "5"), "output") == []


def test_indentation_of_a_program_is_kept() -> None:
    program = "def f(x):\n\n    return x"
    assert find_blocks(fence("python", program), "python") == [program]
