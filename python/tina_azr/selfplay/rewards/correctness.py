"""The solver's term: right, wrong, or not an answer."""

from tina_azr.config import RewardsConfig
from tina_azr.selfplay.rewards.types import GradedAttempt
from tina_azr.tasks.types import Verdict


def correctness(attempt: GradedAttempt, numbers: RewardsConfig) -> float:
    """1 / -0.5 / -1 by default, the numbers of the original: a wrong answer in the right form is better than none."""
    match attempt.verdict:
        case Verdict.CORRECT:
            return numbers.correct
        case Verdict.WRONG:
            return numbers.wrong
        case Verdict.MALFORMED:
            return numbers.malformed
