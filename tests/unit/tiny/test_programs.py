"""The generator: exact numbers of steps, inputs that fit, and no example that shows a held-out task."""

from random import Random

import pytest

from tina_azr.sandbox import Sandbox
from tina_azr.tasks.blocks import find_blocks
from tina_azr.tasks.grading import grade
from tina_azr.tasks.identity import program_length
from tina_azr.tasks.types import Verdict
from tina_azr.tiny.examples import PAIRS, draw_worked, example_chunk, solver_example
from tina_azr.tiny.programs import draw_program
from tina_azr.tiny.tracing import TRACING_LIMITS, trace_calls


@pytest.fixture(scope="module")
def tracing_sandbox():
    with Sandbox(limits=TRACING_LIMITS, workers=1) as sandbox:
        yield sandbox


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 6])
def test_a_program_has_as_many_steps_as_asked(steps: int) -> None:
    random = Random(steps)
    for _ in range(200):
        program = draw_program(random, (steps,))
        assert len(program.steps) == steps
        assert program_length(program.source) == steps, program.source


def test_a_shortened_program_still_runs(tracing_sandbox: Sandbox) -> None:
    random = Random(5)
    programs = [draw_program(random, (1, 2, 3)).without_last_step().source for _ in range(100)]
    inputs = {"x": "3", "x, y": "3, 4", "a": "[1, 2, 3]", "s": "'abc'"}
    calls = [(source, inputs[source[len("def f(") : source.index(")")]]) for source in programs]
    assert all(trace is not None for trace in trace_calls(tracing_sandbox, calls))


def test_forward_trace_puts_values_in(tracing_sandbox: Sandbox) -> None:
    source = "def f(x):\n    x = x - 6\n    if x > 3:\n        x = x * 2\n    return x"
    (trace,) = trace_calls(tracing_sandbox, [(source, "18")])
    assert trace is not None
    assert trace.output == "24"
    assert trace.forward == "x = 18 - 6 -> 12\nif 12 > 3 -> True\nx = 12 * 2 -> 24\nreturn 24"
    assert trace.backward == "24 = x * 2 <- 12\nif x > 3:\n12 = x - 6 <- 18"


def test_a_comprehension_is_one_line_of_a_trace(tracing_sandbox: Sandbox) -> None:
    source = "def f(a):\n    a = [v * 2 for v in a]\n    return sum(a)"
    (trace,) = trace_calls(tracing_sandbox, [(source, "[1, 2]")])
    assert trace is not None
    assert trace.forward == "a = [v * 2 for v in [1, 2]] -> [2, 4]\nreturn sum([2, 4]) -> 6"
    assert trace.backward == "6 = sum(a) <- [2, 4]\n[2, 4] = [v * 2 for v in a] <- [1, 2]"


def test_a_raising_program_has_no_trace(tracing_sandbox: Sandbox) -> None:
    assert trace_calls(tracing_sandbox, [("def f(a):\n    return max(a)", "[]")]) == [None]


def test_every_reference_answer_is_graded_correct(tracing_sandbox: Sandbox) -> None:
    random = Random(8)
    groups, kinds = [], []
    for mode in ("deduction", "abduction", "induction"):
        for worked in draw_worked(random, tracing_sandbox, (1, 2, 3), [PAIRS] * 40):
            if worked is not None:
                example = solver_example(mode, worked, "", skip_steps=mode == "abduction")
                groups.append((worked.task(mode), [example.completion.split("</think>\n\n")[1]]))
                kinds.append(mode)
    with Sandbox() as judge:
        verdicts = grade(judge, groups)
    assert {mode: kinds.count(mode) > 30 for mode in kinds} == dict.fromkeys(("deduction", "abduction", "induction"), True)
    assert [verdict for (verdict,) in verdicts] == [Verdict.CORRECT] * len(groups)


def test_no_example_shows_a_held_out_task(tracing_sandbox: Sandbox) -> None:
    free = example_chunk(1, 0, tracing_sandbox, (1, 2), frozenset())
    random = Random("1/0")
    worked = [one for one in draw_worked(random, tracing_sandbox, (1, 2), [1] * 400) if one is not None]
    banned = frozenset(one.key("deduction") for one in worked)
    kept = example_chunk(1, 0, tracing_sandbox, (1, 2), banned)
    assert len(kept) < len(free)


def test_a_chunk_is_the_same_every_time(tracing_sandbox: Sandbox) -> None:
    assert example_chunk(3, 7, tracing_sandbox, (1, 2, 3), frozenset()) == example_chunk(
        3, 7, tracing_sandbox, (1, 2, 3), frozenset()
    )


def test_skipping_steps_shortens_thoughts_but_not_induction(tracing_sandbox: Sandbox) -> None:
    full = example_chunk(4, 0, tracing_sandbox, (3,), frozenset())
    short = example_chunk(4, 0, tracing_sandbox, (3,), frozenset(), skip_share=1.0)
    for one, other in zip(full, short, strict=True):
        assert one.prompt == other.prompt
        if one.kind == "solver" and one.mode != "induction":
            assert len(other.completion) <= len(one.completion)
            block = "output" if one.mode == "deduction" else "input"
            assert find_blocks(other.completion, block) == find_blocks(one.completion, block)
        else:
            assert one.completion == other.completion
