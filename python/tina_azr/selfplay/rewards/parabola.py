"""Learnability as the variance of success."""


def parabola(pass_rate: float) -> float:
    """4 p (1 - p): the variance of a success, scaled to 1 at p = 1/2 and 0 where all or none succeed."""
    return 4.0 * pass_rate * (1.0 - pass_rate)
