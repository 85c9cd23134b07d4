"""Program identity: what is the same, what is not, and that the canonical form behaves as the program does."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tina_azr.tasks.canonical import canonical_program
from tina_azr.tasks.identity import program_length, program_structure, task_key

RICH = '''
import math
from collections import Counter

LIMIT = 3

def scale(value, factor=2, *, offset=0):
    """Scale."""
    return value * factor + offset

class Box:
    size = 1

    def __init__(self, items):
        self.items = items
        size = len(items)
        self.total = size + Box.size

def f(items: list[int], text: str = "ab") -> list[object]:
    total: int = 0
    seen = {key: count for key, count in Counter(text).items()}
    for index, item in enumerate(items):
        if item > LIMIT:
            total += scale(item, offset=index)
        else:
            total -= scale(value=item, factor=3)
    def inner(step):
        nonlocal total
        total += step
        return [step for step in range(step)]
    ranks = sorted(items, key=lambda item: -item, reverse=False)
    try:
        half = 10 // (total - total)
    except ZeroDivisionError as problem:
        half = math.floor(2.5)
    if (found := len(text)) > 1:
        half += found
    match items:
        case [first, *rest]:
            half += first + len(rest)
        case _:
            pass
    box = Box(items)
    return [total, seen, inner(3), ranks, half, box.total, f"{total:03d} {text!r}", [value for value in items if value > 1]]
'''
CALL = ([4, 1, 5], "aba")

SAME = {
    "parameter renamed": ("def f(x):\n    return x + 1", "def f(value):\n    return value + 1"),
    "local renamed": ("def f(x):\n    y = x * 2\n    return y", "def f(x):\n    double = x * 2\n    return double"),
    "comprehension variable renamed": ("def f(a):\n    return [a for a in a]", "def f(a):\n    return [b for b in a]"),
    "reused comprehension variable": (
        "def f(a):\n    a = [v + 1 for v in a]\n    return [v * 2 for v in a]",
        "def f(a):\n    a = [v + 1 for v in a]\n    return [w * 2 for w in a]",
    ),
    "nested function renamed": (
        "def f(x):\n    def g(y):\n        return y + x\n    return g(2)",
        "def f(a):\n    def add(b):\n        return b + a\n    return add(2)",
    ),
    "keyword of a known function renamed": (
        "def g(low, high):\n    return high - low\ndef f(x):\n    return g(low=x, high=9)",
        "def h(a, b):\n    return b - a\ndef f(x):\n    return h(a=x, b=9)",
    ),
    "global renamed": ("K = 3\ndef f(x):\n    return x + K", "STEP = 3\ndef f(x):\n    return x + STEP"),
    "import renamed": ("import math\ndef f(x):\n    return math.gcd(x, 6)", "import math as m\ndef f(x):\n    return m.gcd(x, 6)"),
    "comments, layout, docstring, annotations, unused import": (
        "def f(x):\n    return x+1",
        'from typing import List\ndef f(x: List) -> int:\n    """Add."""\n    # one\n    return (x\n        + 1)',
    ),
    "pass": ("def f(x):\n    return x", "def f(x):\n    pass\n    return x"),
}

DIFFERENT = {
    "operator": ("def f(x):\n    return x + 1", "def f(x):\n    return x - 1"),
    "constant": ("def f(x):\n    return x + 1", "def f(x):\n    return x + 2"),
    "type of a constant": ("def f(x):\n    return 1", "def f(x):\n    return True"),
    "float and int": ("def f(x):\n    return 1", "def f(x):\n    return 1.0"),
    "operands swapped": ("def f(x, y):\n    return x - y", "def f(x, y):\n    return y - x"),
    "parameters swapped": ("def f(x, y):\n    return x - y", "def f(y, x):\n    return x - y"),
    "attribute": ("def f(s):\n    return s.upper()", "def f(s):\n    return s.lower()"),
    "builtin": ("def f(a):\n    return min(a)", "def f(a):\n    return max(a)"),
    "imported name": (
        "from math import floor as g\ndef f(x):\n    return g(x)",
        "from math import ceil as g\ndef f(x):\n    return g(x)",
    ),
    "shadowed or not": (
        "def f(x):\n    y = 1\n    g = [y for y in x]\n    return y",
        "def f(x):\n    y = 1\n    g = [z for y in x for z in [y]]\n    return g",
    ),
    "keyword of a builtin": (
        "def f(key):\n    return sorted([1], key=key)",
        "def f(reverse):\n    return sorted([1], reverse=reverse)",
    ),
    "keyword through an alias": (
        "def h(a, b):\n    return a - b\ng = h\ndef f(x):\n    return g(a=x, b=2)",
        "def h(b, a):\n    return b - a\ng = h\ndef f(x):\n    return g(a=x, b=2)",
    ),
    "class attributes swapped": (
        "class A:\n    x = 1\n    y = 2\ndef f(n):\n    return A.x + n",
        "class A:\n    y = 1\n    x = 2\ndef f(n):\n    return A.x + n",
    ),
    "dataclass fields": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\n    y: int\ndef f(n):\n    return P(n, 1).x",
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    y: int\n    x: int\ndef f(n):\n    return P(n, 1).x",
    ),
}


@pytest.mark.parametrize("pair", SAME.values(), ids=SAME)
def test_retyping_keeps_identity(pair: tuple[str, str]) -> None:
    assert canonical_program(pair[0]) == canonical_program(pair[1])
    assert program_structure(pair[0]) == program_structure(pair[1])


@pytest.mark.parametrize("pair", DIFFERENT.values(), ids=DIFFERENT)
def test_other_behaviour_is_another_program(pair: tuple[str, str]) -> None:
    assert canonical_program(pair[0]) != canonical_program(pair[1])


def _call(source: str) -> str:
    space: dict[str, object] = {}
    exec(source, space)
    function = space["f"]
    assert callable(function)
    return repr(function(*CALL))


def test_the_canonical_program_behaves_as_the_program_does() -> None:
    assert _call(canonical_program(RICH)) == _call(RICH)


def test_the_canonical_form_is_a_fixed_point() -> None:
    assert canonical_program(canonical_program(RICH)) == canonical_program(RICH)


def _renamed(source: str, names: dict[str, str]) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        for field in ("id", "arg", "name", "rest"):
            if getattr(node, field, None) in names and not isinstance(node, ast.ClassDef | ast.alias):
                setattr(node, field, names[getattr(node, field)])
        if isinstance(node, ast.Nonlocal):
            node.names = [names.get(name, name) for name in node.names]
    return ast.unparse(tree)


RENAMEABLE = (
    "items",
    "text",
    "total",
    "index",
    "item",
    "inner",
    "step",
    "ranks",
    "half",
    "problem",
    "found",
    "first",
    "rest",
    "scale",
    "value",
    "factor",
    "offset",
    "LIMIT",
    "box",
    "count",
)


@given(st.permutations(RENAMEABLE))
def test_any_renaming_of_variables_keeps_identity(order: list[str]) -> None:
    """A permutation of the spellings is the hardest renaming: every new name was another variable's before."""
    renamed = _renamed(RICH, dict(zip(RENAMEABLE, order, strict=True)))
    assert canonical_program(renamed) == canonical_program(RICH)


OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Mod, ast.FloorDiv)


@given(st.data())
def test_any_changed_operator_changes_identity(data: st.DataObject) -> None:
    tree = ast.parse(RICH)
    operations = [node for node in ast.walk(tree) if isinstance(node, ast.BinOp | ast.AugAssign)]
    node = data.draw(st.sampled_from(operations))
    node.op = data.draw(st.sampled_from([kind for kind in OPERATORS if not isinstance(node.op, kind)]))()
    assert canonical_program(ast.unparse(tree)) != canonical_program(RICH)


@given(st.integers(), st.integers(), st.text(max_size=5), st.text(max_size=5))
def test_the_structure_ignores_numbers_and_strings_only(a: int, b: int, s: str, t: str) -> None:
    template = "def f(x):\n    return (x + {!r}, {!r})"
    assert program_structure(template.format(a, s)) == program_structure(template.format(b, t))
    assert program_structure(template.format(a, s)) != program_structure(template.replace("+", "-").format(a, s))
    assert program_structure(template.format(a, s)) != program_structure(template.format(True, s))


def test_a_generated_spelling_never_captures_a_name_of_the_program() -> None:
    source = (
        "class A:\n    v0 = 7\n    def get(self, x):\n        return v1(x) + A.v0\n"
        "def v1(y):\n    return y\ndef f(z):\n    return A().get(z)"
    )
    spaces: list[dict[str, object]] = [{}, {}]
    for text, space in zip((source, canonical_program(source)), spaces, strict=True):
        exec(text, space)
    results = [function(3) for space in spaces if callable(function := space["f"])]
    assert results == [10, 10]


def test_deduction_and_abduction_share_keys_and_induction_has_its_own() -> None:
    program = "def f(x):\n    return x"
    assert task_key("deduction", program, ("1",)) == task_key("abduction", program, ("1",))
    assert task_key("deduction", program, ("1",)) != task_key("induction", program, ("1",))
    assert task_key("deduction", program, ("1",)) != task_key("deduction", program, ("2",))


def test_the_order_of_induction_inputs_says_nothing() -> None:
    program = "def f(x):\n    return x"
    assert task_key("induction", program, ("1", "2")) == task_key("induction", program, ("2", "1"))


@pytest.mark.parametrize(
    ("body", "steps"),
    [
        ("    return x", 0),
        ("    return x + 1", 1),
        ("    x = x + 1\n    return x", 1),
        ("    for i in range(3):\n        x = x + i\n    return x", 1),
        ("    if x > 1:\n        x = 2\n    else:\n        x = 3\n    x = -x\n    return abs(x)", 3),
        ("    'doc'\n    pass\n    x.sort()\n    return x", 1),
    ],
)
def test_steps_count_statements_that_do_something(body: str, steps: int) -> None:
    assert program_length(f"def g(x):\n    return x + 1\ndef f(x):\n{body}") == steps


@pytest.mark.parametrize(
    "source",
    ["def f(x:", "def f(x):\n    return x\0", "x = " + "(" * 300 + "1" + ")" * 300, "x = " + "+".join("1" * 5000), "x = '\ud800"],
    ids=["syntax", "null byte", "brackets", "deep sum", "surrogate"],
)
def test_whatever_cannot_be_read_is_a_syntax_error(source: str) -> None:
    with pytest.raises(SyntaxError):
        canonical_program(source)


def test_bad_style_in_a_program_warns_nobody() -> None:
    assert "v0" in canonical_program("def f(x):\n    return x is 1 or '\\d'")
