"""Canonical literals as values: how a call is written, and when two results are equal. By syntax: nothing is evaluated."""

import ast

LONGEST_COMPARED = 4_096
"""Characters; longer literals are equal only if they are spelled alike."""


def call_of(arguments: str) -> str:
    """The call of the entry function on an argument list."""
    return f"f({arguments})"


def same_value(left: str, right: str) -> bool:
    """Whether two canonical literals are equal by Python's rules: `1`, `1.0` and `True` are, `[1]` and `(1,)` are not.

    Both texts must be canonical (`Executor.literals`), so that two spellings of one value differ in numeric types alone.
    """
    if left == right:
        return True
    if max(len(left), len(right)) > LONGEST_COMPARED:
        return False
    try:
        # `literal_eval` builds the literal from the tree; tagged values (Fraction and the like) have one spelling and end here.
        return bool(ast.literal_eval(left) == ast.literal_eval(right))
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        return False
