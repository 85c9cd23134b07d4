"""Abduction: program and output are given, an input is wanted. Any input that gives the output is right."""

from collections.abc import Sequence

from tina_azr.sandbox.types import Executor
from tina_azr.tasks import compact_prompts
from tina_azr.tasks.blocks import fence
from tina_azr.tasks.modes.single_call import SingleCall, first_reference, last_block, propose_in_words
from tina_azr.tasks.types import Reference, Task, Verdict
from tina_azr.tasks.values import call_of, same_value
from tina_azr.text.style import PromptStyle

WANTED = "The solver is shown the program and the output that your input gives, and must find an input that gives it."


class Abduction(SingleCall):
    """Find an input for an output."""

    name = "abduction"

    def propose_prompt(self, style: PromptStyle, references: Sequence[Reference], *, extend: bool) -> str:
        """Ask for a program and an input."""
        if style is PromptStyle.COMPACT:
            return compact_prompts.propose_call(self.name, first_reference(references), extend=extend)
        return propose_in_words(WANTED, references, extend=extend)

    def solve_prompt(self, style: PromptStyle, task: Task) -> str:
        """Program and output."""
        if style is PromptStyle.COMPACT:
            return compact_prompts.solve_abduction(task)
        return (
            "Find an input for which this program returns the given output. Any such input will do; you cannot run the program.\n\n"
            + fence("python", task.program)
            + f"\nThe value that `f` must return:\n\n{fence('output', task.output)}\n"
            + "End with the arguments of `f`, as between the parentheses of a call (positional, as literals, strings in quotes, "
            + f"for example `3, [1, 2], 'abc'`), in one block, nothing after it:\n\n{fence('input', '...')}"
        )

    def parse_answer(self, answer: str) -> str:
        """The last input block."""
        return last_block(answer, "input")

    def grade(self, executor: Executor, answers: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """Run each task's own program on the answers that are argument lists, each different one once."""
        arguments = executor.argument_lists([text for _, text in answers])
        calls: dict[str, dict[str, None]] = {}
        for (task, _), given in zip(answers, arguments, strict=True):
            if given is not None and given != task.input:
                calls.setdefault(task.program, {})[call_of(given)] = None
        jobs = [(program, tuple(wanted)) for program, wanted in calls.items()]
        results: dict[tuple[str, str], str | None] = {}
        for (program, wanted), outcomes in zip(jobs, executor.run_calls(jobs), strict=True):
            results.update({(program, call): outcome.value for call, outcome in zip(wanted, outcomes, strict=True)})
        return [self._verdict(task, given, results) for (task, _), given in zip(answers, arguments, strict=True)]

    def _verdict(self, task: Task, given: str | None, results: dict[tuple[str, str], str | None]) -> Verdict:
        if given is None:
            return Verdict.MALFORMED
        # The proposer's own input is known to give the output.
        value = task.output if given == task.input else results[task.program, call_of(given)]
        return Verdict.CORRECT if value is not None and same_value(value, task.output) else Verdict.WRONG
