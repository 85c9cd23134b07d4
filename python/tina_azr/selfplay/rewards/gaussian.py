"""Learnability as closeness to even odds."""

import math

WIDTH = 1.0 / 6.0
"""So that p = 0 and p = 1 lie three widths from the middle."""


def gaussian(pass_rate: float) -> float:
    """exp(-(p - 1/2)^2 / (2 width^2)) where some succeed and some do not, else 0: narrower around p = 1/2 than the parabola."""
    return math.exp(-((pass_rate - 0.5) ** 2) / (2.0 * WIDTH**2)) if 0.0 < pass_rate < 1.0 else 0.0
