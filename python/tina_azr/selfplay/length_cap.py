"""Length cap of each mode: one statement more than the longest program length that the solver solves.

A proposer that is paid for difficulty grows its programs faster than they can be solved. Then most tasks teach nothing, and induction
tasks whose author could not describe them teach wrong things. The cap follows the solver up, and down again.
"""

from collections.abc import Collection, Mapping

from tina_azr.config import SelfplayConfig

RECENT_STEPS = 20
"""Steps of self-play whose rollouts count as recent."""
ENOUGH_ROLLOUTS = 32
"""Fewer rollouts than this at one length do not decide about it."""


class LengthCap:
    """Longest program length of each mode; None: any."""

    def __init__(self, longest: Mapping[str, int | None]) -> None:
        self._longest = longest

    @classmethod
    def of(
        cls,
        rollouts: Mapping[tuple[str, int], tuple[int, int]],
        *,
        modes: Collection[str],
        seed_length: int,
        config: SelfplayConfig,
    ) -> "LengthCap":
        """Compute the caps from (correct, all) rollouts by mode and length. The length of the seeds counts as solved, for a start."""
        if config.length_cap is None:
            return cls(dict.fromkeys(modes))
        solved = {
            (mode, length)
            for (mode, length), (correct, count) in rollouts.items()
            if count >= ENOUGH_ROLLOUTS and correct >= config.length_cap * count
        }
        return cls({mode: 1 + max([seed_length, *(length for at, length in solved if at == mode)]) for mode in modes})

    def allows(self, mode: str, length: int) -> bool:
        """Return whether a task of this length may be solved."""
        longest = self._longest[mode]
        return longest is None or length <= longest
