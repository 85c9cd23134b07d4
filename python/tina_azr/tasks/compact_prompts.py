"""The compact prompt set: the few fixed words that the embedded model was warm-started on.

Frozen: a changed byte here makes the shipped weights read a language they never saw. Each task type takes its own texts from here;
the worded set for large models stands in the task types' own files.
"""

from collections.abc import Sequence

from tina_azr.tasks.blocks import fence
from tina_azr.tasks.types import Example, Reference, Task

COMPACT_VERBS = {"deduction": "predict", "abduction": "find"}


def propose_call(mode: str, reference: Reference, *, extend: bool) -> str:
    """Ask for a program and an input: a new one, or the reference with one more step."""
    verb = COMPACT_VERBS[mode]
    request = f"Add a step to this {verb} task." if extend else f"Propose a new {verb} task."
    return f"{request}\nExample:\n" + fence("python", reference.program) + fence("input", reference.input)


def propose_examples(reference: Reference) -> str:
    """Ask for inputs of a given program and a message that describes it."""
    return "Propose inputs and a message.\n" + fence("python", reference.program)


def solve_deduction(task: Task) -> str:
    """Program and input; the output is wanted."""
    return "Predict the output.\n" + fence("python", task.program) + fence("input", task.input)


def solve_abduction(task: Task) -> str:
    """Program and output; an input is wanted."""
    return "Find an input.\n" + fence("python", task.program) + fence("output", task.output)


def solve_induction(task: Task) -> str:
    """Message and visible pairs; the program is wanted."""
    return "Write the function.\n" + fence("message", task.message) + _pairs(task.visible)


def _pairs(examples: Sequence[Example]) -> str:
    return "".join(f"{example.input} -> {example.output}\n" for example in examples)
