"""When two tasks are the same: by the program's canonical form, never by its text.

Retyping a task with other names does not make it new. The *structure* masks constants as well: a proposer that only changes numbers
repeats its template.
"""

import ast
import hashlib
from collections.abc import Sequence

from tina_azr.tasks.canonical import canonical_program, parse_program
from tina_azr.tasks.modes import MODES
from tina_azr.tasks.scopes import ENTRY


def task_key(mode: str, program: str, inputs: Sequence[str]) -> str:
    """SHA-256 of canonical program and canonical inputs.

    Modes of one family share keys: deduction and abduction ask about the same pair of program and input, so one held-out set covers
    both. Induction shows several pairs, whose order says nothing, and has keys of its own. Raises SyntaxError.
    """
    return _digest("\0".join((MODES[mode].family, canonical_program(program), *sorted(inputs))))


def program_structure(source: str, *, mask_constants: bool = True) -> str:
    """Digest of the canonical program, with its numbers and strings masked unless told otherwise. Raises SyntaxError."""
    return _digest(canonical_program(source, mask_constants=mask_constants))


def defines_entry(source: str) -> bool:
    """Whether the program has a `def f` of its own. Raises SyntaxError."""
    return _entry(source) is not None


def program_length(source: str) -> int:
    """Top-level statements of `f`, a final plain `return name` not counted: a rough length. Raises SyntaxError."""
    entry = _entry(source)
    return sum(_is_step(statement) for statement in entry.body) if entry is not None else 0


def _entry(source: str) -> ast.FunctionDef | None:
    functions = [node for node in parse_program(source).body if isinstance(node, ast.FunctionDef) and node.name == ENTRY]
    return functions[-1] if functions else None


def _is_step(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Return):
        return statement.value is not None and not isinstance(statement.value, ast.Name | ast.Constant)
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)
    return not isinstance(statement, ast.Pass | ast.Global | ast.Nonlocal)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
