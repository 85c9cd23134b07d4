"""Written in Rust (`rust/`). Use `tina_azr.sandbox` and `tina_azr.text.tags`, which are thin over this."""

from collections.abc import Sequence
from typing import TypeAlias, final

from numpy import int32, int64
from numpy.typing import NDArray

__all__ = ["Sandbox", "TagStream", "argument_lists", "count_think_tokens", "find_spans", "literals", "warm"]

_Ids: TypeAlias = NDArray[int32] | NDArray[int64]
_Row: TypeAlias = tuple[str, str | None, str | None, str, int, float, int]

@final
class Sandbox:
    """A sandbox with its limits."""

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
        way: str | None,
        verify_every: int,
    ) -> Sandbox: ...
    def run_calls(self, jobs: Sequence[tuple[str, Sequence[str]]], policy: str | None) -> list[list[_Row]]:
        """For each (program, calls) a row a call: kind, value, error, stdout, fuel, milliseconds, bytes of memory."""

    def check_calls(self, jobs: Sequence[tuple[str, Sequence[str]]], policy: str | None) -> list[list[_Row]]:
        """The same on both images."""

    @property
    def programs_run(self) -> int:
        """Calls run so far."""

    def info(self) -> dict[str, str | int]:
        """What the sandbox is made of."""

def warm() -> None:
    """Prepare and load both images, if that has not been done."""

def literals(texts: Sequence[str]) -> list[str | None]:
    """Canonical form of each text read as one literal, or None."""

def argument_lists(texts: Sequence[str]) -> list[str | None]:
    """Canonical form of each text read as the arguments of a call, or None."""

def find_spans(ids: _Ids, open_id: int, close_id: int, start_inside: bool) -> list[tuple[int, int, bool]]:
    """`(start, stop, closed)` of each span; `ids[start:stop]` is what lies between the tags."""

def count_think_tokens(ids: _Ids, offsets: _Ids, open_id: int, close_id: int, start_inside: bool) -> list[int]:
    """Ids inside spans, for each row `ids[offsets[i]:offsets[i + 1]]`."""

@final
class TagStream:
    """Think tokens of a sequence that arrives in pieces."""

    def __new__(cls, open_id: int, close_id: int, start_inside: bool) -> TagStream: ...
    def feed(self, ids: _Ids) -> int:
        """The next ids. Returns how many lie inside spans so far."""

    @property
    def inside(self) -> bool:
        """Whether the next id lies inside a span, unless it closes it."""

    @property
    def think_tokens(self) -> int:
        """Ids inside spans so far."""
