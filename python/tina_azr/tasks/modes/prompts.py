"""Sentences that the worded prompts of several task types share."""

from collections.abc import Sequence

from tina_azr.tasks.blocks import fence
from tina_azr.tasks.types import Reference

PROGRAM_RULES = (
    "Requirements for the program:\n"
    "- The entry function is named `f`, takes at least one argument and returns a value. Imports, helper functions and classes "
    "stand above it; nothing follows it.\n"
    "- It is deterministic: the same input gives the same output in every process. No randomness, no dates or times, nothing that "
    "depends on the order of a set, on `id` or on `hash`.\n"
    "- It reads and writes nothing: no `input`, no printing, no files, network, environment or system calls. Only pure parts of "
    "the standard library (`math`, `itertools`, `collections`, `functools`, `re`, `string`, `heapq`, `bisect`, `operator`, "
    "`fractions`, `decimal` and the like).\n"
    "- It ends within a second, and its result depends on its input.\n"
    "- Arguments and result are plain values: numbers, strings, booleans, `None`, and lists, tuples, dictionaries and sets of "
    "them. Keep all of them short, at most about a line.\n"
)

PROGRAM_FORM = "def f(...):\n    ...\n    return ..."

INPUT_FORM = (
    "Write an input as the arguments between the parentheses of a call, positional, as literals, with strings in quotes: "
    "for example `3, [1, 2], 'abc'`."
)

DIFFICULTY = (
    "A strong reasoner who cannot run code will try to solve it. A task is worth the most when such a reasoner fails often and "
    "succeeds sometimes: ask for several dependent steps and careful tracking of state, not for obscure knowledge, "
    "long arithmetic or sheer length."
)

THINK_FIRST = "Think carefully before you answer, and check your answer by tracing the program by hand."


def references_section(references: Sequence[Reference]) -> str:
    """The known programs with their inputs and outputs, numbered; nothing where there are none."""
    if not references:
        return ""
    parts = ["Known tasks. Yours must differ from all of them in what it computes, not only in names and constants:\n"]
    for number, reference in enumerate(references, start=1):
        parts.append(f"\nTask {number}:\n" + reference_blocks(reference))
    return "".join(parts) + "\n"


def reference_blocks(reference: Reference) -> str:
    """One known program with its call."""
    blocks = fence("python", reference.program) + fence("input", reference.input)
    return blocks + (fence("output", reference.output) if reference.output else "")
