"""What a task type is: its prompts, its parsers, and its part of validation and grading. One file a type, one line in `MODES`.

Everything else asks these questions and never which type it has. A type does not run programs one by one: validation runs what
`probes` and the proposal name in one batch, and `grade` is given all answers of a step that are worth running.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from tina_azr.config import TasksConfig
from tina_azr.sandbox.types import Executor
from tina_azr.tasks.types import Example, Proposal, Reference, Task, Verdict
from tina_azr.text.style import PromptStyle


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A proposal whose program ran on all its inputs, twice alike, with literal results of a length that is allowed."""

    proposal: Proposal
    key: str
    structure: str
    length: int
    examples: tuple[Example, ...]
    """One for each input of the proposal, in its order: canonical arguments and result."""
    probe_outputs: tuple[str | None, ...]
    """Canonical results of the mode's own `probes`; None where such a run raised or was stopped."""


class TaskMode(Protocol):
    """One task type. Implementations hold no state."""

    @property
    def name(self) -> str:
        """Its key in `MODES`, and `Task.mode` of its tasks."""
        ...

    @property
    def family(self) -> str:
        """Types of one family ask about the same facts: a task of one, known or held out, is known or held out in all."""
        ...

    @property
    def invents(self) -> bool:
        """Whether a proposal brings its own program. If not, it is about the program of its one reference."""
        ...

    def propose_prompt(self, style: PromptStyle, references: Sequence[Reference], *, extend: bool) -> str:
        """Ask for a task: unlike the references, or, with `extend`, the first of them made one step harder."""
        ...

    def solve_prompt(self, style: PromptStyle, task: Task) -> str:
        """Ask for a solution. Holds nothing that gives it away."""
        ...

    def parse_proposal(self, answer: str, references: Sequence[Reference]) -> Proposal:
        """Parse a proposer's answer (the text after its reasoning). Raises TaskRejected."""
        ...

    def parse_answer(self, answer: str) -> str:
        """What a solver's answer says: the body of the block that was asked for. Raises TaskRejected with MALFORMED."""
        ...

    def admit(self, proposal: Proposal, settings: TasksConfig) -> Proposal:
        """What of a proposal is validated; refuses what can be refused by reading. Raises TaskRejected."""
        ...

    def probes(self, inputs: Sequence[str]) -> tuple[str, ...]:
        """Argument lists to run besides the proposal's own canonical ones, to see whether the input matters."""
        ...

    def build(self, draft: Draft, settings: TasksConfig) -> Task:
        """The task, its facts being known. Raises TaskRejected."""
        ...

    def grade(self, executor: Executor, answers: Sequence[tuple[Task, str]]) -> list[Verdict]:
        """Verdicts of parsed answers, which are all different, in their order."""
        ...
