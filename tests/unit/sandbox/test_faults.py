"""The faults of the original executor by their names, E1 to E12: what it let through, and what happens here."""

import os
from pathlib import Path

import pytest

from tina_azr.sandbox import Limits, OutcomeKind, Sandbox, StaticPolicy

HOST_PROBE = "TINA_AZR_FAULT_PROBE"


def test_e1_a_program_that_differs_from_run_to_run_is_told_apart(box: Sandbox) -> None:
    # The original raised `Exception('Non-deterministic code')` and then looked for the letters "error".
    by_address = box.check("def f(x):\n    return str(object()), str(f)", "f(1)")
    by_hash = box.check("def f(x):\n    return hash('a' * x)", "f(3)")
    generator = box.check("def f(x):\n    yield x", "f(1)")
    assert [by_address.kind, by_hash.kind] == [OutcomeKind.NONDETERMINISTIC] * 2
    assert generator.kind is OutcomeKind.NOT_LITERAL
    assert {by_address.value, by_hash.value, generator.value} == {None}


def test_e1_a_counter_starts_again_for_every_call(box: Sandbox) -> None:
    counter = "count = 0\ndef f(x):\n    global count\n    count += x\n    return count"
    (outcomes,) = box.check_many([(counter, ["f(1)", "f(1)", "f(5)"])])
    assert [outcome.value for outcome in outcomes] == ["1", "1", "5"]


def test_e1_nan_equals_its_copy_so_it_is_deterministic(box: Sandbox) -> None:
    assert box.check("def f(x):\n    return [x, float('nan')]", "f(1)").value == "[1, float('nan')]"


@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("raise Exception('odd')", "Exception: odd"),
        ("raise Exception", "Exception"),
        ("raise Odd(x)", "Odd: 4"),
        ("raise StopIteration(x)", "StopIteration: 4"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("return next(iter([]))", "StopIteration"),
        ("assert x == 5, 'five'", "AssertionError: five"),
        ("raise ExceptionGroup('two', [Odd(1), Odd(2)])", "ExceptionGroup: two (2 sub-exceptions)"),
    ],
)
def test_e2_every_exception_is_one_whatever_its_name(box: Sandbox, statement: str, error: str) -> None:
    outcome = box.run(f"class Odd(Exception):\n    pass\ndef f(x):\n    {statement}", "f(4)")
    assert (outcome.kind, outcome.error, outcome.value) == (OutcomeKind.EXCEPTION, error, None)


def test_e2_an_exception_while_the_program_is_defined_is_one_as_well(box: Sandbox) -> None:
    outcome = box.run("def f(x):\n    return x\nraise Exception('at the end')", "f(1)")
    assert (outcome.kind, outcome.error) == (OutcomeKind.EXCEPTION, "Exception: at the end")


def test_e3_a_long_output_is_whole_or_none_at_all(box: Sandbox) -> None:
    # The original kept 200 letters of each end.
    for length in (399, 400, 401, 5_000):
        assert box.run("", f"'a' * {length}").value == repr("a" * length)
    narrow = Sandbox(limits=Limits(output_bytes=402), policy=StaticPolicy.OPEN)
    assert narrow.run("", "'a' * 400").value == repr("a" * 400)
    over = narrow.run("", "'a' * 401")
    assert (over.kind, over.value) == (OutcomeKind.OUTPUT, None)


@pytest.mark.parametrize(
    ("body", "sorted_body"),
    [
        ("list(set(x.split()))", "sorted(set(x.split()))"),
        ("' '.join({*x.split()})", "' '.join(sorted({*x.split()}))"),
        ("{w: 1 for w in set(x.split())}", "{w: 1 for w in sorted(set(x.split()))}"),
    ],
)
def test_e4_the_order_of_a_set_is_seen(box: Sandbox, body: str, sorted_body: str) -> None:
    call = "f('delta alpha omega beta gamma zeta eta theta')"
    assert box.check(f"def f(x):\n    return {body}", call).kind is OutcomeKind.NONDETERMINISTIC
    assert box.check(f"def f(x):\n    return {sorted_body}", call).ok


def test_e4_the_first_element_of_a_set_is_nearly_always_seen(box: Sandbox) -> None:
    # Hash seeds are drawn when the images are built: one element in eight is the first in both.
    words = ["delta", "alpha", "omega", "beta", "gamma", "zeta", "eta", "theta", "iota", "kappa", "lambda", "sigma"]
    programs = ["def f(x):\n    return [w for w in frozenset(x)][0]", "def f(x):\n    return set(x).pop()"]
    calls = [f"f({[word * n for word in words]!r})" for n in range(1, 21)]
    found = [
        outcome.kind is OutcomeKind.NONDETERMINISTIC
        for outcomes in box.check_many([(program, calls) for program in programs])
        for outcome in outcomes
    ]
    assert sum(found) >= len(found) / 2


def test_e4_a_set_itself_has_no_order_to_depend_on(box: Sandbox) -> None:
    assert box.check("", "set('gamma')").value == "{'a', 'g', 'm'}"


def test_e5_no_file_is_read_or_written(box: Sandbox, tmp_path: Path) -> None:
    secret, written = tmp_path / "secret", tmp_path / "written"
    secret.write_text("there is no way to this")
    programs = [
        f"def f():\n    return open({str(secret)!r}).read()",
        f"def f():\n    open({str(written)!r}, 'w').write('x')",
        f"import io\ndef f():\n    return io.FileIO({str(secret)!r}).read()",
        f"import os\ndef f():\n    return os.open({str(written)!r}, os.O_CREAT)",
        f"import os\ndef f():\n    os.mkdir({str(written)!r})",
        f"import os\ndef f():\n    os.remove({str(secret)!r})",
        f"import os\ndef f():\n    return os.stat({str(secret)!r}).st_size",
        f"import _io\ndef f():\n    return _io.open({str(secret)!r}).read()",
        f"import posix\ndef f():\n    return posix.open({str(secret)!r}, 0)",
        f"import linecache\ndef f():\n    return 1 // len(linecache.getlines({str(secret)!r}))",
        f"import tokenize\ndef f():\n    return tokenize.open({str(secret)!r}).read()",
    ]
    for program, outcome in zip(programs, box.run_many([(program, "f()") for program in programs]), strict=True):
        assert outcome.kind in {OutcomeKind.EXCEPTION, OutcomeKind.CRASH}, (program, outcome)
        assert "no way to this" not in str(outcome.error) + outcome.stdout
    assert secret.exists()
    assert not written.exists()


def test_e5_the_standard_policy_says_so_before_anything_runs(box: Sandbox) -> None:
    outside = [
        "import os\ndef f(x):\n    return os.getcwd()",
        "def f(x):\n    return __import__('subprocess').getoutput('id')",
        "def f(x):\n    return open('/etc/passwd').read()",
        "import socket\ndef f(x):\n    return socket.gethostname()",
    ]
    outcomes = box.run_many([(program, "f(1)") for program in outside], policy=StaticPolicy.STANDARD)
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.REJECTED] * 4
    assert [str(outcome.error).rsplit(", column", 1)[0] for outcome in outcomes] == [
        f"program, line {line}" for line in (1, 2, 2, 1)
    ]


def test_e6_text_of_a_model_is_not_evaluated_in_this_process(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(HOST_PROBE, raising=False)
    attack = f"__import__('os').environ.setdefault('{HOST_PROBE}', '1')"
    inside = [attack, f"[{attack}]", f"{{{attack}: 1}}", f"f'{{{attack}}}'", f"({attack}) or 1", f"lambda: {attack}"]
    assert box.literals(inside) == [None] * len(inside)
    assert box.argument_lists(inside) == [None] * len(inside)
    # As a program or a call it runs, on an environment of its own.
    assert box.run("", attack).value == "'1'"
    assert box.run(attack, f"__import__('os').environ['{HOST_PROBE}']").value == "'1'"
    assert HOST_PROBE not in os.environ


def test_e6_nothing_of_this_process_is_visible_inside(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOST_PROBE, "visible")
    assert box.run("import os", f"os.environ.get({HOST_PROBE!r})").value == "None"
    assert (
        box.run("import sys", "[name for name in sys.modules if name.split('.')[0] in ('tina_azr', 'pytest', 'numpy')]").value
        == "[]"
    )


def test_e7_an_answer_does_not_leave_its_parentheses(box: Sandbox) -> None:
    injected = [
        "0) or (1",
        "0) == f(0",
        "1), (2",
        "*[1]",
        "**{'x': 1}",
        "x=1",
        "x := 1",
        "1 if 1 else 0",
        "1; 2",
        "1\n2",
        ")",
        "(",
    ]
    assert box.argument_lists(injected) == [None] * len(injected)
    # The canonical form is what is called: a comment is not in it, so it comments nothing out.
    assert box.argument_lists(["0, (1, 2), 'a) or (b'", "1 # )"]) == ["0, (1, 2), 'a) or (b'", "1"]


@pytest.mark.parametrize("call", ["f(0); f(1)", "f(0)\nf(1)", "x = f(0)", "import os", "f(0)) or (f(1)", "", "   ", "return f(0)"])
def test_e7_a_call_is_one_expression(box: Sandbox, call: str) -> None:
    outcome = box.run("def f(x):\n    return x", call)
    assert outcome.kind is OutcomeKind.REJECTED
    assert "syntax error" in str(outcome.error)


@pytest.mark.parametrize(
    "result",
    [
        "Yes()",
        "[Yes()]",
        "(1, Yes())",
        "{1: Yes()}",
        "{Yes(): 1}",
        "{Yes()}",
        "Zero(0)",
        "Word('a')",
        "Box([7])",
        "Yes",
        "Named()",
    ],
)
def test_e8_an_object_that_lies_about_itself_is_no_literal(box: Sandbox, result: str) -> None:
    program = """
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 7
    def __repr__(self): return '7'
    __class__ = int
class Zero(int):
    def __eq__(self, other): return True
    def __hash__(self): return 7
    def __repr__(self): return '7'
class Word(str):
    def __eq__(self, other): return True
    def __hash__(self): return 7
class Box(list):
    def __eq__(self, other): return True
class Meta(type):
    def __eq__(self, other): return True
    def __hash__(self): return 7
    __name__ = property(lambda self: 'int')
class Named(metaclass=Meta):
    pass
"""
    outcome = box.run(program, result)
    assert (outcome.kind, outcome.value) == (OutcomeKind.NOT_LITERAL, None)


def test_e9_what_one_program_does_to_builtins_the_next_one_does_not_see() -> None:
    # One worker, so that the two programs follow each other on the same thread.
    alone = Sandbox(policy=StaticPolicy.OPEN, workers=1)
    poison = "import builtins\nbuiltins.sorted = lambda x: [0]\ndef f():\n    return sorted([3, 1, 2])"
    honest = "def f():\n    return sorted([3, 1, 2])"
    outcomes = alone.run_many([(poison, "f()"), (honest, "f()"), (poison, "f()"), (honest, "f()")])
    assert [outcome.value for outcome in outcomes] == ["[0]", "[1, 2, 3]", "[0]", "[1, 2, 3]"]


@pytest.mark.parametrize("policy", list(StaticPolicy))
def test_e10_a_name_that_ends_in_input_is_only_a_name(box: Sandbox, policy: StaticPolicy) -> None:
    program = "def process_input(x):\n    return x + 1\ndef f(my_input):\n    return process_input(my_input)"
    assert box.run(program, "f(1)", policy=policy).value == "2"


def test_e11_memory_output_and_processes_are_bounded(box: Sandbox) -> None:
    tight = Sandbox(limits=Limits(memory_bytes=64 << 20, output_bytes=1_000, fuel=200_000_000), policy=StaticPolicy.OPEN)
    assert tight.run("", "bytearray(100 << 20)").kind is OutcomeKind.MEMORY
    assert tight.run("", "print('a' * 2_000)").kind is OutcomeKind.OUTPUT
    assert tight.run("while True:\n    pass", "1").kind is OutcomeKind.FUEL
    for call in ["__import__('os').fork()", "__import__('os').posix_spawn('/bin/true', [], {})", "__import__('multiprocessing')"]:
        outcome = box.run("", call)
        assert outcome.kind is OutcomeKind.EXCEPTION
        assert str(outcome.error).startswith(("AttributeError", "ModuleNotFoundError"))


def test_e11_a_program_that_swallows_every_exception_is_ended_all_the_same() -> None:
    stubborn = """
def f():
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
"""
    tight = Sandbox(limits=Limits(fuel=100_000_000), policy=StaticPolicy.OPEN)
    outcomes = tight.run_many([(stubborn, "f()"), ("", "9 ** 9 ** 8"), ("", "1 + 1")])
    assert [outcome.kind for outcome in outcomes] == [OutcomeKind.FUEL, OutcomeKind.FUEL, OutcomeKind.OK]


def test_e12_values_of_every_type_are_compared_and_not_only_texts(box: Sandbox) -> None:
    values = [
        "5",
        "'5'",
        "2.5",
        "True",
        "None",
        "[1, (2, 3)]",
        "(1,)",
        "{'a': {1, 2}}",
        "b'5'",
        "(1+2j)",
        "range(0, 5)",
        "frozenset({1})",
    ]
    outcomes = box.run_many([("def f(x):\n    return x", f"f({value})") for value in values])
    assert [outcome.value for outcome in outcomes] == values
    assert box.literals(values) == values
