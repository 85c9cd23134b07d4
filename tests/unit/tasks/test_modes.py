"""What every task type owes the rest: prompts that give nothing away, and parsers that refuse what was not asked for."""

import pytest

from tina_azr.errors import ConfigError
from tina_azr.tasks.blocks import fence
from tina_azr.tasks.modes import MODES
from tina_azr.tasks.types import Example, Reference, RejectReason, Task, TaskRejected
from tina_azr.text.style import PromptStyle

REFERENCE = Reference(program="def f(x):\n    return x + 1", input="71", output="72")
OTHER = Reference(program="def f(s):\n    return s.upper()", input="'abc'", output="'ABC'")
PROGRAM = "def f(x):\n    x = x * 31\n    return x - 7"
TASKS = {
    "deduction": Task(key="k", mode="deduction", program=PROGRAM, input="1234", output="38247"),
    "abduction": Task(key="k", mode="abduction", program=PROGRAM, input="1234", output="38247"),
    "induction": Task(
        key="k",
        mode="induction",
        program=PROGRAM,
        message="scale, then shift",
        visible=(Example(input="1234", output="38247"),),
        hidden=(Example(input="9871", output="305994"),),
    ),
}
GIVEN = {
    "deduction": [PROGRAM, "1234"],
    "abduction": [PROGRAM, "38247"],
    "induction": ["scale, then shift", "1234", "38247"],
}
SECRET = {
    "deduction": ["38247"],
    "abduction": ["1234"],
    "induction": ["x * 31", "9871", "305994"],
}
ANSWERS = {"deduction": ("output", "5"), "abduction": ("input", "3, [1]"), "induction": ("python", PROGRAM)}
STYLES = list(PromptStyle)


def reason(error: pytest.ExceptionInfo[TaskRejected]) -> RejectReason:
    return error.value.reason


def test_a_mode_is_listed_under_its_own_name() -> None:
    assert {name: mode.name for name, mode in MODES.items()} == {name: name for name in MODES}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", TASKS)
def test_the_solver_is_shown_what_it_needs_and_no_more(name: str, style: PromptStyle) -> None:
    prompt = MODES[name].solve_prompt(style, TASKS[name])
    assert [text for text in GIVEN[name] if text not in prompt] == []
    assert [text for text in SECRET[name] if text in prompt] == []


@pytest.mark.parametrize("extend", [False, True])
@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", TASKS)
def test_the_proposer_is_shown_the_reference(name: str, style: PromptStyle, extend: bool) -> None:
    assert REFERENCE.program in MODES[name].propose_prompt(style, [REFERENCE], extend=extend)


@pytest.mark.parametrize("name", ["deduction", "abduction"])
def test_the_worded_prompt_shows_every_reference_and_asks_for_the_blocks_that_are_parsed(name: str) -> None:
    prompt = MODES[name].propose_prompt(PromptStyle.FULL, [REFERENCE, OTHER], extend=False)
    assert REFERENCE.program in prompt and OTHER.program in prompt
    assert prompt.rstrip().endswith("```") and "```python" in prompt and "```input" in prompt


@pytest.mark.parametrize("name", TASKS)
def test_a_prompt_about_a_reference_says_so_when_there_is_none(name: str) -> None:
    with pytest.raises(ConfigError, match=r"tasks\.references"):
        MODES[name].propose_prompt(PromptStyle.COMPACT, [], extend=False)


@pytest.mark.parametrize("name", ["deduction", "abduction"])
def test_the_worded_prompt_does_without_references(name: str) -> None:
    assert "Known tasks" not in MODES[name].propose_prompt(PromptStyle.FULL, [], extend=False)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("name", ["deduction", "abduction"])
def test_extending_and_inventing_are_different_requests(name: str, style: PromptStyle) -> None:
    mode = MODES[name]
    assert mode.propose_prompt(style, [REFERENCE], extend=True) != mode.propose_prompt(style, [REFERENCE], extend=False)


def test_compact_prompts_are_byte_for_byte_those_of_the_warm_start() -> None:
    call = "```python\ndef f(x):\n    return x + 1\n```\n```input\n71\n```\n"
    task = TASKS["induction"]
    compact = PromptStyle.COMPACT
    assert [
        MODES["deduction"].propose_prompt(compact, [REFERENCE], extend=False),
        MODES["abduction"].propose_prompt(compact, [REFERENCE], extend=True),
        MODES["induction"].propose_prompt(compact, [REFERENCE], extend=False),
        MODES["deduction"].solve_prompt(compact, TASKS["deduction"]),
        MODES["abduction"].solve_prompt(compact, TASKS["abduction"]),
        MODES["induction"].solve_prompt(compact, task),
    ] == [
        f"Propose a new predict task.\nExample:\n{call}",
        f"Add a step to this find task.\nExample:\n{call}",
        "Propose inputs and a message.\n```python\ndef f(x):\n    return x + 1\n```\n",
        f"Predict the output.\n```python\n{PROGRAM}\n```\n```input\n1234\n```\n",
        f"Find an input.\n```python\n{PROGRAM}\n```\n```output\n38247\n```\n",
        "Write the function.\n```message\nscale, then shift\n```\n1234 -> 38247\n",
    ]


@pytest.mark.parametrize("name", ANSWERS)
def test_a_solver_answer_is_its_last_block(name: str) -> None:
    tag, body = ANSWERS[name]
    assert MODES[name].parse_answer(f"First I thought\n{fence(tag, 'draft')}but it is\n{fence(tag, body)}") == body


@pytest.mark.parametrize("name", ANSWERS)
def test_a_solver_answer_without_its_block_is_malformed(name: str) -> None:
    with pytest.raises(TaskRejected) as error:
        MODES[name].parse_answer("The answer is 5.")
    assert reason(error) is RejectReason.MALFORMED


@pytest.mark.parametrize("name", ["deduction", "abduction"])
def test_a_proposal_is_one_program_and_one_input(name: str) -> None:
    proposal = MODES[name].parse_proposal(fence("python", PROGRAM) + fence("input", "3"), [REFERENCE])
    assert (proposal.mode, proposal.program, proposal.inputs) == (name, PROGRAM, ("3",))


@pytest.mark.parametrize(
    "answer",
    [
        fence("python", PROGRAM),
        fence("input", "3"),
        fence("python", PROGRAM) + fence("input", "3") + fence("input", "4"),
        fence("python", PROGRAM) + fence("python", OTHER.program) + fence("input", "3"),
        "",
    ],
    ids=["no input", "no program", "two inputs", "two programs", "empty"],
)
def test_a_proposal_that_leaves_open_what_is_meant_is_malformed(answer: str) -> None:
    with pytest.raises(TaskRejected) as error:
        MODES["deduction"].parse_proposal(answer, [REFERENCE])
    assert reason(error) is RejectReason.MALFORMED


def test_the_same_block_written_twice_is_not_ambiguous() -> None:
    answer = (fence("python", PROGRAM) + fence("input", "3")) * 2
    assert MODES["deduction"].parse_proposal(answer, [REFERENCE]).inputs == ("3",)


def test_a_reference_retyped_with_other_names_is_no_proposal() -> None:
    copied = fence("python", "def f(value):\n    # one more\n    return value + 1") + fence("input", "3")
    with pytest.raises(TaskRejected) as error:
        MODES["abduction"].parse_proposal(copied, [OTHER, REFERENCE])
    assert reason(error) is RejectReason.DUPLICATE


def test_an_induction_proposal_is_about_the_program_it_was_shown() -> None:
    answer = "".join(fence("input", str(n)) for n in range(6)) + fence("message", "one more")
    proposal = MODES["induction"].parse_proposal(fence("python", PROGRAM) + answer, [REFERENCE])
    assert (proposal.program, proposal.inputs, proposal.message) == (REFERENCE.program, tuple("012345"), "one more")


@pytest.mark.parametrize(
    "answer",
    [
        fence("input", "1"),
        fence("message", "one more"),
        fence("input", "1") + fence("message", "one more") + fence("message", "or two"),
    ],
    ids=["no message", "no inputs", "two messages"],
)
def test_an_induction_proposal_needs_inputs_and_one_message(answer: str) -> None:
    with pytest.raises(TaskRejected) as error:
        MODES["induction"].parse_proposal(answer, [REFERENCE])
    assert reason(error) is RejectReason.MALFORMED
