"""The real executor: CPython in WebAssembly, run by `tina_azr._native`.

Only converts: what a program may do and how it is run is decided in `crates/sandbox`.
"""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tina_azr import _native
from tina_azr.errors import SandboxError
from tina_azr.sandbox.types import Limits, Outcome, OutcomeKind, Policy


class Sandbox:
    """Runs untrusted Python programs, each isolated from this process and from all others.

    Cheap to make: all of a process share the interpreter, which is compiled to machine code once on a machine (some 20 seconds) and
    mapped from the user's cache afterwards. Safe to share between threads.
    """

    def __init__(self, *, limits: Limits | None = None, policy: Policy = Policy.STANDARD, workers: int | None = None) -> None:
        """`workers` threads run a batch; None means one for each core. `policy` holds where a method is given none."""
        if workers is not None and workers < 1:
            raise SandboxError(f"a sandbox needs at least one worker, not {workers}; None means one for each core")
        self.limits = Limits() if limits is None else limits
        self.policy = policy
        self._native = _native.Sandbox(
            fuel=self.limits.fuel,
            wall_ms=self.limits.wall_ms,
            memory_bytes=self.limits.memory_bytes,
            output_bytes=self.limits.output_bytes,
            source_bytes=self.limits.source_bytes,
            policy=policy.value,
            workers=workers,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        # Nothing is held between batches; the `with` form is for executors that do.
        return None

    @property
    def programs_run(self) -> int:
        """Calls run so far; those of a check count twice, what the policy refused not at all."""
        return self._native.programs_run

    def run(self, program: str, call: str, *, policy: Policy | None = None) -> Outcome:
        """Run one program and one call."""
        return self.run_calls([(program, [call])], policy=policy)[0][0]

    def check(self, program: str, call: str) -> Outcome:
        """As `run`, on both images: an outcome that differs is `NONDETERMINISTIC`."""
        return self.check_many([(program, [call])])[0][0]

    def run_many(self, jobs: Sequence[tuple[str, str]], *, policy: Policy | None = None) -> list[Outcome]:
        """Run (program, call) pairs, each in a fresh instance, on all workers; order kept."""
        return [outcomes[0] for outcomes in self.run_calls([(program, [call]) for program, call in jobs], policy=policy)]

    def run_calls(self, jobs: Sequence[tuple[str, Sequence[str]]], *, policy: Policy | None = None) -> list[list[Outcome]]:
        """For each (program, calls): the program defined once per call, all calls of one program in one instance."""
        return _outcomes(self._native.run_calls(jobs, policy=None if policy is None else policy.value))

    def check_many(self, jobs: Sequence[tuple[str, Sequence[str]]]) -> list[list[Outcome]]:
        """As `run_calls`, on both images: an outcome that differs between them becomes `NONDETERMINISTIC`."""
        return _outcomes(self._native.run_calls(jobs, both=True))

    def literals(self, texts: Sequence[str]) -> list[str | None]:
        """Canonical form of each text read as one Python literal, or None. Nothing is evaluated."""
        return _native.literals(texts)

    def argument_lists(self, texts: Sequence[str]) -> list[str | None]:
        """The same for a comma-separated list of literals, as between the parentheses of a call."""
        return _native.argument_lists(texts)

    def info(self) -> dict[str, str]:
        """What this sandbox is made of, for people: engine, images, cache, workers."""
        return dict(self._native.info())

    def warm(self) -> None:
        """Make ready what the first run would otherwise wait for."""
        self._native.warm()


def _outcomes(
    rows: Sequence[Sequence[tuple[str, str | None, str | None, str, int, float, int]]],
) -> list[list[Outcome]]:
    return [
        [
            Outcome(
                kind=OutcomeKind(kind), value=value, error=error, stdout=stdout, fuel=fuel, wall_ms=wall_ms, memory_bytes=memory_bytes
            )
            for kind, value, error, stdout, fuel, wall_ms, memory_bytes in calls
        ]
        for calls in rows
    ]
