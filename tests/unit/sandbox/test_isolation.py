"""Nothing gets out, nothing stays behind, and a value is what it says it is."""

import pytest

from tina_azr.sandbox import OutcomeKind, Sandbox


@pytest.mark.parametrize(
    "call",
    [
        "open('/etc/passwd').read()",
        "open('/tmp/x', 'w')",
        "__import__('os').listdir('/')",
        "__import__('os').system('true')",
        "__import__('socket').socket()",
        "__import__('subprocess').run(['true'])",
        "__import__('ctypes').CDLL(None)",
        "__import__('threading').Thread(target=print).start()",
        "__import__('time').time()",
        "__import__('random').random()",
        "__import__('secrets').token_hex()",
        "__import__('uuid').uuid4()",
        "input()",
    ],
)
def test_the_world_outside_is_not_there(box: Sandbox, call: str) -> None:
    outcome = box.run("", call)
    assert outcome.kind is OutcomeKind.EXCEPTION, outcome
    assert ":" in str(outcome.error)


def test_the_clock_of_datetime_is_refused_by_name(box: Sandbox) -> None:
    outcome = box.run("import datetime", "datetime.datetime.now()")
    assert outcome.kind is OutcomeKind.EXCEPTION
    assert "time is not available" in str(outcome.error)


LEAKS = [
    ("import builtins\nbuiltins.sorted = lambda x: [0]", "sorted([3, 1])", "[1, 3]"),
    ("import math\nmath.pi = 3", "__import__('math').pi", "3.141592653589793"),
    ("import sys\nsys.modules['math'] = None", "__import__('math').floor(1.5)", "1"),
    ("import builtins\nbuiltins.len = builtins.str = None", "str(len([1]))", "'1'"),
    ("import sys\nsys.setrecursionlimit(50)", "(lambda f: f(f, 100))(lambda f, n: n and f(f, n - 1))", "0"),
    (
        "import decimal\ndecimal.getcontext().prec = 2",
        "str(__import__('decimal').Decimal(1) / 3)",
        "'0.3333333333333333333333333333'",
    ),
    (
        "import collections\ncollections.Counter.most_common = None",
        "__import__('collections').Counter('aab').most_common(1)",
        "[('a', 2)]",
    ),
]


@pytest.mark.parametrize(("surgery", "call", "expected"), LEAKS)
def test_one_program_leaves_nothing_behind_for_the_next(box: Sandbox, surgery: str, call: str, expected: str) -> None:
    assert box.run(surgery, "1").ok
    assert box.run("", call).value == expected


def test_many_programs_at_once_do_not_meet(box: Sandbox) -> None:
    jobs = [(f"import builtins\nbuiltins.secret = {n}", "secret") for n in range(20)] + [("", "secret")] * 5
    outcomes = box.run_many(jobs)
    assert [outcome.value for outcome in outcomes[:20]] == [str(n) for n in range(20)]
    assert all("NameError" in str(outcome.error) for outcome in outcomes[20:])


@pytest.mark.parametrize(
    "program",
    [
        "class Liar:\n    def __eq__(self, other):\n        return True\n    def __repr__(self):\n        return '1'\nx = Liar()",
        "class Int(int):\n    def __repr__(self):\n        return '7'\nx = Int(3)",
        "class Text(str):\n    pass\nx = Text('a')",
        "import builtins\nbuiltins.type = builtins.repr = lambda *a: int\nx = object()",
        "x = lambda: 0",
        "x = (n for n in [])",
        "x = [1, [object]]",
    ],
)
def test_what_is_no_literal_is_told_from_one(box: Sandbox, program: str) -> None:
    assert box.run(program, "x").kind is OutcomeKind.NOT_LITERAL


def test_patched_builtins_do_not_forge_a_value(box: Sandbox) -> None:
    program = (
        "import builtins, sys\nbuiltins.int = builtins.str = builtins.len = builtins.isinstance = lambda *a: 99\nsys.stdout = None"
    )
    assert box.run(program, "[1, 'a']").value == "[1, 'a']"


@pytest.mark.parametrize(
    ("program", "call"),
    [("x = '\ud800'", "x"), ("", "'\\ud800'"), ("x = 'a\x00b'", "x"), ("\x00", "1"), ("", "print('\\ud800')"), ("\udcff", "1")],
)
def test_strange_text_is_contained(box: Sandbox, program: str, call: str) -> None:
    outcome = box.run(program, call)
    assert outcome.kind in {OutcomeKind.REJECTED, OutcomeKind.EXCEPTION, OutcomeKind.NOT_LITERAL, OutcomeKind.OK}
    assert box.run("", "1").value == "1"


@pytest.mark.parametrize(
    ("expression", "literal"),
    [
        ("{'b': 1, 'a': (2,)}", "{'b': 1, 'a': (2,)}"),
        ("{3, 1, 2}", "{1, 2, 3}"),
        ("-0.0", "-0.0"),
        ("1e22", "1e+22"),
        ("2 ** 200", str(2**200)),
        ("True", "True"),
        ("b'\\x00\\xff'", "b'\\x00\\xff'"),
        ("'it\\'s'", '"it\'s"'),
        ("()", "()"),
        ("set()", "set()"),
        ("1 + 2j", "(1+2j)"),
    ],
)
def test_values_are_spelled_as_python_spells_them(box: Sandbox, expression: str, literal: str) -> None:
    assert box.run("", expression).value == literal
    assert box.literals([literal]) == [literal]
