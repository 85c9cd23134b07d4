"""Small deterministic programs with an exact number of steps, drawn from templates.

The texts come from the templates below and from nowhere else: no data set, no model. A step is one operation and one entry of the
program's description, so the number of steps is what the strata of the held-out set count.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random


class Kind(StrEnum):
    """What the program's argument is."""

    INT = "i"
    TWO_INTS = "i2"
    LIST = "l"
    STRING = "s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One operation."""

    lines: tuple[str, ...]
    """Source lines without the body's indentation; empty where the operation stands in the return line."""
    message: str
    """The operation in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A program as its parts."""

    kind: Kind
    steps: tuple[Step, ...]
    result: str
    """Expression of the return line."""

    @property
    def parameters(self) -> str:
        return {Kind.INT: "x", Kind.TWO_INTS: "x, y", Kind.LIST: "a", Kind.STRING: "s"}[self.kind]

    @property
    def source(self) -> str:
        body = "".join(f"    {line}\n" for step in self.steps for line in step.lines)
        return f"def f({self.parameters}):\n{body}    return {self.result}"

    @property
    def message(self) -> str:
        return "; ".join(step.message for step in self.steps)

    def without_last_step(self) -> "Program":
        """The program one step shorter: the reference of an `extend` prompt."""
        steps = self.steps[:-1]
        bound = {line.split(" = ")[0].strip() for step in steps for line in step.lines}
        own = "x" if self.kind in (Kind.INT, Kind.TWO_INTS) else self.kind.value.replace("l", "a")
        result = self.result if self.result in bound | {own} else own
        return Program(kind=self.kind, steps=steps, result=result)


def draw_program(random: Random, steps: Sequence[int]) -> Program:
    """A program whose number of steps is one of `steps` (each at least 1)."""
    count = random.choice(steps)
    kind = random.choices((Kind.INT, Kind.LIST, Kind.STRING), (5, 3, 2))[0]
    if kind is Kind.INT:
        return _int_program(random, count)
    if kind is Kind.LIST:
        return _list_program(random, count)
    return _string_program(random, count)


def draw_input(random: Random, kind: Kind) -> str:
    """An argument list for a program of this kind, as canonical literals."""
    if kind is Kind.INT:
        return repr(random.randint(-3, 20))
    if kind is Kind.TWO_INTS:
        return f"{random.randint(0, 15)}, {random.randint(0, 12)}"
    if kind is Kind.LIST:
        return repr([random.randint(0, 9) for _ in range(random.randint(2, 4))])
    return repr("".join(random.choice("abcde") for _ in range(random.randint(2, 5))))


def _int_program(random: Random, count: int) -> Program:
    two = random.random() < 0.3
    steps: list[Step] = []
    for index in range(count):
        uses_y = any("y" in line for step in steps for line in step.lines)
        if two and index == count - 1 and not uses_y:
            steps.append(_step("add y", "x = x + y"))
        else:
            steps.append(_int_step(random, two=two))
    return Program(kind=Kind.TWO_INTS if two else Kind.INT, steps=tuple(steps), result="x")


def _list_program(random: Random, count: int) -> Program:
    fold = random.choice(("", "", "sum", "max", "min", "len"))
    if not fold:
        return Program(kind=Kind.LIST, steps=tuple(_list_step(random) for _ in range(count)), result="a")
    if count >= 3 and random.random() < 0.3:
        steps = [_list_step(random) for _ in range(count - 2)]
        steps += [_step(fold, f"x = {fold}(a)"), _int_step(random, two=False)]
        return Program(kind=Kind.LIST, steps=tuple(steps), result="x")
    steps = [_list_step(random) for _ in range(count - 1)] + [_step(fold)]
    return Program(kind=Kind.LIST, steps=tuple(steps), result=f"{fold}(a)")


def _string_program(random: Random, count: int) -> Program:
    steps = [_string_step(random) for _ in range(count)]
    if random.random() >= 0.25:
        return Program(kind=Kind.STRING, steps=tuple(steps), result="s")
    letter = random.choice("abc")
    result, message = random.choice((("len(s)", "len"), (f"s.count('{letter}')", f"count {letter}")))
    steps[-1] = _step(message)
    return Program(kind=Kind.STRING, steps=tuple(steps), result=result)


def _step(message: str, *lines: str) -> Step:
    return Step(lines=lines, message=message)


def _int_step(random: Random, *, two: bool) -> Step:
    weights = {
        "add": 5,
        "sub": 4,
        "mul": 3,
        "mod": 2,
        "abs": 1,
        "over": 2,
        "even": 1.5,
        "for": 1.5,
        "y": 4 if two else 0,
        "half": 1,
    }
    operation = random.choices(tuple(weights), tuple(weights.values()))[0]
    c = random.randint(1, 9)
    if operation == "add":
        return _step(f"add {c}", f"x = x + {c}")
    if operation == "sub":
        return _step(f"subtract {c}", f"x = x - {c}")
    if operation == "mul":
        c = random.randint(2, 3)
        return _step(f"times {c}", f"x = x * {c}")
    if operation == "mod":
        c = random.randint(2, 9)
        return _step(f"mod {c}", f"x = x % {c}")
    if operation == "abs":
        return _step("abs", "x = abs(x)")
    if operation == "half":
        return _step("half", "x = x // 2")
    if operation == "y":
        return _step("add y", "x = x + y") if random.random() < 0.6 else _step("subtract y", "x = x - y")
    if operation == "over":
        bound, d = random.randint(1, 15), random.randint(1, 9)
        lines = (f"if x > {bound}:", f"    x = x - {c}", "else:", f"    x = x + {d}")
        return _step(f"if over {bound} subtract {c} else add {d}", *lines)
    if operation == "even":
        return _step(f"if even add {c}", "if x % 2 == 0:", f"    x = x + {c}")
    times = random.randint(2, 4)
    if random.random() < 0.5:
        return _step(f"add i in range {times}", f"for i in range({times}):", "    x = x + i")
    c = random.randint(1, 5)
    return _step(f"{times} times add {c}", f"for i in range({times}):", f"    x = x + {c}")


def _list_step(random: Random) -> Step:
    c = random.randint(1, 9)
    choices: tuple[Callable[[], Step], ...] = (
        lambda: _step("sort", "a = sorted(a)"),
        lambda: _step("reverse", "a = a[::-1]"),
        lambda: _step("drop first", "a = a[1:]"),
        lambda: _step("first 2", "a = a[:2]"),
        lambda: _step(f"add {c} to each", f"a = [v + {c} for v in a]"),
        lambda: _step("double each", "a = [v * 2 for v in a]"),
        lambda: _step(f"keep over {c}", f"a = [v for v in a if v > {c}]"),
        lambda: _step(f"append {c}", f"a = a + [{c}]"),
    )
    return random.choice(choices)()


def _string_step(random: Random) -> Step:
    c, d = random.choice("abcde"), random.choice("abcdexyz")
    choices: tuple[Callable[[], Step], ...] = (
        lambda: _step("upper", "s = s.upper()"),
        lambda: _step("reverse", "s = s[::-1]"),
        lambda: _step(f"append {d}", f"s = s + '{d}'"),
        lambda: _step(f"replace {c} by {d}", f"s = s.replace('{c}', '{d}')"),
        lambda: _step("drop first", "s = s[1:]"),
        lambda: _step("first 3", "s = s[:3]"),
        lambda: _step(f"prepend {d}", f"s = '{d}' + s"),
    )
    return random.choice(choices)()
