"""Thoughts as execution traces, taken inside the sandbox.

One guest program traces a whole batch of generated programs: a run a program would spend nearly all its time on starting. The forward
trace reads `x = 18 - 6 -> 12` (values put in, then the result), the backward trace `12 = x - 6 <- 18` from the last line to the first.
"""

import ast
from collections.abc import Sequence
from dataclasses import dataclass

from tina_azr.errors import SandboxError
from tina_azr.sandbox import Limits, Sandbox, StaticPolicy

TRACING_LIMITS = Limits(fuel=200_000_000_000, wall_ms=120_000, memory_bytes=512 << 20, output_bytes=16 << 20, source_bytes=16 << 20)
"""For a batch of some hundred programs of our own, not for one program of a model's."""

GUEST = r"""
import re
import sys

NAME = re.compile(r"(?<!['a-z.])[a-z]+(?!['a-z(])")
ASSIGNMENT = re.compile(r"([a-z]+) = (.*)")


def trace_one(source, arguments):
    lines = source.split("\n")
    events = []
    space = {}
    exec(compile(source, "<traced>", "exec"), space)
    function = space["f"]
    code = function.__code__
    budget = [300]

    def local(frame, event, argument):
        budget[0] -= 1
        if budget[0] < 0:
            raise RuntimeError("too many lines")
        # A comprehension is part of the frame's own code: its rounds are further events of one line, not further lines.
        same = event == "line" and events and events[-1][3] == frame.f_lineno
        if event in ("line", "return") and not same:
            state = {name: repr(value) for name, value in frame.f_locals.items()}
            if events and events[-1][2] is None:
                events[-1][2] = state
            if event == "line":
                events.append([lines[frame.f_lineno - 1].strip(), state, None, frame.f_lineno])
            else:
                events[-1][2] = {"return": repr(argument)}
        return local

    def tracer(frame, event, argument):
        return local if frame.f_code is code else None

    values = eval("(" + arguments + ",)", {})
    sys.settrace(tracer)
    try:
        result = function(*values)
    except Exception:
        return None
    finally:
        sys.settrace(None)
    if not isinstance(result, (int, str, list)) or len(repr(result)) > 80:
        return None
    forward, backward = [], []
    for line, before, after, _ in events:
        def put_in(text):
            return NAME.sub(lambda found: before.get(found.group(0), found.group(0)), text)

        def read(text):
            return ", ".join(before[name] for name in dict.fromkeys(NAME.findall(text)) if name in before)

        assignment = ASSIGNMENT.match(line)
        if assignment:
            target, expression = assignment.groups()
            forward.append(f"{target} = {put_in(expression)} -> {after.get(target)}")
            backward.append(f"{after.get(target)} = {expression} <- {read(expression)}")
        elif line.startswith("if"):
            condition = line[3:-1]
            forward.append(f"if {put_in(condition)} -> {bool(eval(put_in(condition), {}))}")
            backward.append(line)
        elif line.startswith("for"):
            step = f"i = {after.get('i')}" if before.get("i") != after.get("i") else "end"
            forward.append(step)
            backward.append(step)
        elif line.startswith("return"):
            value = after["return"]
            expression = put_in(line[7:])
            forward.append(f"return {expression} -> {value}" if expression != value else f"return {value}")
            if "(" in line:
                backward.append(f"{value} = {line[7:]} <- {read(line[7:])}")
    return (repr(result), "\n".join(forward), "\n".join(reversed(backward)))


def f(jobs):
    return [trace_one(source, arguments) for source, arguments in jobs]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """One traced call."""

    output: str
    """Canonical literal of the result."""
    forward: str
    """Lines in order, values put in: how the output is found."""
    backward: str
    """Lines from last to first: how an input is found."""


def trace_calls(sandbox: Sandbox, calls: Sequence[tuple[str, str]]) -> list[Trace | None]:
    """Trace (program, argument list) pairs of the generator's own; None where a program raised or returned something too long.

    `sandbox` needs `TRACING_LIMITS`. Raises SandboxError if the batch itself could not run.
    """
    outcome = sandbox.run_many([(GUEST, f"f({list(calls)!r})")], policy=StaticPolicy.OPEN)[0]
    if not outcome.ok or outcome.value is None:
        raise SandboxError(f"tracing {len(calls)} generated programs ended as {outcome.kind}: {outcome.error}")
    # Our own guest wrote this literal, from our own templates.
    rows = ast.literal_eval(outcome.value)
    return [None if row is None else Trace(output=row[0], forward=row[1], backward=row[2]) for row in rows]
