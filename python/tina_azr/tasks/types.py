"""The heart's nouns: a task, where it came from, and why a proposal was turned down.

All program text here is model text: it is run in the sandbox only. Inputs and outputs are *canonical literals* as the sandbox
prints them (`tina_azr.sandbox`), so two equal values have one spelling.
"""

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """Which half of the game a rollout plays."""

    PROPOSER = "proposer"
    SOLVER = "solver"


class RejectReason(StrEnum):
    """Why a proposal did not become a task; counted in every step's metrics."""

    NO_ANSWER = "no_answer"
    """The completion ended before `</think>`."""
    MALFORMED = "malformed"
    """A block that the mode asks for is missing or doubled."""
    TOO_LONG = "too_long"
    """Program, input, message or resulting prompt over its limit."""
    POLICY = "policy"
    """Refused by the static policy before it ran."""
    RAISES = "raises"
    """The program or its input raised a Python exception."""
    LIMIT = "limit"
    """Out of fuel, time, memory, output or recursion."""
    NOT_LITERAL = "not_literal"
    """An input or result that is not a literal value."""
    NONDETERMINISTIC = "nondeterministic"
    """The two guest images disagree."""
    CONSTANT = "constant"
    """The result does not depend on the input."""
    LEAKS_CODE = "leaks_code"
    """An induction message that gives the program away."""
    DUPLICATE = "duplicate"
    """Known already, up to formatting and local names (and constants, where the run masks them)."""
    HELD_OUT = "held_out"
    """Part of the frozen evaluation set."""
    OVER_LENGTH_CAP = "beyond_reach"
    """Valid and new, but longer than the length cap allows by now: not solved, and not remembered, so it may come again."""


class Verdict(StrEnum):
    """What grading says of one solver answer."""

    CORRECT = "correct"
    WRONG = "wrong"
    """Well formed, but not the right value."""
    MALFORMED = "malformed"
    """No answer after `</think>`, or not in the form that was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One call of a program and its result."""

    input: str
    """Argument list as canonical literals, without parentheses: `3, [1, 2]`."""
    output: str
    """Canonical literal of the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A program shown to the proposer as something to differ from (or, for induction, to describe)."""

    program: str
    input: str
    output: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a proposer's answer says, before anything has been run."""

    mode: str
    program: str
    inputs: tuple[str, ...]
    """One input for deduction and abduction; the whole set for induction. Raw model text."""
    message: str = ""
    """Induction only: the description that the solver is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A validated task. Immutable: pass rates and introspection live in the buffer, beside it."""

    key: str
    """SHA-256 over mode family, canonical program and canonical inputs: what makes two tasks the same."""
    mode: str
    """Name in `tasks.modes.MODES`."""
    program: str
    """Source as proposed; defines `f`."""
    input: str = ""
    """Canonical argument list (deduction, abduction)."""
    output: str = ""
    """Canonical result (deduction, abduction)."""
    message: str = ""
    """Induction: the description."""
    visible: tuple[Example, ...] = ()
    """Induction: pairs the solver sees."""
    hidden: tuple[Example, ...] = ()
    """Induction: pairs the answer must satisfy."""
    structure: str = ""
    """Digest of the canonical program with its constants masked: its template."""
    length: int = 0
    """Statements of the program that are not a plain `return name`: a rough length."""


IN_DISTRIBUTION = range(1, 4)
"""Program lengths that the embedded model's warm start has seen. The headline is the accuracy over these."""
LONGER = range(4, 7)
"""Program lengths that it has not seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldoutTask:
    """A task of the frozen evaluation set."""

    task: Task
    stratum: int
    """Number of steps that the task was drawn with; accuracy is reported by it."""


class TaskRejected(Exception):
    """Raised by parsers and validation; carries the reason that is counted and a sentence for people."""

    def __init__(self, reason: RejectReason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason = reason
        self.detail = detail
