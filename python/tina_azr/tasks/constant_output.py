"""Whether a program's result depends on its input: by reading it, and by running it on other inputs of the same shape."""

import ast
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tina_azr.tasks.canonical import parse_program
from tina_azr.tasks.scopes import ENTRY, Scopes
from tina_azr.tasks.values import call_of, same_value

ENOUGH_PROBES = 2
"""Other inputs that must have run before equal results count as a constant program."""


def reads_arguments(program: str) -> bool:
    """Whether the entry function has a parameter and reads one. Raises SyntaxError."""
    tree = parse_program(program)
    scopes = Scopes(tree)
    entries = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == ENTRY]
    return bool(entries) and any(scope is scopes.of[entries[-1]] and name in scope.parameters for scope, name in scopes.used())


def is_constant(output: str, others: Sequence[str | None]) -> bool:
    """Whether every other input that ran gave the same result, and enough of them ran."""
    ran = [other for other in others if other is not None]
    return len(ran) >= ENOUGH_PROBES and all(same_value(output, other) for other in ran)


def varied_arguments(arguments: str) -> tuple[str, ...]:
    """Argument lists of the same types and shape with other values: near, far, turned round, and one item shorter.

    Takes a canonical argument list. Dictionary keys and the lengths of tuples stay, since programs rely on them; digits
    stay digits.
    """
    variants = []
    for variation in VARIATIONS:
        try:
            call = ast.parse(call_of(arguments), mode="eval").body
            if isinstance(call, ast.Call):
                variants.append(", ".join(ast.unparse(variation.visit(argument)) for argument in call.args))
        except (SyntaxError, ValueError, RecursionError):
            # Deeper or longer than this interpreter reads, though the sandbox's did: one probe less.
            continue
    return tuple(variant for variant in dict.fromkeys(variants) if variant != arguments)


@dataclass(frozen=True, eq=False)
class _Variation(ast.NodeTransformer):
    """Replaces constants, and the items of lists, in a tree of literals."""

    number: Callable[[int], int]
    text: Callable[[str], str]
    items: Callable[[list[ast.expr]], list[ast.expr]]

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        return self._constant(node.value, 1)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.expr:
        return self._constant(node.operand.value, -1) if isinstance(node.operand, ast.Constant) else node

    def visit_Dict(self, node: ast.Dict) -> ast.expr:
        return ast.Dict(keys=node.keys, values=[self.visit(value) for value in node.values])

    def visit_List(self, node: ast.List) -> ast.expr:
        return ast.List(elts=self.items([self.visit(item) for item in node.elts]), ctx=node.ctx)

    def visit_Call(self, node: ast.Call) -> ast.expr:
        return node  # a tagged value, such as a fraction: left as it is

    def _constant(self, value: object, sign: int) -> ast.expr:
        if isinstance(value, bool):
            return ast.Constant(not value)
        if isinstance(value, int):
            return ast.Constant(self.number(sign * value))
        if isinstance(value, float | complex):
            return ast.Constant(sign * value + self.number(1))
        if isinstance(value, str):
            is_number = re.fullmatch(r"[0-9]{1,18}", value)
            return ast.Constant(str(abs(self.number(int(value)))) if is_number else self.text(value))
        return ast.Constant(value if isinstance(value, bytes) else None)


VARIATIONS = (
    _Variation(number=lambda n: n + 1, text=lambda s: f"{s}a", items=lambda items: items),
    _Variation(number=lambda n: 3 * n + 11, text=lambda s: f"{s.swapcase()}b{s}", items=lambda items: [*items, *items[:1]]),
    _Variation(number=lambda n: -n - 2, text=lambda s: f"c{s[::-1]}", items=lambda items: items[::-1]),
    _Variation(number=lambda n: n // 2, text=lambda s: s[1:], items=lambda items: items[1:]),
)
