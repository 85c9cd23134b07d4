"""The sandbox as Python callers see it: `Outcome`s around `_native.Sandbox`, which does the work outside the interpreter lock."""

from collections.abc import Sequence
from dataclasses import asdict
from types import TracebackType
from typing import Self

from tina_azr import _native
from tina_azr.sandbox.types import Limits, Outcome, OutcomeKind, StaticPolicy, Way

Row = tuple[str, str | None, str | None, str, int, float, int]


class Sandbox:
    """Runs programs, each in an interpreter of its own; implements `Executor`.

    The first run of an installation prepares the interpreter, which takes some ten seconds and is said on stderr. `way` of None is the
    best that this system has. After one reset in `verify_every` the whole memory is compared with its image. Raises SandboxError when the
    sandbox itself fails, a reset that is found to differ included, and ValueError for limits under which nothing can run.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        policy: StaticPolicy = StaticPolicy.STANDARD,
        workers: int | None = None,
        way: Way | None = None,
        verify_every: int = 5_000,
    ) -> None:
        self.limits = limits if limits is not None else Limits()
        self.policy = policy
        try:
            self._native = _native.Sandbox(
                **asdict(self.limits), policy=policy.value, workers=workers, way=way and way.value, verify_every=verify_every
            )
        except OverflowError as error:
            given = f"{self.limits}, workers={workers}, verify_every={verify_every}"
            raise ValueError(f"a limit must be between 0 and 2**64 - 1: {given}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exception_type: type[BaseException] | None, exception: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Nothing is held between runs; the form is for callers to whom a sandbox is a resource.
        return None

    @property
    def programs_run(self) -> int:
        """Calls run so far; those of a check count twice, and what the policy refused not at all."""
        return self._native.programs_run

    @property
    def image_digest(self) -> str:
        """SHA-256 of the two guest images, joined by `/`: what a validated task is recorded with."""
        info = self.info()
        return f"{info['image']}/{info['second_image']}"

    def info(self) -> dict[str, str | int]:
        """Versions, way, image digests, cache: what to note beside a result."""
        return self._native.info()

    def run(self, program: str, call: str, *, policy: StaticPolicy | None = None) -> Outcome:
        """Run one program and evaluate one call, such as `f(3)`."""
        return self.run_many([(program, call)], policy=policy)[0]

    def check(self, program: str, call: str, *, policy: StaticPolicy | None = None) -> Outcome:
        """As `run`, on both images: a result that depends on hash seeds or addresses is `NONDETERMINISTIC`."""
        return self.check_many([(program, [call])], policy=policy)[0][0]

    def run_many(self, jobs: Sequence[tuple[str, str]], *, policy: StaticPolicy | None = None) -> list[Outcome]:
        """Run (program, call) pairs, each from the same start, on all workers; order kept."""
        return [outcomes[0] for outcomes in self.run_calls([(program, [call]) for program, call in jobs], policy=policy)]

    def run_calls(self, jobs: Sequence[tuple[str, Sequence[str]]], *, policy: StaticPolicy | None = None) -> list[list[Outcome]]:
        """For each (program, calls): the program is defined once, and each call starts from the state that this has left."""
        return _outcomes(self._native.run_calls(_readable(jobs), _name(policy)))

    def check_many(self, jobs: Sequence[tuple[str, Sequence[str]]], *, policy: StaticPolicy | None = None) -> list[list[Outcome]]:
        """As `run_calls`, on both images: an outcome that differs between them becomes `NONDETERMINISTIC`."""
        return _outcomes(self._native.check_calls(_readable(jobs), _name(policy)))

    def literals(self, texts: Sequence[str]) -> list[str | None]:
        """Canonical form of each text read as one Python literal, or None. Nothing is evaluated."""
        return _native.literals([_text(text) for text in texts])

    def argument_lists(self, texts: Sequence[str]) -> list[str | None]:
        """The same for a comma-separated list of literals, as between the parentheses of a call."""
        return _native.argument_lists([_text(text) for text in texts])


def warm() -> None:
    """Prepare the interpreter now rather than at the first run."""
    _native.warm()


def _name(policy: StaticPolicy | None) -> str | None:
    return None if policy is None else policy.value


def _readable(jobs: Sequence[tuple[str, Sequence[str]]]) -> list[tuple[str, list[str]]]:
    return [(_text(program), [_text(call) for call in calls]) for program, calls in jobs]


def _text(text: str) -> str:
    # A lone surrogate has no UTF-8. Spelled as an escape it means the same inside a string, and is no Python elsewhere.
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _outcomes(rows: list[list[Row]]) -> list[list[Outcome]]:
    return [[_outcome(row) for row in call_rows] for call_rows in rows]


def _outcome(row: Row) -> Outcome:
    kind, value, error, stdout, fuel, wall_ms, memory_bytes = row
    return Outcome(
        kind=OutcomeKind(kind), value=value, error=error, stdout=stdout, fuel=fuel, wall_ms=wall_ms, memory_bytes=memory_bytes
    )
