"""From proposals to tasks: what is read, what is run, and why a proposal is turned down.

All proposals of a step are validated together: one call canonicalises their inputs, one runs every program on both guest images.
The first reason that applies is the one that counts, in this order: what reading shows, what is known already, what running shows.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from tina_azr.config import TasksConfig
from tina_azr.sandbox.types import Executor, Outcome, OutcomeKind
from tina_azr.tasks.constant_output import reads_arguments
from tina_azr.tasks.identity import defines_entry, program_length, program_structure, task_key
from tina_azr.tasks.modes import MODES, Draft
from tina_azr.tasks.types import Example, Proposal, RejectReason, Task, TaskRejected
from tina_azr.tasks.values import call_of

Result = TypeVar("Result")

OUTCOME_REASONS = {
    OutcomeKind.REJECTED: RejectReason.POLICY,
    OutcomeKind.EXCEPTION: RejectReason.RAISES,
    OutcomeKind.NOT_LITERAL: RejectReason.NOT_LITERAL,
    OutcomeKind.NONDETERMINISTIC: RejectReason.NONDETERMINISTIC,
    OutcomeKind.FUEL: RejectReason.LIMIT,
    OutcomeKind.TIMEOUT: RejectReason.LIMIT,
    OutcomeKind.MEMORY: RejectReason.LIMIT,
    OutcomeKind.OUTPUT: RejectReason.LIMIT,
    OutcomeKind.CRASH: RejectReason.LIMIT,
}
"""What a run that did not end well means for a proposal."""
LIMIT_ERRORS = ("RecursionError", "MemoryError")
"""Python exceptions that say a limit was hit."""
RAW_SLACK = 4
"""An input as written may be this many times longer than its canonical form may be, and is not even read beyond that."""


class KnownTasks(Protocol):
    """What validation asks of the tasks so far; `TaskBuffer` answers it."""

    def is_known(self, key: str) -> bool:
        """Whether a task with this key has been taken in before, or is a seed."""
        ...

    def structure_count(self, mode: str, structure: str) -> int:
        """How many of the newest tasks of this mode have this structure."""
        ...


class NothingKnown:
    """A run that has no tasks yet."""

    def is_known(self, key: str) -> bool:
        """Never."""
        return False

    def structure_count(self, mode: str, structure: str) -> int:
        """None."""
        return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """A proposal that reading did not refuse."""

    proposal: Proposal
    structure: str
    length: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Runnable:
    """A proposal with canonical inputs that is neither known nor held out."""

    read: _Read
    key: str
    inputs: tuple[str, ...]
    probes: tuple[str, ...]

    @property
    def job(self) -> tuple[str, tuple[str, ...]]:
        return self.read.proposal.program, tuple(call_of(one) for one in (*self.inputs, *self.probes))


class Validator:
    """Validates the proposals of one run."""

    def __init__(
        self,
        executor: Executor,
        settings: TasksConfig,
        known: KnownTasks | None = None,
        held_out_keys: Collection[str] = frozenset(),
    ) -> None:
        self._executor = executor
        self._settings = settings
        self._known = known if known is not None else NothingKnown()
        self._held_out_keys = held_out_keys

    def validate(self, proposals: Sequence[Proposal]) -> list[Task | TaskRejected]:
        """A task, or why not, for each proposal in its order. Of equal proposals the first valid one counts."""
        read = [_captured(self._read, proposal) for proposal in proposals]
        runnable = self._prepare(read)
        jobs = dict.fromkeys(one.job for one in runnable if isinstance(one, _Runnable))
        outcomes = dict(zip(jobs, self._executor.check_many(list(jobs)), strict=True)) if jobs else {}
        new_keys: set[str] = set()
        new_structures: Counter[tuple[str, str]] = Counter()
        results: list[Task | TaskRejected] = []
        for one in runnable:
            result = one if isinstance(one, TaskRejected) else _captured(self._judge, one, outcomes[one.job])
            if isinstance(result, Task):
                result = self._new(result, new_keys, new_structures)
            results.append(result)
        return results

    def _read(self, proposal: Proposal) -> _Read:
        """What needs no sandbox."""
        settings = self._settings
        if len(proposal.program) > settings.max_program_chars:
            detail = f"a program of {len(proposal.program)} characters, {settings.max_program_chars} are allowed"
            raise TaskRejected(RejectReason.TOO_LONG, detail)
        try:
            if not defines_entry(proposal.program):
                raise TaskRejected(RejectReason.MALFORMED, "the program defines no function `f`")
            if not reads_arguments(proposal.program):
                raise TaskRejected(RejectReason.CONSTANT, "the program reads none of its arguments")
            proposal = MODES[proposal.mode].admit(proposal, settings)
            return _Read(
                proposal=proposal,
                structure=program_structure(proposal.program, mask_constants=True),
                length=program_length(proposal.program),
            )
        except SyntaxError as error:
            raise TaskRejected(RejectReason.POLICY, f"the program is not Python: {error.msg}") from error

    def _prepare(self, read: Sequence[_Read | TaskRejected]) -> list[_Runnable | TaskRejected]:
        """Canonical inputs, keys, and what is known by them."""
        longest = RAW_SLACK * self._settings.max_value_chars
        texts = dict.fromkeys(
            text for one in read if isinstance(one, _Read) for text in one.proposal.inputs if len(text) <= longest
        )
        canonical = dict(zip(texts, self._executor.argument_lists(list(texts)), strict=True))
        return [one if isinstance(one, TaskRejected) else _captured(self._runnable, one, canonical) for one in read]

    def _runnable(self, read: _Read, canonical: dict[str, str | None]) -> _Runnable:
        proposal = read.proposal
        inputs = []
        for text in proposal.inputs:
            if text not in canonical:
                raise TaskRejected(RejectReason.TOO_LONG, f"an input of {len(text)} characters")
            arguments = canonical[text]
            if arguments is None:
                raise TaskRejected(RejectReason.NOT_LITERAL, f"the input is not a list of literals: {text[:80]}")
            self._check_length("input", arguments)
            inputs.append(arguments)
        if len(set(inputs)) < len(inputs):
            raise TaskRejected(RejectReason.MALFORMED, "the same input is given twice")
        key = task_key(proposal.mode, proposal.program, inputs)
        if key in self._held_out_keys:
            raise TaskRejected(RejectReason.HELD_OUT, "part of the evaluation set")
        if self._known.is_known(key):
            raise TaskRejected(RejectReason.DUPLICATE, "this task is known")
        return _Runnable(read=read, key=key, inputs=tuple(inputs), probes=MODES[proposal.mode].probes(inputs))

    def _judge(self, one: _Runnable, outcomes: Sequence[Outcome]) -> Task:
        """The task, if the program does on every input what a task's must."""
        own, probed = outcomes[: len(one.inputs)], outcomes[len(one.inputs) :]
        examples = []
        for arguments, outcome in zip(one.inputs, own, strict=True):
            if outcome.value is None:
                raise TaskRejected(_reason(outcome), f"{call_of(arguments)}: {outcome.error or outcome.kind.value}")
            self._check_length("output", outcome.value)
            examples.append(Example(input=arguments, output=outcome.value))
        for arguments, outcome in zip(one.probes, probed, strict=True):
            # A program that is not deterministic on a neighbouring input cannot be trusted to grade answers with.
            if outcome.kind is OutcomeKind.NONDETERMINISTIC:
                raise TaskRejected(RejectReason.NONDETERMINISTIC, f"{call_of(arguments)}: {outcome.error or ''}")
        draft = Draft(
            proposal=one.read.proposal,
            key=one.key,
            structure=one.read.structure,
            length=one.read.length,
            examples=tuple(examples),
            probe_outputs=tuple(outcome.value for outcome in probed),
        )
        return MODES[one.read.proposal.mode].build(draft, self._settings)

    def _new(self, task: Task, keys: set[str], structures: Counter[tuple[str, str]]) -> Task | TaskRejected:
        """The task, unless this batch has it already, or its template has been used up."""
        if task.key in keys:
            return TaskRejected(RejectReason.DUPLICATE, "proposed twice in this step")
        if MODES[task.mode].invents:
            used = self._known.structure_count(task.mode, task.structure) + structures[task.mode, task.structure]
            if used >= self._settings.max_repeats_of_structure:
                return TaskRejected(RejectReason.DUPLICATE, f"{used} of the newest tasks have this structure")
        keys.add(task.key)
        structures[task.mode, task.structure] += 1
        return task

    def _check_length(self, what: str, literal: str) -> None:
        if len(literal) > self._settings.max_value_chars:
            detail = f"an {what} of {len(literal)} characters, {self._settings.max_value_chars} are allowed"
            raise TaskRejected(RejectReason.TOO_LONG, detail)


def _reason(outcome: Outcome) -> RejectReason:
    if outcome.kind is OutcomeKind.EXCEPTION and (outcome.error or "").startswith(LIMIT_ERRORS):
        return RejectReason.LIMIT
    return OUTCOME_REASONS[outcome.kind]


def _captured(function: Callable[..., Result], *arguments: object) -> Result | TaskRejected:
    """The function's result, or the rejection that it raised: a rejected proposal is data."""
    try:
        return function(*arguments)
    except TaskRejected as rejected:
        return rejected
