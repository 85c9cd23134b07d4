"""What task types share whose tasks are one program, one input and its output, and whose proposer invents the program."""

from collections.abc import Sequence

from tina_azr.config import TasksConfig
from tina_azr.errors import ConfigError
from tina_azr.tasks.blocks import fence, find_blocks
from tina_azr.tasks.canonical import canonical_program
from tina_azr.tasks.constant_output import is_constant, varied_arguments
from tina_azr.tasks.modes.base import Draft
from tina_azr.tasks.modes.prompts import (
    DIFFICULTY,
    INPUT_FORM,
    PROGRAM_FORM,
    PROGRAM_RULES,
    THINK_FIRST,
    reference_blocks,
    references_section,
)
from tina_azr.tasks.types import Proposal, Reference, RejectReason, Task, TaskRejected


class SingleCall:
    """Half of a task type: parsing, checking and building. Prompts of the solver and grading are the type's own."""

    name = ""
    family = "call"
    invents = True

    def parse_proposal(self, answer: str, references: Sequence[Reference]) -> Proposal:
        """One program and one input. The same block written twice is one; two different ones leave open which is meant."""
        program, given = only_block(answer, "python"), only_block(answer, "input")
        if any(is_same_program(program, reference.program) for reference in references):
            raise TaskRejected(RejectReason.DUPLICATE, "the program is one of those that were shown")
        return Proposal(mode=self.name, program=program, inputs=(given,))

    def admit(self, proposal: Proposal, settings: TasksConfig) -> Proposal:
        """All of it."""
        return proposal

    def probes(self, inputs: Sequence[str]) -> tuple[str, ...]:
        """The one input varied."""
        return varied_arguments(inputs[0])

    def build(self, draft: Draft, settings: TasksConfig) -> Task:
        """The task, unless other inputs make no difference."""
        (example,) = draft.examples
        if is_constant(example.output, draft.probe_outputs):
            raise TaskRejected(RejectReason.CONSTANT, f"every input that was tried gives {example.output}")
        return Task(
            key=draft.key,
            mode=self.name,
            program=draft.proposal.program,
            input=example.input,
            output=example.output,
            structure=draft.structure,
            length=draft.length,
        )


def first_reference(references: Sequence[Reference]) -> Reference:
    """The one that a prompt cannot do without. Raises ConfigError where the run shows none."""
    if not references:
        raise ConfigError("tasks.references is 0, but this prompt is about a reference: set it to 1 or more.")
    return references[0]


def only_block(answer: str, tag: str) -> str:
    """The body of the one block of this kind, repeats of it not counted. Raises TaskRejected."""
    bodies = list(dict.fromkeys(find_blocks(answer, tag)))
    if len(bodies) != 1:
        raise TaskRejected(RejectReason.MALFORMED, f"no `{tag}` block" if not bodies else f"{len(bodies)} different `{tag}` blocks")
    return bodies[0]


def last_block(answer: str, tag: str) -> str:
    """The body of the last block of this kind: a solver may write drafts first. Raises TaskRejected."""
    bodies = find_blocks(answer, tag)
    if not bodies:
        raise TaskRejected(RejectReason.MALFORMED, f"no `{tag}` block")
    return bodies[-1]


def is_same_program(left: str, right: str) -> bool:
    """Whether two programs are the same up to formatting and names; False if one cannot be read."""
    if left == right:
        return True
    try:
        return canonical_program(left) == canonical_program(right)
    except SyntaxError:
        return False


def propose_in_words(wanted: str, references: Sequence[Reference], *, extend: bool) -> str:
    """The worded request for a program and an input. `wanted` says what the solver will have to do."""
    if extend:
        opening = (
            "Take this Python task and make it harder by one more step of computation, in a way that uses what is there:\n\n"
            + reference_blocks(first_reference(references))
        )
        known = references_section(references[1:])
    else:
        opening = "Invent a Python program and an input for it, as a puzzle.\n"
        known = references_section(references)
    answer = fence("python", PROGRAM_FORM) + fence("input", "...")
    return (
        f"{opening}\n{wanted} {DIFFICULTY}\n\n{PROGRAM_RULES}\n{INPUT_FORM}\n\n{known}{THINK_FIRST} "
        f"Then end with exactly these two blocks, and nothing after them:\n\n{answer}"
    )
