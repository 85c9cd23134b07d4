"""Ordinary programs do in the sandbox what they do in the host's CPython. They are drawn here, so running them in this process is safe."""

import random
from typing import Any

import pytest

from tina_azr.sandbox import Outcome, OutcomeKind, Sandbox

NUMBERS = ["0", "1", "-1", "2", "7", "10", "255", "-13", "3.5", "-0.25", "1e20", "10**18", "True"]
TEXTS = ["''", "'a'", "'Hello, World'", "'  spaced  '", "'ABC abc 123'", "'naïve ☃'", "'a,b,,c'", "'\\n\\t\\\\'", '"it\'s"']


def number(draw: random.Random, depth: int) -> str:
    if depth == 0:
        return draw.choice([*NUMBERS, "x", "n"])
    inner = [lambda: number(draw, depth - 1), lambda: f"len({items(draw, depth - 1)})", lambda: f"len({text(draw, depth - 1)})"]
    one, two = draw.choice(inner)(), draw.choice(inner)()
    return draw.choice(
        [
            f"({one} {draw.choice(['+', '-', '*', '//', '%', '/', '<', '==', 'and', 'or'])} {two})",
            f"({draw.choice(['-', 'not ', 'abs', 'int', 'float', 'bool'])}({one}))",
            f"round({one}, {draw.choice('0123')})",
            f"divmod({one}, {two})[{draw.choice('01')}]",
            f"({one} if {two} else {number(draw, 0)})",
            f"{draw.choice(['sum', 'max', 'min'])}({items(draw, depth - 1)})",
            f"{text(draw, depth - 1)}.{draw.choice(['count', 'find', 'index'])}({text(draw, 0)})",
            f"int({text(draw, depth - 1)})",
        ]
    )


def text(draw: random.Random, depth: int) -> str:
    if depth == 0:
        return draw.choice([*TEXTS, "s"])
    one, two = text(draw, depth - 1), text(draw, depth - 1)
    return draw.choice(
        [
            f"({one} + {two})",
            f"{one}.{draw.choice(['upper', 'lower', 'title', 'strip', 'swapcase', 'casefold', 'capitalize'])}()",
            f"{one}[{draw.choice(['::-1', '1:', ':-1', '::2', '0', '-1', '5:1'])}]",
            f"{one}.replace({text(draw, 0)}, {text(draw, 0)})",
            f"{text(draw, 0)}.join(map(str, {items(draw, depth - 1)}))",
            f"str({number(draw, depth - 1)})",
            f"repr({items(draw, depth - 1)})",
            f"f'{{{number(draw, 0)}!r:>12}}|{{{number(draw, 0)}:.3f}}'",
            f"'{{}} {{:>6}} {{!r}}'.format({one}, {two}, {number(draw, depth - 1)})",
            f"{one}.{draw.choice(['zfill', 'center', 'ljust'])}({draw.choice(['3', '9', '20'])})",
            f"chr(int({number(draw, depth - 1)}) % 999)",  # A huge number is another error where words have 32 bits.
        ]
    )


def items(draw: random.Random, depth: int) -> str:
    if depth == 0:
        return draw.choice(["xs", "[1, 2, 3]", "[]", "range(5)", "[3, 1, 2, 1]", "(n, x)", "list(s)"])
    one, two = items(draw, depth - 1), items(draw, depth - 1)
    return draw.choice(
        [
            f"sorted({one}, reverse={draw.choice(['True', 'False'])})",
            f"[i for i in {one} if {number(draw, depth - 1)}]",
            f"[{number(draw, depth - 1)} for _ in {one}]",
            f"list({one})[{draw.choice(['::-1', '1:', '::2', ':3', '-2:'])}]",
            f"list(zip({one}, {two}))",
            f"list(enumerate({one}))",
            f"list({{i: {number(draw, 0)} for i in {one}}}.items())",
            f"sorted(set({one}) {draw.choice('|&-^')} set({two}))",
            f"{text(draw, depth - 1)}.split({text(draw, 0)})",
            f"list({one}) * 2 + list({two})",
            f"[{number(draw, depth - 1)}, {text(draw, depth - 1)}]",
        ]
    )


PLAIN = "def f(x, n, s, xs):\n    return {value}"
LOOP = """def f(x, n, s, xs):
    out = []
    for i, x in enumerate(list(xs)[:6]):
        out.append({value})
        n += i
    return out
"""
CAUGHT = """def f(x, n, s, xs):
    try:
        y = {value}
    except (ValueError, IndexError) as error:
        y = type(error).__name__
    return [y, x]
"""
METHOD = """class A:
    def __init__(self, x):
        self.x = x
    def go(self, n, s, xs):
        x = self.x
        return {value}
def f(x, n, s, xs):
    return {{'go': A(x).go(n, s, xs)}}
"""


def drawn(draw: random.Random) -> tuple[str, str]:
    make = draw.choice([number, text, items])
    program = draw.choice([PLAIN, LOOP, CAUGHT, METHOD]).format(value=make(draw, draw.randint(1, 3)))
    arguments = ", ".join(
        [draw.choice(NUMBERS), draw.choice(NUMBERS), draw.choice(TEXTS), draw.choice(["[1, 2, 3]", "[]", "['b', 'a']", "(5, -5)"])]
    )
    return program, f"f({arguments})"


def on_the_host(program: str, call: str) -> tuple[OutcomeKind, str]:
    space: dict[str, Any] = {}
    try:
        exec(program, space)
        return OutcomeKind.OK, repr(eval(call, space))
    except Exception as error:
        return OutcomeKind.EXCEPTION, type(error).__name__


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.slow
def test_programs_that_are_drawn_do_what_they_do_in_cpython(box: Sandbox, seed: int) -> None:
    draw = random.Random(seed)
    jobs = [drawn(draw) for _ in range(500)]
    expected = [on_the_host(*job) for job in jobs]
    literals = box.literals([result for _, result in expected])
    wrong: list[tuple[tuple[str, str], object, Outcome]] = []
    ended = 0
    for job, (kind, result), literal, outcome in zip(jobs, expected, literals, box.run_many(jobs), strict=True):
        same = outcome.value == literal if kind is OutcomeKind.OK else (outcome.error or "").split(":")[0] == result
        ended += kind is OutcomeKind.OK
        if outcome.kind is not kind or not same:
            wrong.append((job, result, outcome))
    assert wrong == []
    assert ended > 100, "most programs that are drawn should come to a value"


def test_large_integers_are_divided_as_in_cpython(box: Sandbox) -> None:
    # Far apart in size, CPython divides them by a module written in Python.
    outcome = box.run("", "3**60000 // 7**20000 % 10**9")
    assert outcome.value == str(3**60000 // 7**20000 % 10**9)
