"""Tasks on the real sandbox: the faults of the original executor that reach this layer, by their names, and the seeds."""

import os

import pytest

from tina_azr.config import TasksConfig
from tina_azr.sandbox import Sandbox
from tina_azr.tasks.blocks import fence
from tina_azr.tasks.grading import grade
from tina_azr.tasks.identity import task_key
from tina_azr.tasks.seeds import load_seeds
from tina_azr.tasks.types import Example, Proposal, RejectReason, Task, TaskRejected, Verdict
from tina_azr.tasks.validation import Validator
from tina_azr.text.style import PromptStyle


def call(program: str, given: str = "4") -> Proposal:
    return Proposal(mode="deduction", program=program, inputs=(given,))


def validated(sandbox: Sandbox, *proposals: Proposal) -> list[RejectReason | None]:
    settings = TasksConfig(max_repeats_of_structure=100)
    results = Validator(sandbox, settings).validate(proposals)
    return [result.reason if isinstance(result, TaskRejected) else None for result in results]


def graded(sandbox: Sandbox, task: Task, *answers: str) -> list[Verdict]:
    return grade(sandbox, [(task, answers)])[0]


def deduction(output: str) -> Task:
    return Task(key=output, mode="deduction", program="def f(x):\n    return x", input="1", output=output)


INDUCTION = Task(
    key="i",
    mode="induction",
    program="def f(x):\n    return x * 7",
    visible=(Example(input="1", output="7"),),
    hidden=(Example(input="2", output="14"), Example(input="5", output="35")),
)


def test_fault_e1_a_program_whose_second_run_differs_is_no_task(sandbox: Sandbox) -> None:
    # Where a new object lies may be the same in both images of a build; what `id` says never is.
    by_address = "def f(x):\n    return id(None) + x"
    by_hash = "def f(x):\n    return hash('a' * x)"
    assert validated(sandbox, call(by_address), call(by_hash)) == [RejectReason.NONDETERMINISTIC] * 2


def test_fault_e2_any_exception_is_a_failure_whatever_its_name(sandbox: Sandbox) -> None:
    raising = [f"class Odd(Exception):\n    pass\ndef f(x):\n    raise {kind}(x)" for kind in ("Exception", "Odd", "StopIteration")]
    assert validated(sandbox, *map(call, raising)) == [RejectReason.RAISES] * 3


def test_fault_e3_a_long_output_is_refused_and_never_cut(sandbox: Sandbox) -> None:
    proposals = [call("def f(x):\n    return 'a' * x", str(length)) for length in (78, 79, 400, 100_000)]
    too_long, limit = RejectReason.TOO_LONG, RejectReason.LIMIT
    assert validated(sandbox, *proposals) == [None, too_long, too_long, limit]


def test_fault_e4_a_result_in_the_order_of_a_set_is_no_task(sandbox: Sandbox) -> None:
    # Each build draws its hash seeds. Words may come in the same order under both; letters beside each other in the alphabet change places.
    program = "def f(text):\n    return ''.join(set(text))"
    assert validated(sandbox, call(program, "'abcdefghijklmnop'")) == [RejectReason.NONDETERMINISTIC]


def test_fault_e5_a_program_that_reaches_outside_is_refused(sandbox: Sandbox) -> None:
    outside = [
        "import os\ndef f(x):\n    return os.getcwd() + str(x)",
        "def f(x):\n    return __import__('subprocess').getoutput(str(x))",
        "def f(x):\n    return open('/etc/passwd').read(x)",
        "import socket\ndef f(x):\n    return socket.gethostname() * x",
    ]
    assert validated(sandbox, *map(call, outside)) == [RejectReason.POLICY] * 4


def test_fault_e6_text_of_a_model_is_never_evaluated_here(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TINA_AZR_PROBE", raising=False)
    attack = "__import__('os').environ.setdefault('TINA_AZR_PROBE', '1')"
    abduction = Task(key="a", mode="abduction", program="def f(x):\n    return x", input="'1'", output="'1'")
    assert graded(sandbox, deduction("'1'"), fence("output", attack)) == [Verdict.MALFORMED]
    assert graded(sandbox, abduction, fence("input", attack)) == [Verdict.MALFORMED]
    assert validated(sandbox, call("def f(x):\n    return x", attack)) == [RejectReason.NOT_LITERAL]
    assert "TINA_AZR_PROBE" not in os.environ


def test_fault_e7_an_answer_cannot_escape_its_call(sandbox: Sandbox) -> None:
    task = Task(key="a", mode="abduction", program="def f(x):\n    return x == 12345", input="12345", output="True")
    injected = ["0) or (1", "0) == f(0", "*[12345]", "x := 12345", "12345 if 1 else 0"]
    assert graded(sandbox, task, *(fence("input", text) for text in injected)) == [Verdict.MALFORMED] * len(injected)


def test_fault_e8_an_object_that_equals_everything_equals_nothing(sandbox: Sandbox) -> None:
    liar = "class Yes:\n    def __eq__(self, other):\n        return True\ndef f(x):\n    return Yes()"
    number = "class Yes(int):\n    def __eq__(self, other):\n        return True\ndef f(x):\n    return Yes(0)"
    shown = "class Yes:\n    def __repr__(self):\n        return '7'\ndef f(x):\n    return Yes()"
    verdicts = graded(sandbox, INDUCTION, *(fence("python", program) for program in (liar, number, shown)))
    assert Verdict.CORRECT not in verdicts


def test_fault_e9_one_answer_leaves_nothing_behind_for_the_next(sandbox: Sandbox) -> None:
    poison = "import math\ndef f(x):\n    math.prod = lambda items: 7 * x\n    return 0"
    honest = "import math\ndef f(x):\n    return math.prod([x, 3])"
    verdicts = graded(sandbox, INDUCTION, fence("python", poison), fence("python", honest))
    assert verdicts[1] is Verdict.WRONG


def test_fault_e10_a_name_that_ends_in_input_is_only_a_name(sandbox: Sandbox) -> None:
    program = "def process_input(value):\n    return value + 1\ndef f(x):\n    return process_input(x)"
    assert validated(sandbox, call(program)) == [None]


def test_fault_e12_values_of_every_type_are_compared(sandbox: Sandbox) -> None:
    outputs = ["5", "'5'", "2.5", "True", "None", "[1, (2, 3)]", "{'a': {1, 2}}", "b'x'"]
    for output in outputs:
        wanted = [Verdict.CORRECT if other == output else Verdict.WRONG for other in outputs]
        assert graded(sandbox, deduction(output), *(fence("output", other) for other in outputs)) == wanted


def test_spelling_of_an_answer_does_not_matter(sandbox: Sandbox) -> None:
    answers = ['{"b":[1,2.0], "a":(3,)}', "{'a': (3,), 'b': [1.0, 2]}", "{'a': (3), 'b': [1, 2]}"]
    verdicts = graded(sandbox, deduction("{'a': (3,), 'b': [1, 2]}"), *(fence("output", answer) for answer in answers))
    assert verdicts == [Verdict.CORRECT, Verdict.CORRECT, Verdict.WRONG]


def test_a_program_that_does_not_end_is_a_limit_and_not_a_stall(sandbox: Sandbox) -> None:
    endless = "def f(x):\n    while x:\n        pass\n    return x"
    assert validated(sandbox, call(endless), call("def f(x):\n    return x + 1")) == [RejectReason.LIMIT, None]


def test_an_endless_answer_is_wrong(sandbox: Sandbox) -> None:
    answer = fence("python", "def f(x):\n    while True:\n        x += 1")
    assert graded(sandbox, INDUCTION, answer) == [Verdict.WRONG]


def test_an_answer_that_is_not_python_is_malformed(sandbox: Sandbox) -> None:
    assert graded(sandbox, INDUCTION, fence("python", "def f(x) return x * 7")) == [Verdict.MALFORMED]


def test_the_full_seeds_are_valid_tasks_with_canonical_facts(sandbox: Sandbox) -> None:
    seeds = load_seeds(PromptStyle.FULL)
    settings = TasksConfig(max_program_chars=2_000, max_value_chars=400)
    proposals = [Proposal(mode="deduction", program=seed.program, inputs=(seed.input,)) for seed in seeds]
    tasks = Validator(sandbox, settings).validate(proposals)
    assert [(task.input, task.output) for task in tasks if isinstance(task, Task)] == [(seed.input, seed.output) for seed in seeds]


def test_a_proposal_of_a_heldout_program_and_input_is_refused_however_it_is_spelled(sandbox: Sandbox) -> None:
    key = task_key("deduction", "def f(a, b):\n    return [a, b]", ("1, 'x'",))
    spelled = Proposal(mode="abduction", program="def f(first, second):  # pair\n  return [ first, second ]", inputs=('1,"x"',))
    (result,) = Validator(sandbox, TasksConfig(), held_out_keys={key}).validate([spelled])
    assert isinstance(result, TaskRejected) and result.reason is RejectReason.HELD_OUT
