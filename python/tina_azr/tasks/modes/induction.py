"""Induction: a message and some input-output pairs are given, a program is wanted that holds on hidden pairs too."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from tina_azr.config import TasksConfig
from tina_azr.sandbox.types import Executor, Outcome, OutcomeKind
from tina_azr.tasks import compact_prompts
from tina_azr.tasks.blocks import fence, find_blocks
from tina_azr.tasks.constant_output import is_constant
from tina_azr.tasks.message_leak import gives_away
from tina_azr.tasks.modes.base import Draft
from tina_azr.tasks.modes.prompts import DIFFICULTY, INPUT_FORM, PROGRAM_FORM, reference_blocks
from tina_azr.tasks.modes.single_call import first_reference, last_block, only_block
from tina_azr.tasks.types import Example, Proposal, Reference, RejectReason, Task, TaskRejected, Verdict
from tina_azr.tasks.values import call_of, same_value
from tina_azr.text.style import PromptStyle

WORDED_INPUTS = 10
"""Inputs that the worded prompt asks for, as in the original; `TasksConfig.induction_inputs` says how many are used."""


class Induction:
    """Write the program that a message and examples describe."""

    name = "induction"
    family = "pairs"
    invents = False

    def propose_prompt(self, style: PromptStyle, references: Sequence[Reference], *, extend: bool) -> str:
        """Ask for inputs and a message about the first reference; `extend` means nothing here."""
        if style is PromptStyle.COMPACT:
            return compact_prompts.propose_examples(first_reference(references))
        answer = fence("input", "...") * 2 + "(and so on, one block for each input)\n" + fence("message", "...")
        return (
            "Here is a Python program with one input and its output.\n\n"
            + reference_blocks(first_reference(references))
            + "\nMake a puzzle of it: the solver sees your message and the outputs of some of your inputs, never the program, and "
            + f"must write a program that gives the right output for all of them. {DIFFICULTY}\n\n"
            + f"- Give {WORDED_INPUTS} different inputs that together show what the program does, with its special cases. "
            + f"{INPUT_FORM}\n"
            + "- Write a message that makes the task solvable without giving the program away: no code, no line of the program.\n\n"
            + "Think carefully before you answer. Then end with one block for each input and one for the message, nothing after "
            + f"them:\n\n{answer}"
        )

    def solve_prompt(self, style: PromptStyle, task: Task) -> str:
        """Message and visible pairs."""
        if style is PromptStyle.COMPACT:
            return compact_prompts.solve_induction(task)
        pairs = "".join(f"{call_of(pair.input)} == {pair.output}\n" for pair in task.visible)
        return (
            "Write the Python function `f` that this message and these examples describe. It will be checked on further inputs.\n\n"
            + fence("message", task.message)
            + f"\n{fence('examples', pairs.rstrip())}\n"
            + "The function must be deterministic and must not read or print anything; only pure parts of the standard library. "
            + "Think first, and check your function against every example. End with the whole program in one block, nothing after "
            + f"it:\n\n{fence('python', PROGRAM_FORM)}"
        )

    def parse_proposal(self, answer: str, references: Sequence[Reference]) -> Proposal:
        """All input blocks and the one message; a program block, if it repeats the program, is ignored."""
        inputs = find_blocks(answer, "input")
        if not inputs:
            raise TaskRejected(RejectReason.MALFORMED, "no `input` block")
        message = only_block(answer, "message").strip()
        return Proposal(mode=self.name, program=references[0].program, inputs=tuple(inputs), message=message)

    def parse_answer(self, answer: str) -> str:
        """The last program block."""
        return last_block(answer, "python")

    def admit(self, proposal: Proposal, settings: TasksConfig) -> Proposal:
        """The last inputs, as many as are needed, and a message that says something without showing the program."""
        inputs = tuple(dict.fromkeys(proposal.inputs))[-settings.induction_inputs :]
        if len(inputs) < settings.induction_inputs:
            raise TaskRejected(RejectReason.MALFORMED, f"{len(inputs)} different inputs, {settings.induction_inputs} are needed")
        if not proposal.message:
            raise TaskRejected(RejectReason.MALFORMED, "the message is empty")
        if len(proposal.message) > settings.max_message_chars:
            detail = f"a message of {len(proposal.message)} characters, {settings.max_message_chars} are allowed"
            raise TaskRejected(RejectReason.TOO_LONG, detail)
        if gives_away(proposal.message, proposal.program):
            raise TaskRejected(RejectReason.LEAKS_CODE, "the message shows the program")
        return replace(proposal, inputs=inputs)

    def probes(self, inputs: Sequence[str]) -> tuple[str, ...]:
        """None: its own inputs show whether they matter."""
        return ()

    def build(self, draft: Draft, settings: TasksConfig) -> Task:
        """The task with its pairs split at random: which are hidden depends on the task, not on the order they were given in."""
        first, *others = (example.output for example in draft.examples)
        if is_constant(first, others):
            raise TaskRejected(RejectReason.CONSTANT, f"all {len(draft.examples)} inputs give {first}")
        drawn = sorted(draft.examples, key=lambda example: hashlib.sha256(f"{draft.key}/{example.input}".encode()).digest())
        shown = set(drawn[: settings.induction_visible])
        return Task(
            key=draft.key,
            mode=self.name,
            program=draft.proposal.program,
            message=draft.proposal.message,
            visible=tuple(example for example in draft.examples if example in shown),
            hidden=tuple(example for example in draft.examples if example not in shown),
            structure=draft.structure,
            length=draft.length,
        )

    def grade(self, executor: Executor, answers: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """Run every answer that is not the task's own program on visible and hidden pairs: all must hold."""
        jobs = [(text, tuple(call_of(pair.input) for pair in _pairs(task))) for task, text in answers if text != task.program]
        outcomes = iter(executor.run_calls(jobs))
        return [Verdict.CORRECT if text == task.program else _verdict(task, next(outcomes)) for task, text in answers]


def _pairs(task: Task) -> tuple[Example, ...]:
    return (*task.visible, *task.hidden)


def _verdict(task: Task, outcomes: Sequence[Outcome]) -> Verdict:
    if any(outcome.kind is OutcomeKind.REJECTED for outcome in outcomes):
        return Verdict.MALFORMED
    holds = (o.value is not None and same_value(o.value, pair.output) for pair, o in zip(_pairs(task), outcomes, strict=True))
    return Verdict.CORRECT if all(holds) else Verdict.WRONG
