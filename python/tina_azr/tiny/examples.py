"""Supervised examples of the warm start: prompts in the compact words, answers in their blocks, traces as reasoning."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from random import Random

from tina_azr.sandbox import Sandbox
from tina_azr.tasks.blocks import fence
from tina_azr.tasks.compact_prompts import propose_call, propose_examples, solve_abduction, solve_deduction, solve_induction
from tina_azr.tasks.identity import program_length, program_structure, task_key
from tina_azr.tasks.types import Example, Reference, Task
from tina_azr.tiny.programs import Program, draw_input, draw_program
from tina_azr.tiny.tracing import Trace, trace_calls

PAIRS = 5
VISIBLE = 3
VAGUE_SHARE = 0.4
"""Share of induction messages without their numbers, so that the pairs have to be read."""
BATCH = 256
"""Drafts traced in one sandbox run."""
RECIPE = {
    ("solver", "deduction"): 4.0,
    ("solver", "abduction"): 4.0,
    ("solver", "induction"): 3.0,
    ("new", "deduction"): 0.5,
    ("new", "abduction"): 0.5,
    ("extend", "deduction"): 0.8,
    ("extend", "abduction"): 0.8,
    ("describe", "induction"): 1.0,
}
"""Relative frequency of each kind of example."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisedExample:
    """One prompt and the completion to learn."""

    prompt: str
    """The user's message; the chat template puts the rest around it."""
    completion: str
    """From the first token of the reasoning up to, not including, `<|im_end|>`."""
    kind: str
    mode: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Worked:
    """A generated program with what the sandbox found."""

    program: Program
    inputs: tuple[str, ...]
    traces: tuple[Trace, ...]

    def key(self, mode: str) -> str:
        """The task's identity in a mode, without building the task."""
        return task_key(mode, self.program.source, self.inputs if mode == "induction" else self.inputs[:1])

    def task(self, mode: str, message: str = "") -> Task:
        """The task that this program makes in a mode."""
        source = self.program.source
        if mode == "induction":
            pairs = tuple(Example(input=i, output=t.output) for i, t in zip(self.inputs, self.traces, strict=True))
            return Task(
                key=self.key(mode),
                mode=mode,
                program=source,
                message=message or self.program.message,
                visible=pairs[:VISIBLE],
                hidden=pairs[VISIBLE:],
                structure=program_structure(source),
                length=program_length(source),
            )
        return Task(
            key=self.key(mode),
            mode=mode,
            program=source,
            input=self.inputs[0],
            output=self.traces[0].output,
            structure=program_structure(source),
            length=program_length(source),
        )


def draw_worked(random: Random, sandbox: Sandbox, steps: tuple[int, ...], pairs: Sequence[int]) -> list[Worked | None]:
    """One traced program for each entry of `pairs`, with that many distinct inputs; None where it raised or returned too much."""
    drafts = []
    for count in pairs:
        program = draw_program(random, steps)
        distinct = dict.fromkeys(draw_input(random, program.kind) for _ in range(count + 3 if count > 1 else 1))
        drafts.append((program, tuple(distinct)[:count]))
    traces = iter(trace_calls(sandbox, [(program.source, one) for program, inputs in drafts for one in inputs]))
    worked: list[Worked | None] = []
    for (program, inputs), count in zip(drafts, pairs, strict=True):
        kept = tuple(trace for trace in [next(traces) for _ in inputs] if trace is not None)
        worked.append(Worked(program=program, inputs=inputs, traces=kept) if len(kept) == count else None)
    return worked


def vague(random: Random, program: Program) -> str:
    """The program's description, in a share of cases without its numbers."""
    if random.random() < VAGUE_SHARE:
        return "; ".join(re.sub(r" \d+", "", step.message) for step in program.steps)
    return program.message


def completion(reasoning: str, answer: str) -> str:
    """Return reasoning and answer in the form of Qwen3-Thinking's completions."""
    return f"{reasoning}\n</think>\n\n{answer.rstrip(chr(10))}"


def solver_example(mode: str, worked: Worked, message: str, *, skip_steps: bool = False) -> SupervisedExample:
    """Return a solved task; with `skip_steps` the reasoning is only its end, so that full reasoning remains to be discovered.

    Induction is never shortened: its reasoning is the list of operations, and shortening it damaged the base (see the model card).
    """
    task = worked.task(mode, message)
    trace = worked.traces[0]
    if mode == "deduction":
        reasoning = trace.forward.rsplit("\n", 1)[-1] if skip_steps else trace.forward
        return _example("solver", mode, solve_deduction(task), reasoning, fence("output", task.output))
    if mode == "abduction":
        reasoning = f"return {trace.output}"
        if not skip_steps and trace.backward:
            reasoning += "\n" + trace.backward
        return _example("solver", mode, solve_abduction(task), reasoning, fence("input", task.input))
    reasoning = "\n".join(f"- {step.message}" for step in worked.program.steps)
    return _example("solver", mode, solve_induction(task), reasoning, fence("python", task.program))


def example_chunk(
    seed: int, chunk: int, sandbox: Sandbox, steps: tuple[int, ...], held_out: Collection[str], *, skip_share: float = 0.0
) -> list[SupervisedExample]:
    """Return chunk number `chunk` of a seed, about 250 examples; it is always the same. No task whose key is in `held_out` occurs."""
    random = Random(f"{seed}/{chunk}")
    recipe = random.choices(tuple(RECIPE), tuple(RECIPE.values()), k=BATCH)
    drawn = draw_worked(random, sandbox, steps, [PAIRS if mode == "induction" else 1 for _, mode in recipe])
    examples = []
    for (kind, mode), worked in zip(recipe, drawn, strict=True):
        skip = random.random() < skip_share
        if worked is None or worked.key(mode) in held_out:
            continue
        if kind == "solver":
            message = vague(random, worked.program) if mode == "induction" else ""
            examples.append(solver_example(mode, worked, message, skip_steps=skip))
        elif kind == "describe":
            examples.append(_describing(worked))
        else:
            examples.append(_proposing(random, kind, mode, worked, steps))
    return examples


def _describing(worked: Worked) -> SupervisedExample:
    reference = Reference(program=worked.program.source, input=worked.inputs[0])
    answer = "".join(fence("input", one) for one in worked.inputs) + fence("message", worked.program.message)
    return _example("describe", "induction", propose_examples(reference), worked.program.kind.value[0], answer)


def _proposing(random: Random, kind: str, mode: str, worked: Worked, steps: tuple[int, ...]) -> SupervisedExample:
    program = worked.program
    answer = fence("python", program.source) + fence("input", worked.inputs[0])
    if kind == "extend":
        shorter = program.without_last_step()
        reference = Reference(program=shorter.source, input=draw_input(random, shorter.kind))
        reasoning = f"+ {program.steps[-1].message}"
    else:
        other = draw_program(random, steps)
        reference = Reference(program=other.source, input=draw_input(random, other.kind))
        reasoning = program.message
    return _example(kind, mode, propose_call(mode, reference, extend=kind == "extend"), reasoning, answer)


def _example(kind: str, mode: str, prompt: str, reasoning: str, answer: str) -> SupervisedExample:
    return SupervisedExample(prompt=prompt, completion=completion(reasoning, answer), kind=kind, mode=mode)
