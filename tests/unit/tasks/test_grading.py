"""Verdicts of answers, and how little is run for them."""

from typing import Any

import pytest

from tina_azr.sandbox import Sandbox
from tina_azr.tasks.blocks import fence
from tina_azr.tasks.grading import grade
from tina_azr.tasks.types import Example, Task, Verdict

DOUBLE = "def f(x):\n    return abs(x) * 2"
DEDUCTION = Task(key="d", mode="deduction", program=DOUBLE, input="3", output="6")
ABDUCTION = Task(key="a", mode="abduction", program=DOUBLE, input="3", output="6")
INDUCTION = Task(
    key="i",
    mode="induction",
    program=DOUBLE,
    message="twice",
    visible=(Example(input="3", output="6"), Example(input="0", output="0")),
    hidden=(Example(input="-2", output="4"),),
)

CASES = {
    "right output": (DEDUCTION, fence("output", "6"), Verdict.CORRECT),
    "right output of another numeric type": (DEDUCTION, fence("output", "6.0"), Verdict.CORRECT),
    "last block counts": (DEDUCTION, fence("output", "5") + fence("output", " 6 "), Verdict.CORRECT),
    "wrong output": (DEDUCTION, fence("output", "7"), Verdict.WRONG),
    "number as text": (DEDUCTION, fence("output", "'6'"), Verdict.WRONG),
    "sum instead of its value": (DEDUCTION, fence("output", "3 * 2"), Verdict.MALFORMED),
    "no block": (DEDUCTION, "6", Verdict.MALFORMED),
    "no answer": (DEDUCTION, None, Verdict.MALFORMED),
    "endless answer": (DEDUCTION, fence("output", "6" * 70_000), Verdict.MALFORMED),
    "the proposer's input": (ABDUCTION, fence("input", "3"), Verdict.CORRECT),
    "another input that does it": (ABDUCTION, fence("input", "-3"), Verdict.CORRECT),
    "wrong input": (ABDUCTION, fence("input", "4"), Verdict.WRONG),
    "too many arguments": (ABDUCTION, fence("input", "3, 3"), Verdict.WRONG),
    "input that raises": (ABDUCTION, fence("input", "'a'"), Verdict.WRONG),
    "input that is no list of literals": (ABDUCTION, fence("input", "x = 3"), Verdict.MALFORMED),
    "the program itself": (INDUCTION, fence("python", DOUBLE), Verdict.CORRECT),
    "another program that does it": (INDUCTION, fence("python", "def f(n):\n    return max(n, -n) + abs(n)"), Verdict.CORRECT),
    "fails on a hidden pair": (INDUCTION, fence("python", "def f(x):\n    return x * 2"), Verdict.WRONG),
    "fails on a visible pair": (INDUCTION, fence("python", "def f(x):\n    return 4 if x == -2 else 6"), Verdict.WRONG),
    "raises": (INDUCTION, fence("python", "def f(x):\n    return x[0]"), Verdict.WRONG),
    "defines another function": (INDUCTION, fence("python", "def g(x):\n    return abs(x) * 2"), Verdict.WRONG),
    "result of another type": (INDUCTION, fence("python", "def f(x):\n    return str(abs(x) * 2)"), Verdict.WRONG),
    "result that is no literal": (INDUCTION, fence("python", "def f(x):\n    return object()"), Verdict.WRONG),
    "against the policy": (INDUCTION, fence("python", "import os\n" + DOUBLE), Verdict.MALFORMED),
    "program without a block": (INDUCTION, DOUBLE, Verdict.MALFORMED),
}


@pytest.mark.parametrize("case", CASES)
def test_verdicts(case: str, sandbox: Sandbox) -> None:
    task, answer, expected = CASES[case]
    assert grade(sandbox, [(task, [answer])]) == [[expected]]


def test_verdicts_come_back_in_the_order_of_groups_and_answers(fake: Any) -> None:
    answers = [fence("output", "6"), None, fence("output", "7")]
    inputs = [fence("input", "4"), fence("input", "-3")]
    assert grade(fake, [(ABDUCTION, inputs), (DEDUCTION, answers), (ABDUCTION, inputs[:1])]) == [
        [Verdict.WRONG, Verdict.CORRECT],
        [Verdict.CORRECT, Verdict.MALFORMED, Verdict.WRONG],
        [Verdict.WRONG],
    ]


def test_deduction_runs_nothing(fake: Any) -> None:
    grade(fake, [(DEDUCTION, [fence("output", str(n)) for n in range(8)])])
    assert fake.runs == []


def test_what_is_known_to_be_right_is_not_run(fake: Any) -> None:
    grade(fake, [(ABDUCTION, [fence("input", "3")]), (INDUCTION, [fence("python", DOUBLE)])])
    assert fake.runs == []


def test_equal_answers_are_run_once(fake: Any) -> None:
    program = fence("python", "def f(x):\n    return x")
    grade(fake, [(ABDUCTION, [fence("input", "5"), fence("input", " 5"), fence("input", "5")]), (INDUCTION, [program] * 8)])
    assert len(fake.runs) == 1 + 3


def test_a_step_is_graded_in_a_few_batches_however_many_answers(fake: Any) -> None:
    groups = [
        (
            Task(key=f"{mode}{n}", mode=mode, program=f"{DOUBLE} + {n}", input="3", output=str(6 + n)),
            [fence(tag, str(i)) for i in range(8)],
        )
        for mode, tag in (("deduction", "output"), ("abduction", "input"))
        for n in range(14)
    ]
    groups += [(INDUCTION, [fence("python", f"def f(x):\n    return x + {n}") for n in range(8)])]
    grade(fake, groups)
    assert fake.batches == 4


def test_answers_of_different_tasks_are_not_mixed(fake: Any) -> None:
    other = Task(key="e", mode="deduction", program=DOUBLE, input="4", output="8")
    answer = [fence("output", "8")]
    assert grade(fake, [(DEDUCTION, answer), (other, answer)]) == [[Verdict.WRONG], [Verdict.CORRECT]]
