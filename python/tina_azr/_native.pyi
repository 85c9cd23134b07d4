"""The compiled module. Private: use `tina_azr.sandbox` and `tina_azr.text`."""

from collections.abc import Buffer, Sequence
from typing import final

@final
class Sandbox:
    """The native side of `tina_azr.sandbox.Sandbox`."""

    def __new__(
        cls,
        *,
        fuel: int,
        wall_ms: int,
        memory_bytes: int,
        output_bytes: int,
        source_bytes: int,
        policy: str,
        workers: int | None,
    ) -> Sandbox: ...
    @property
    def programs_run(self) -> int:
        """Calls run so far; those of a check count twice."""

    def run_calls(
        self, jobs: Sequence[tuple[str, Sequence[str]]], *, policy: str | None = None, both: bool = False
    ) -> list[list[tuple[str, str | None, str | None, str, int, float, int]]]:
        """Kind, value, error, stdout, fuel, milliseconds and bytes of memory of each call; with `both`, on both images."""

    def info(self) -> list[tuple[str, str]]:
        """Names and values, for people."""

    @staticmethod
    def warm() -> None:
        """Both images ready to run, compiled if need be."""

def literals(texts: Sequence[str]) -> list[str | None]:
    """The canonical form of each text that is one literal."""

def argument_lists(texts: Sequence[str]) -> list[str | None]:
    """The same for each text that is a comma-separated list of literals."""

def equal(left: str, right: str) -> bool:
    """Whether two literals are equal by Python's rules; False if either is none."""

def find_spans(ids: Buffer, open_id: int, close_id: int, start_inside: bool = False) -> list[tuple[int, int, bool]]:
    """Thoughts of one sequence as (start, stop, closed), tags not included."""

def count_think_tokens(
    flat_ids: Buffer, offsets: Buffer, open_id: int, close_id: int, start_inside: bool = False
) -> list[int]:
    """Think tokens of each of the sequences that lie end to end in one array; `offsets` has one more entry than there are sequences."""
