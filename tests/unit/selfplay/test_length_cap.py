"""The length cap: it follows what is solved, and only where enough was tried to know."""

import pytest

from tina_azr.config import SelfplayConfig
from tina_azr.selfplay.length_cap import LengthCap

Tries = dict[tuple[str, int], tuple[int, int]]


def longest(tries: Tries, mode: str = "deduction", *, seed_length: int = 2, **settings: object) -> int:
    config = SelfplayConfig(**settings)  # type: ignore[arg-type]
    cap = LengthCap.of(tries, modes=("deduction", "abduction"), seed_length=seed_length, config=config)
    return max(length for length in range(50) if cap.allows(mode, length))


def test_before_any_try_a_task_may_be_one_step_longer_than_the_seeds() -> None:
    assert longest({}) == 3


def test_a_length_that_is_solved_often_enough_lets_the_next_one_in() -> None:
    assert longest({("deduction", 3): (20, 64), ("deduction", 4): (40, 64)}) == 5


@pytest.mark.parametrize(("correct", "expected"), [(20, 4), (19, 3)])
def test_the_rate_decides(correct: int, expected: int) -> None:
    assert longest({("deduction", 3): (correct, 64)}, length_cap=0.3) == expected


def test_a_few_lucky_tries_do_not_move_the_cap() -> None:
    assert longest({("deduction", 7): (24, 24)}) == 3


def test_modes_have_caps_of_their_own() -> None:
    tries: Tries = {("deduction", 5): (64, 64)}
    assert longest(tries, "deduction") == 6
    assert longest(tries, "abduction") == 3


def test_a_shorter_length_that_is_not_solved_does_not_pull_the_cap_down() -> None:
    assert longest({("deduction", 3): (0, 64), ("deduction", 4): (40, 64)}) == 5


def test_without_the_cap_every_length_is_allowed() -> None:
    assert longest({}, length_cap=None) == 49
