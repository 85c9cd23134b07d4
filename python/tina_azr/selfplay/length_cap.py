"""How long a task may be by now: one step beyond the longest length that the solver solves.

A proposer that is paid for difficulty grows its programs faster than anyone can solve them; then most tasks teach nothing, and
those whose message its author could not word teach wrong things. The cap follows the solver up, and down again.
"""

from collections.abc import Collection, Mapping

from tina_azr.config import SelfplayConfig

RECENT_STEPS = 20
"""Steps of self-play whose tries count as recent."""
ENOUGH_ROLLOUTS = 32
"""Fewer tries than this at one length say nothing about it."""


class LengthCap:
    """The cap of each mode."""

    def __init__(self, longest: Mapping[str, int | None]) -> None:
        self._longest = longest

    @classmethod
    def of(
        cls,
        tries: Mapping[tuple[str, int], tuple[int, int]],
        *,
        modes: Collection[str],
        seed_length: int,
        config: SelfplayConfig,
    ) -> "LengthCap":
        """From (correct, attempts) by mode and length. The seeds' own length counts as solved: somewhere one has to begin."""
        if config.length_cap is None:
            return cls(dict.fromkeys(modes))
        solved = {
            (mode, length)
            for (mode, length), (correct, attempts) in tries.items()
            if attempts >= ENOUGH_ROLLOUTS and correct >= config.length_cap * attempts
        }
        return cls({mode: 1 + max([seed_length, *(length for at, length in solved if at == mode)]) for mode in modes})

    def allows(self, mode: str, length: int) -> bool:
        """Whether a task of this length may be tried."""
        longest = self._longest[mode]
        return longest is None or length <= longest
