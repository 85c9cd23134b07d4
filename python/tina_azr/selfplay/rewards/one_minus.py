"""Learnability as the original has it."""


def one_minus(pass_rate: float) -> float:
    """1 - p where anyone succeeds, else 0 (Zhao et al., "Absolute Zero", 2025).

    Highest at one success in the group: it pays for tasks that are nearly impossible, and for luck.
    """
    return 1.0 - pass_rate if pass_rate > 0.0 else 0.0
