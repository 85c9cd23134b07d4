"""A program's canonical form: what is left of its text when everything that cannot change its behaviour is gone.

Comments, formatting, docstrings, annotations and imports that nothing uses go; parameters, locals and functions other than `f` are
renamed by order of appearance. Two programs with one canonical form behave alike: where a spelling can be seen (a keyword of an
unknown callee, a class, an attribute) it stays.

`ast.parse` reads text, it runs nothing; whatever cannot be read is a SyntaxError here, however it failed.
"""

import ast
import warnings
from functools import lru_cache

from tina_azr.tasks.scopes import Binding, Comprehension, Function, Scope, Scopes

DEEPEST = 150
"""Levels of a syntax tree; a sum of that many terms has as many."""


@lru_cache(maxsize=1024)  # references come back every step
def canonical_program(source: str, *, mask_constants: bool = False) -> str:
    """The program up to formatting, docstrings, annotations, unused imports and the spelling of variables. Raises SyntaxError.

    With `mask_constants`, up to its numbers and strings as well.
    """
    tree = parse_program(source)
    try:
        return _Canonical(tree, mask_constants=mask_constants).text
    except (ValueError, RecursionError) as error:
        raise SyntaxError(
            f"the program is nested too deeply or holds a number too large to name: {type(error).__name__}"
        ) from error


def parse_program(source: str) -> ast.Module:
    """`ast.parse` with one kind of failure, and silent about the model's bad style (invalid escapes, `is` with a literal).

    A tree that it returns is shallow enough for recursive visitors.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (ValueError, RecursionError, MemoryError) as error:
        raise SyntaxError(f"the program cannot be parsed: {type(error).__name__}") from error
    level: list[ast.AST] = [tree]
    for _ in range(DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return tree
    raise SyntaxError(f"the program is nested more than {DEEPEST} levels deep")


class _Canonical(ast.NodeTransformer):
    """Strips what does not change behaviour and gives every variable a number in order of first appearance."""

    def __init__(self, tree: ast.Module, *, mask_constants: bool) -> None:
        self._mask = mask_constants
        self._scopes = Scopes(tree)
        self._scope = self._scopes.module
        self._reserved = self._scopes.reserved()
        self._used = self._scopes.used()
        self._spellings: dict[Binding, str] = {}
        self._count = 0
        self.text = ast.unparse(ast.fix_missing_locations(self.visit(tree)))

    def _rename(self, name: str, scope: Scope | None = None) -> str:
        binding = self._scopes.resolve(scope or self._scope, name)
        if binding is None or self._scopes.keeps(binding):
            return name
        if binding not in self._spellings:
            while f"v{self._count}" in self._reserved:
                self._count += 1
            self._spellings[binding] = f"v{self._count}"
            self._count += 1
        return self._spellings[binding]

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, ast.stmt | ast.ExceptHandler | ast.match_case) and getattr(node, "body", None) == []:
            node.body = [ast.Pass()]  # type: ignore[union-attr]
        if isinstance(node, ast.Try) and not node.handlers and not node.finalbody:
            node.finalbody = [ast.Pass()]
        return node

    def visit_Pass(self, node: ast.Pass) -> None:
        """Put back by `generic_visit` where a body would be empty without it."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        return None if isinstance(node.value, ast.Constant) else self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        if not self._mask or isinstance(node.value, bool) or node.value is None or node.value is ...:
            return node
        return ast.Constant("c" if isinstance(node.value, str) else 0)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        signed_number = isinstance(node.op, ast.USub | ast.UAdd) and isinstance(node.operand, ast.Constant)
        if self._mask and signed_number:
            return self.visit(node.operand)  # type: ignore[no-any-return]
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(id=self._rename(node.id), ctx=node.ctx)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> ast.AST:
        return ast.NamedExpr(target=self.visit(node.target), value=self.visit(node.value))

    def visit_Call(self, node: ast.Call) -> ast.AST:
        callee = self._scopes.callee(self._scope, node)
        for keyword in node.keywords:
            if callee is not None and keyword.arg in self._scopes.of[callee].keywords:
                keyword.arg = self._rename(keyword.arg, self._scopes.of[callee])
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if self._scope.is_class:
            return self.generic_visit(node)
        if node.value is None:
            return None
        return ast.Assign(targets=[self.visit(node.target)], value=self.visit(node.value))

    def _visit_function(self, node: Function) -> ast.AST:
        node.name = self._rename(node.name)
        node.returns = None
        node.type_comment = None
        if hasattr(node, "type_params"):
            node.type_params = []
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        self._visit_defaults(node.args)
        outer, self._scope = self._scope, self._scopes.of[node]
        self._visit_parameters(node.args)
        body = [self.visit(statement) for statement in node.body]
        node.body = [statement for statement in body if statement is not None] or [ast.Pass()]
        self._scope = outer
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        return self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> ast.AST:
        return self._visit_function(node)

    def visit_Lambda(self, node: ast.Lambda) -> ast.AST:
        self._visit_defaults(node.args)
        outer, self._scope = self._scope, self._scopes.of[node]
        self._visit_parameters(node.args)
        node.body = self.visit(node.body)
        self._scope = outer
        return node

    def _visit_defaults(self, arguments: ast.arguments) -> None:
        arguments.defaults = [self.visit(default) for default in arguments.defaults]
        arguments.kw_defaults = [None if default is None else self.visit(default) for default in arguments.kw_defaults]

    def _visit_parameters(self, arguments: ast.arguments) -> None:
        starred = [argument for argument in (arguments.vararg, arguments.kwarg) if argument is not None]
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred):
            argument.arg = self._rename(argument.arg)
            argument.annotation = None

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list = [self.visit(decorator) for decorator in node.decorator_list]
        node.bases = [self.visit(base) for base in node.bases]
        node.keywords = [self.visit(keyword) for keyword in node.keywords]
        outer, self._scope = self._scope, self._scopes.of[node]
        body = [self.visit(statement) for statement in node.body]
        node.body = [statement for statement in body if statement is not None] or [ast.Pass()]
        self._scope = outer
        return node

    def _visit_comprehension(self, node: Comprehension) -> ast.AST:
        first = node.generators[0]
        first.iter = self.visit(first.iter)
        outer, self._scope = self._scope, self._scopes.of[node]
        for generator in node.generators:
            if generator is not first:
                generator.iter = self.visit(generator.iter)
            generator.target = self.visit(generator.target)
            generator.ifs = [self.visit(condition) for condition in generator.ifs]
        if isinstance(node, ast.DictComp):
            node.key, node.value = self.visit(node.key), self.visit(node.value)
        else:
            node.elt = self.visit(node.elt)
        self._scope = outer
        return node

    def visit_ListComp(self, node: ast.ListComp) -> ast.AST:
        return self._visit_comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> ast.AST:
        return self._visit_comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> ast.AST:
        return self._visit_comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> ast.AST:
        return self._visit_comprehension(node)

    def visit_Import(self, node: ast.Import) -> ast.AST | None:
        kept = []
        for alias in node.names:
            name = alias.asname or alias.name.split(".")[0]
            if self._needs(name):
                renamed = self._rename(name)
                kept.append(ast.alias(name=alias.name, asname=renamed if alias.asname or renamed != name else None))
        return ast.Import(names=kept) if kept else None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        kept = []
        for alias in node.names:
            if alias.name == "*":
                kept.append(alias)
            elif self._needs(alias.asname or alias.name):
                kept.append(ast.alias(name=alias.name, asname=self._rename(alias.asname or alias.name)))
        return ast.ImportFrom(module=node.module, names=kept, level=node.level) if kept else None

    def _needs(self, name: str) -> bool:
        binding = self._scopes.resolve(self._scope, name)
        return binding is None or binding in self._used or self._scopes.keeps(binding)

    def visit_Global(self, node: ast.Global) -> ast.AST:
        return ast.Global(names=[self._rename(name) for name in node.names])

    def visit_Nonlocal(self, node: ast.Nonlocal) -> ast.AST:
        return ast.Nonlocal(names=[self._rename(name) for name in node.names])

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        node.name = self._rename(node.name) if node.name else None
        return self.generic_visit(node)

    def visit_MatchAs(self, node: ast.MatchAs) -> ast.AST:
        node.name = self._rename(node.name) if node.name else None
        return self.generic_visit(node)

    def visit_MatchStar(self, node: ast.MatchStar) -> ast.AST:
        node.name = self._rename(node.name) if node.name else None
        return self.generic_visit(node)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> ast.AST:
        node.rest = self._rename(node.rest) if node.rest else None
        return self.generic_visit(node)
