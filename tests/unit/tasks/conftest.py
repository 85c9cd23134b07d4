"""The real sandbox, and an executor in process for trusted test programs that counts and can be scripted."""

import ast
from collections.abc import Callable, Iterator, Sequence

import pytest

from tina_azr.config import SandboxConfig, TasksConfig
from tina_azr.sandbox import Limits, Sandbox
from tina_azr.sandbox.types import Outcome, OutcomeKind, StaticPolicy
from tina_azr.tasks.types import Proposal, Task, TaskRejected
from tina_azr.tasks.validation import Validator

LITERALS = (int, float, bool, str, bytes, list, tuple, dict, set, frozenset, type(None))


class FakeExecutor:
    """Runs what the tests themselves wrote. Counts the calls that a sandbox would have been asked to make."""

    def __init__(self) -> None:
        self.batches = 0
        self.runs: list[tuple[str, str]] = []
        self.script: dict[str, Outcome] = {}
        """Outcome of a call, whatever the program."""

    def run_many(self, jobs: Sequence[tuple[str, str]], *, policy: StaticPolicy | None = None) -> list[Outcome]:
        return [outcomes[0] for outcomes in self.run_calls([(program, (call,)) for program, call in jobs])]

    def run_calls(self, jobs: Sequence[tuple[str, Sequence[str]]], *, policy: StaticPolicy | None = None) -> list[list[Outcome]]:
        self.batches += 1
        return [[self._run(program, call) for call in calls] for program, calls in jobs]

    def check_many(self, jobs: Sequence[tuple[str, Sequence[str]]]) -> list[list[Outcome]]:
        return self.run_calls(jobs)

    def literals(self, texts: Sequence[str]) -> list[str | None]:
        self.batches += 1
        return [self._literal(text) for text in texts]

    def argument_lists(self, texts: Sequence[str]) -> list[str | None]:
        self.batches += 1
        whole = [self._literal(f"[{text}]") for text in texts]
        return [None if literal is None else literal[1:-1] for literal in whole]

    def _literal(self, text: str) -> str | None:
        try:
            return repr(ast.literal_eval(text.strip()))
        except (ValueError, SyntaxError):
            return None

    def _run(self, program: str, call: str) -> Outcome:
        self.runs.append((program, call))
        if call in self.script:
            return self.script[call]
        if "import os" in program:
            return Outcome(kind=OutcomeKind.REJECTED, error="import of os")
        space: dict[str, object] = {}
        try:
            exec(program, space)
            value = eval(call, space)
        except Exception as error:  # a sandbox reports any exception of a program
            return Outcome(kind=OutcomeKind.EXCEPTION, error=f"{type(error).__name__}: {error}")
        if type(value) not in LITERALS:
            return Outcome(kind=OutcomeKind.NOT_LITERAL, error=type(value).__name__)
        return Outcome(kind=OutcomeKind.OK, value=repr(value))


@pytest.fixture
def fake() -> FakeExecutor:
    return FakeExecutor()


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """With the limits of the default configuration."""
    limits = SandboxConfig()
    with Sandbox(
        limits=Limits(
            fuel=limits.fuel,
            wall_ms=60_000,  # a busy machine must not turn one outcome into another
            memory_bytes=limits.memory_mb << 20,
            output_bytes=limits.output_bytes,
        )
    ) as sandbox:
        yield sandbox


Validate = Callable[..., Task | TaskRejected]


@pytest.fixture
def validate(fake: FakeExecutor) -> Validate:
    """One proposal on its own, in process."""

    def one(proposal: Proposal, **settings: object) -> Task | TaskRejected:
        (result,) = Validator(fake, TasksConfig(**settings)).validate([proposal])  # type: ignore[arg-type]
        return result

    return one
