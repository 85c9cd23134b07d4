"""Equality of canonical literals, varied inputs, and messages that show code."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tina_azr.tasks.constant_output import is_constant, reads_arguments, varied_arguments
from tina_azr.tasks.message_leak import gives_away
from tina_azr.tasks.values import same_value

LITERALS = st.recursive(
    st.integers(-(10**6), 10**6)
    | st.booleans()
    | st.none()
    | st.text(max_size=6)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=6,
)


@given(LITERALS, LITERALS)
def test_equality_of_literals_is_pythons(left: object, right: object) -> None:
    assert same_value(repr(left), repr(right)) == (left == right)


@pytest.mark.parametrize(("left", "right"), [("1", "1.0"), ("True", "1"), ("[2.0, {1}]", "[2, {1.0}]"), ("{1, 2.0}", "{1.0, 2}")])
def test_numbers_of_different_types_are_equal_as_in_python(left: str, right: str) -> None:
    assert same_value(left, right)


@pytest.mark.parametrize(
    ("left", "right"), [("[1]", "(1,)"), ("'1'", "1"), ("None", "False"), ("Fraction(1, 2)", "0.5"), ("[" * 90, "1")]
)
def test_other_spellings_are_other_values(left: str, right: str) -> None:
    assert not same_value(left, right)


@given(st.lists(LITERALS, min_size=1, max_size=3))
def test_varied_arguments_keep_their_number_and_types(values: list[object]) -> None:
    arguments = ", ".join(repr(value) for value in values)
    for variant in varied_arguments(arguments):
        read = ast.literal_eval(f"[{variant}]")
        assert [type(value) for value in read] == [type(value) for value in values]


@pytest.mark.parametrize(
    "arguments", ["0", "-3, 4", "'a'", "''", "[5, 1]", "[[1, 2], [3]]", "{'a': 1}", "True", "2.5", "'12'", "(1, 2)"]
)
def test_variants_are_several_and_none_is_the_original(arguments: str) -> None:
    variants = varied_arguments(arguments)
    assert arguments not in variants
    assert len(variants) >= (1 if arguments == "True" else 2)


def test_keys_that_a_program_looks_up_stay() -> None:
    assert all(set(ast.literal_eval(variant)) == {"a", "b"} for variant in varied_arguments("{'a': 1, 'b': [2]}"))


def test_equal_results_prove_nothing_until_enough_inputs_ran() -> None:
    assert not is_constant("1", ["1", None, None])
    assert is_constant("1", ["1", None, "1.0"])
    assert not is_constant("1", ["1", "1", "2"])


@pytest.mark.parametrize(
    ("program", "reads"),
    [
        ("def f(x):\n    return x", True),
        ("def f(x):\n    return 5", False),
        ("def f():\n    return 5", False),
        ("def f(x):\n    x = 3\n    return [x for x in range(2)]", False),
        ("def f(x):\n    return [x for x in range(2)]", False),
        ("def f(*values):\n    return sum(values)", True),
        ("def f(x):\n    def g():\n        return x\n    return g()", True),
        ("def f(x):\n    def g(x):\n        return x\n    return g(1)", False),
    ],
)
def test_whether_a_program_reads_its_arguments(program: str, reads: bool) -> None:
    assert reads_arguments(program) is reads


PROGRAM = "def f(a):\n    a = [v for v in a if v > 3]\n    a = sorted(a)\n    return sum(a)"


@pytest.mark.parametrize(
    "message",
    [
        "a = [v for v in a if v>3] then a=sorted(a)",
        "def f(a): filter it",
        "use lambda v: v > 3",
        "```python",
        "sorted(a), and then sum(a)",
    ],
)
def test_a_message_that_shows_code_gives_the_program_away(message: str) -> None:
    assert gives_away(message, PROGRAM)


@pytest.mark.parametrize(
    "message",
    [
        "keep over 3; sort; sum",
        "Return the sum of all items that are larger than three.",
        "Keeps items over 3 (strictly), sorts them, and returns their sum.",
        "only sum(a) of what is left",
    ],
)
def test_a_message_that_describes_does_not(message: str) -> None:
    assert not gives_away(message, PROGRAM)
