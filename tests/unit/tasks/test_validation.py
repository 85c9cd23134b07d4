"""From proposals to tasks: every reason to refuse, its order, and how little is run."""

from typing import Any

import pytest

from tina_azr.config import TasksConfig
from tina_azr.sandbox import Sandbox
from tina_azr.sandbox.types import Outcome, OutcomeKind
from tina_azr.tasks.identity import program_structure, task_key
from tina_azr.tasks.types import Proposal, RejectReason, Task, TaskRejected
from tina_azr.tasks.validation import OUTCOME_REASONS, Validator

ADD = "def f(x):\n    return x + 3"


def call(program: str, given: str = "4", mode: str = "deduction") -> Proposal:
    return Proposal(mode=mode, program=program, inputs=(given,))


def pairs(program: str, *inputs: str, message: str = "three more") -> Proposal:
    return Proposal(mode="induction", program=program, inputs=inputs, message=message)


def reason(result: Task | TaskRejected) -> RejectReason | None:
    return result.reason if isinstance(result, TaskRejected) else None


def test_a_valid_proposal_becomes_a_task_with_canonical_facts(validate: Any) -> None:
    task = validate(call("def f(x, items):\n    items = sorted(items)\n    return items[x:]", "1,[3,1,  2]"))
    assert isinstance(task, Task)
    assert (task.input, task.output, task.length) == ("1, [3, 1, 2]", "[2, 3]", 2)
    assert task.key == task_key("deduction", task.program, ("1, [3, 1, 2]",))
    assert task.structure == program_structure(task.program)


REFUSED = {
    "not python": (call("def f(x:\n    return x"), RejectReason.POLICY),
    "too deep to read": (call("def f(x):\n    return x" + "+1" * 200), RejectReason.POLICY),
    "no f": (call("def g(x):\n    return x"), RejectReason.MALFORMED),
    "policy": (call("import os\ndef f(x):\n    return x"), RejectReason.POLICY),
    "raises": (call("def f(x):\n    return x[0]"), RejectReason.RAISES),
    "raises what is named without error": (call("def f(x):\n    raise Exception(x)"), RejectReason.RAISES),
    "recursion": (call("def f(x):\n    return f(x + 1)"), RejectReason.LIMIT),
    "input is no literal": (call(ADD, "open('x')"), RejectReason.NOT_LITERAL),
    "result is no literal": (call("def f(x):\n    return lambda: x"), RejectReason.NOT_LITERAL),
    "long program": (call(ADD + "\n" + "#" * 600), RejectReason.TOO_LONG),
    "long input": (call("def f(x):\n    return len(x)", repr("a" * 100)), RejectReason.TOO_LONG),
    "input too long to read": (call("def f(x):\n    return len(x)", repr("a" * 1000)), RejectReason.TOO_LONG),
    "long output": (call("def f(x):\n    return 'a' * x", "100"), RejectReason.TOO_LONG),
    "argument never read": (call("def f(x):\n    return 7"), RejectReason.CONSTANT),
    "argument without effect": (call("def f(x):\n    return x * 0 + 7"), RejectReason.CONSTANT),
    "too few inputs": (pairs(ADD, "1", "2", "3"), RejectReason.MALFORMED),
    "one input twice": (pairs(ADD, "1", "2", "3", "4", " 1"), RejectReason.MALFORMED),
    "empty message": (pairs(ADD, "1", "2", "3", "4", "5", message=""), RejectReason.MALFORMED),
    "long message": (pairs(ADD, "1", "2", "3", "4", "5", message="a " * 100), RejectReason.TOO_LONG),
    "message with code": (pairs(ADD, "1", "2", "3", "4", "5", message="x + 3"), RejectReason.LEAKS_CODE),
    "constant on all pairs": (pairs("def f(x):\n    return x > 9", "1", "2", "3", "4", "5"), RejectReason.CONSTANT),
    "one input raises": (pairs("def f(x):\n    return 6 // x", "0", "2", "3", "4", "5"), RejectReason.RAISES),
}


@pytest.mark.parametrize("case", REFUSED)
def test_reasons_to_refuse(case: str, sandbox: Sandbox) -> None:
    proposal, expected = REFUSED[case]
    (result,) = Validator(sandbox, TasksConfig()).validate([proposal])
    assert reason(result) is expected


@pytest.mark.parametrize(
    "program",
    [
        "def f(x):\n    return x % 2 == 0",
        "def f(x):\n    return max(x, 10)",
        "def f(x):\n    return x > 8",
        "def f(x):\n    return [x][:1]",
    ],
)
def test_a_coarse_program_is_not_constant(program: str, validate: Any) -> None:
    assert reason(validate(call(program))) is None


@pytest.mark.parametrize("kind", [kind for kind in OutcomeKind if kind is not OutcomeKind.OK])
def test_every_way_a_run_can_end_has_its_reason(kind: OutcomeKind, fake: Any, validate: Any) -> None:
    fake.script["f(4)"] = Outcome(kind=kind, error="why")
    result = validate(call(ADD))
    assert reason(result) is OUTCOME_REASONS[kind]
    assert "why" in result.detail


def test_a_program_that_is_nondeterministic_nearby_is_refused(fake: Any, validate: Any) -> None:
    fake.script["f(5)"] = Outcome(kind=OutcomeKind.NONDETERMINISTIC)
    assert reason(validate(call(ADD))) is RejectReason.NONDETERMINISTIC


def test_a_program_that_only_fails_nearby_is_kept(fake: Any, validate: Any) -> None:
    assert isinstance(validate(call("def f(x):\n    return [9, 8, 7, 6, 5][x] // (5 - x)", "4")), Task)


class Known:
    """One key, and a count for every structure."""

    def __init__(self, key: str = "", count: int = 0) -> None:
        self._key = key
        self._count = count

    def is_known(self, key: str) -> bool:
        return key == self._key

    def structure_count(self, mode: str, structure: str) -> int:
        return self._count


def test_what_is_known_or_held_out_is_refused_without_a_run(fake: Any) -> None:
    key = task_key("deduction", ADD, ("4",))
    known = Validator(fake, TasksConfig(), Known(key)).validate([call(ADD, mode="abduction")])
    held_out = Validator(fake, TasksConfig(), held_out_keys={key}).validate([call("def f(number):\n    return number + 3")])
    assert [reason(result) for result in (*known, *held_out)] == [RejectReason.DUPLICATE, RejectReason.HELD_OUT]
    assert fake.runs == []


def test_of_equal_proposals_the_first_becomes_the_task(fake: Any) -> None:
    renamed = call("def f(number):\n    return number + 3")
    results = Validator(fake, TasksConfig()).validate([call(ADD), renamed, call(ADD, mode="abduction")])
    assert [reason(result) for result in results] == [None, RejectReason.DUPLICATE, RejectReason.DUPLICATE]


def test_equal_invalid_proposals_are_all_refused_for_what_is_wrong(fake: Any) -> None:
    bad = call("def f(x):\n    return x[0]")
    results = Validator(fake, TasksConfig()).validate([bad, bad])
    assert [reason(result) for result in results] == [RejectReason.RAISES] * 2


def test_a_template_is_used_up_within_a_batch_and_with_what_is_known(fake: Any) -> None:
    proposals = [call(f"def f(x):\n    return x + {n}") for n in range(5)]
    results = Validator(fake, TasksConfig(max_repeats_of_structure=4), Known(count=1)).validate(proposals)
    assert [reason(result) for result in results] == [None] * 3 + [RejectReason.DUPLICATE] * 2


def test_induction_may_be_about_a_program_as_often_as_it_likes(fake: Any) -> None:
    proposals = [pairs(ADD, *(str(10 * n + i) for i in range(5))) for n in range(3)]
    results = Validator(fake, TasksConfig(max_repeats_of_structure=1)).validate(proposals)
    assert [reason(result) for result in results] == [None] * 3


def test_a_step_is_validated_in_one_batch_of_inputs_and_one_of_runs(fake: Any) -> None:
    proposals = [call(f"def f(x):\n    return x * {n}") for n in range(2, 30)] + [pairs(ADD, *"12345"), call("def f(x:")]
    results = Validator(fake, TasksConfig(max_repeats_of_structure=100)).validate(proposals)
    assert fake.batches == 2
    assert sum(isinstance(result, Task) for result in results) == 29


def test_nothing_to_run_runs_nothing(fake: Any) -> None:
    assert Validator(fake, TasksConfig()).validate([]) == []
    assert fake.runs == []


INPUTS = tuple(str(n) for n in range(5))


def test_induction_shows_some_pairs_and_hides_the_rest(validate: Any) -> None:
    task = validate(pairs(ADD, *INPUTS))
    assert (len(task.visible), len(task.hidden)) == (3, 2)
    assert {pair.input for pair in (*task.visible, *task.hidden)} == set(INPUTS)


def test_of_too_many_inputs_the_last_are_used(validate: Any) -> None:
    task = validate(pairs(ADD, "50", "60", *INPUTS))
    assert {pair.input for pair in (*task.visible, *task.hidden)} == set(INPUTS)


def test_fault_split_by_order_the_hidden_pairs_are_not_the_last_ones(validate: Any) -> None:
    """The original hides the second half: a proposer could put its hard pairs in front of the solver or keep them from it."""
    tasks = [validate(pairs(f"def f(x):\n    return x + {n}", *INPUTS)) for n in range(40)]
    hidden = [frozenset(pair.input for pair in task.hidden) for task in tasks]
    assert len(set(hidden)) == 10  # all 5 choose 2: the chance to miss one is under 0.15, and the draw is fixed


def test_fault_split_by_order_another_order_hides_the_same_pairs(validate: Any) -> None:
    split = [{pair.input for pair in validate(pairs(ADD, *inputs)).hidden} for inputs in (INPUTS, INPUTS[::-1])]
    assert split[0] == split[1]
