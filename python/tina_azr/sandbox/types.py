"""What the sandbox says about a program. A program that fails is an `Outcome`; only the sandbox's own failure is an exception."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from typing_extensions import TypedDict


class StaticPolicy(StrEnum):
    """Static check before a run. WebAssembly isolates; this check only rejects early, with a readable reason."""

    STRICT = "strict"
    """No imports, no attribute access (the original executor's rule)."""
    STANDARD = "standard"
    """Allow-listed deterministic standard library; no underscore or frame attributes, no I/O."""
    OPEN = "open"
    """Anything that parses."""


class Way(StrEnum):
    """How an interpreter gets into the state in which a program starts. Outcomes do not depend on it."""

    RESET = "reset"
    """It is kept, and what the last program wrote is copied back. Needs Linux 6.7."""
    FRESH = "fresh"
    """A new instance for each program and each call: the reference, a few times slower."""


class OutcomeKind(StrEnum):
    """How a run ended."""

    OK = "ok"
    REJECTED = "rejected"
    """By the policy, before it ran."""
    EXCEPTION = "exception"
    """A Python exception left the program."""
    NOT_LITERAL = "not_literal"
    """It returned something that is not a literal value."""
    NONDETERMINISTIC = "nondeterministic"
    """The two images disagree (`check` only)."""
    FUEL = "fuel"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    OUTPUT = "output"
    """Printed or returned more than allowed."""
    CRASH = "crash"
    """WebAssembly trapped, for example its stack ran out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one run may use. Fuel is exact and repeats to the unit on one image."""

    fuel: int = 1_000_000_000
    """WebAssembly instructions, about; a trivial program takes 0.5 M, 100 k turns of a loop 100 M."""
    wall_ms: int = 10_000
    """A coarse watchdog behind fuel."""
    memory_bytes: int = 128 * 1024 * 1024
    output_bytes: int = 64 * 1024
    """For the result's literal, and again for what is printed."""
    source_bytes: int = 64 * 1024


class OutcomeView(TypedDict):
    """An outcome as JSON."""

    outcome: str
    value: str | None
    error: str | None
    stdout: str
    fuel: int
    wall_ms: float
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One run."""

    kind: OutcomeKind
    value: str | None = None
    """Canonical literal of the result; None unless `ok`."""
    error: str | None = None
    """`TypeName: message` for an exception; what was refused, or used and limit, for the rest."""
    stdout: str = ""
    fuel: int = 0
    wall_ms: float = 0.0
    memory_bytes: int = 0

    @property
    def ok(self) -> bool:
        return self.kind is OutcomeKind.OK

    def view(self) -> OutcomeView:
        """What is printed and sent."""
        return {
            "outcome": self.kind.value,
            "value": self.value,
            "error": self.error,
            "stdout": self.stdout,
            "fuel": self.fuel,
            "wall_ms": round(self.wall_ms, 3),
            "memory_bytes": self.memory_bytes,
        }


class Executor(Protocol):
    """What the layers above need of a sandbox; `tina_azr.sandbox.Sandbox` is the real one."""

    def run_many(self, jobs: Sequence[tuple[str, str]], *, policy: StaticPolicy | None = None) -> list[Outcome]:
        """Run (program, call) pairs, each from the same start, on all workers; order kept."""
        ...

    def run_calls(self, jobs: Sequence[tuple[str, Sequence[str]]], *, policy: StaticPolicy | None = None) -> list[list[Outcome]]:
        """For each (program, calls): the program is defined once, and each call starts from the state that this has left."""
        ...

    def check_many(self, jobs: Sequence[tuple[str, Sequence[str]]]) -> list[list[Outcome]]:
        """As `run_calls`, on both images: an outcome that differs between them becomes `NONDETERMINISTIC`."""
        ...

    def literals(self, texts: Sequence[str]) -> list[str | None]:
        """Canonical form of each text read as one Python literal, or None. Nothing is evaluated."""
        ...

    def argument_lists(self, texts: Sequence[str]) -> list[str | None]:
        """The same for a comma-separated list of literals, as between the parentheses of a call."""
        ...
