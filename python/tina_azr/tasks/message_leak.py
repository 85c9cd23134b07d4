"""Whether a message gives a program away: by its code, not by what it means (describing it is what the message is for)."""

import ast
import re
from collections.abc import Iterator

from tina_azr.tasks.canonical import parse_program

_CODE = re.compile(r"```|\bdef\s+\w+\s*\(|\blambda\b[^.]*:|\breturn\s+\w+\s*[(\[+*/%-]")
_SYMBOL = re.compile(r"[()\[\]{}=+*/%<>.-]")


def gives_away(message: str, program: str) -> bool:
    """Whether the message holds code, or the text of at least half of the program's statements. Raises SyntaxError.

    Half, because a description of a long computation may well quote one formula of it.
    """
    if _CODE.search(message):
        return True
    said = _squeezed(message)
    pieces = list(_pieces(parse_program(program)))
    quoted = sum(any(text in said for text in alternatives) for alternatives in pieces)
    return quoted > 0 and 2 * quoted >= len(pieces)


def _pieces(tree: ast.Module) -> Iterator[tuple[str, ...]]:
    """For each statement that computes something: the texts that would give it away."""
    for node in ast.walk(tree):
        parts: list[ast.AST | None] = []
        match node:
            case ast.Assign() | ast.AugAssign() | ast.AnnAssign():
                parts = [node, node.value]
            case ast.Return() | ast.Expr():
                parts = [node.value]
            case ast.If() | ast.While():
                parts = [node.test]
            case ast.For():
                parts = [node.iter]
        texts = [
            _squeezed(ast.unparse(part)) for part in parts if part is not None and not isinstance(part, ast.Constant | ast.Name)
        ]
        telling = tuple(text for text in texts if _SYMBOL.search(text))
        if telling:
            yield telling


def _squeezed(text: str) -> str:
    """Without blanks, and with one kind of quotation mark."""
    return re.sub(r"\s+", "", text).replace('"', "'")
