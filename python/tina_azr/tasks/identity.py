"""When two tasks are the same: by the program's syntax tree, never by its text.

The canonical program drops comments, formatting, docstrings and annotations and renames parameters and locals by order of
appearance, so retyping a task with other names does not make it new. The *structure* masks constants as well: a proposer that only
changes numbers repeats its template.

Only programs that the sandbox's policy has accepted come here (bounded size and depth): `ast.parse` reads text, it runs nothing.
"""

import ast
import hashlib
from collections.abc import Sequence


class _Canonical(ast.NodeTransformer):
    """Strips what does not change behaviour and renames local names in order of first appearance."""

    def __init__(self, *, mask_constants: bool) -> None:
        self._mask = mask_constants
        self._names: dict[str, str] = {}
        self._locals: set[str] = set()

    def run(self, tree: ast.Module) -> str:
        for node in ast.walk(tree):
            if isinstance(node, ast.arg):
                self._locals.add(node.arg)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self._locals.add(node.id)
        return ast.unparse(ast.fix_missing_locations(self.visit(tree)))

    def _rename(self, name: str) -> str:
        if name not in self._locals:
            return name
        return self._names.setdefault(name, f"v{len(self._names)}")

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(id=self._rename(node.id), ctx=node.ctx)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(arg=self._rename(node.arg), annotation=None)

    def visit_keyword(self, node: ast.keyword) -> ast.AST:
        # A keyword that names a parameter of the program follows that parameter; any other is the callee's own.
        return ast.keyword(arg=self._rename(node.arg) if node.arg else None, value=self.visit(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        if node.value is None:
            return ast.Pass()
        return ast.Assign(targets=[self.visit(node.target)], value=self.visit(node.value))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        body = node.body[1:] if ast.get_docstring(node, clean=False) is not None and len(node.body) > 1 else node.body
        arguments = self.visit(node.args)
        return ast.FunctionDef(
            name=node.name,
            args=arguments,
            body=[self.visit(statement) for statement in body],
            decorator_list=[self.visit(decorator) for decorator in node.decorator_list],
            returns=None,
        )

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not self._mask or isinstance(node.value, bool) or node.value is None:
            return node
        return ast.Constant("c" if isinstance(node.value, str) else 0)


def canonical_program(source: str) -> str:
    """The program up to formatting, docstrings, annotations and local names. Raises SyntaxError."""
    return _Canonical(mask_constants=False).run(ast.parse(source))


def program_structure(source: str) -> str:
    """Digest of the canonical program with its numbers and strings masked. Raises SyntaxError."""
    return _digest(_Canonical(mask_constants=True).run(ast.parse(source)))


def task_key(mode: str, program: str, inputs: Sequence[str]) -> str:
    """SHA-256 of canonical program and canonical inputs.

    Deduction and abduction ask about the same pair of program and input, so they share keys and one held-out set covers both;
    induction shows several pairs and has keys of its own. Raises SyntaxError.
    """
    family = "pairs" if mode == "induction" else "call"
    return _digest("\0".join((family, canonical_program(program), *inputs)))


def count_steps(source: str) -> int:
    """Top-level statements of `f`, a final plain `return name` not counted: a rough length. Raises SyntaxError."""
    tree = ast.parse(source)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    if not functions:
        return 0
    count = 0
    for statement in functions[-1].body:
        if isinstance(statement, ast.Return):
            count += statement.value is not None and not isinstance(statement.value, (ast.Name, ast.Constant))
        else:
            count += not isinstance(statement, (ast.Expr, ast.Pass)) or isinstance(statement.value, ast.Call)
    return count


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
