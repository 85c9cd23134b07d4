"""Deduction: program and input are given, the output is wanted."""

from collections.abc import Sequence

from tina_azr.sandbox.types import Executor
from tina_azr.tasks import compact_prompts
from tina_azr.tasks.blocks import fence
from tina_azr.tasks.modes.single_call import SingleCall, first_reference, last_block, propose_in_words
from tina_azr.tasks.types import Reference, Task, Verdict
from tina_azr.tasks.values import same_value
from tina_azr.text.style import PromptStyle

WANTED = "The solver is shown the program and the input and must predict the exact output."


class Deduction(SingleCall):
    """Predict what a program returns."""

    name = "deduction"

    def propose_prompt(self, style: PromptStyle, references: Sequence[Reference], *, extend: bool) -> str:
        """Ask for a program and an input."""
        if style is PromptStyle.COMPACT:
            return compact_prompts.propose_call(self.name, first_reference(references), extend=extend)
        return propose_in_words(WANTED, references, extend=extend)

    def solve_prompt(self, style: PromptStyle, task: Task) -> str:
        """Program and input."""
        if style is PromptStyle.COMPACT:
            return compact_prompts.solve_deduction(task)
        return (
            "What does this call return? Work it out step by step; you cannot run the program.\n\n"
            + fence("python", task.program)
            + f"\nThe arguments of `f`, as between the parentheses of a call:\n\n{fence('input', task.input)}\n"
            + "End with the returned value as a Python literal (strings in quotes, tuples in parentheses) in one block, nothing "
            + f"after it:\n\n{fence('output', '...')}"
        )

    def parse_answer(self, answer: str) -> str:
        """The last output block."""
        return last_block(answer, "output")

    def grade(self, executor: Executor, answers: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """Compare values; nothing is run, and text that is no literal is no answer."""
        values = executor.literals([text for _, text in answers])
        return [self._verdict(task, value) for (task, _), value in zip(answers, values, strict=True)]

    def _verdict(self, task: Task, value: str | None) -> Verdict:
        if value is None:
            return Verdict.MALFORMED
        return Verdict.CORRECT if same_value(value, task.output) else Verdict.WRONG
