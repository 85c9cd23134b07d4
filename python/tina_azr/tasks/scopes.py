"""Which binding a name of a program means: Python's scoping rules over a syntax tree, for renaming that cannot change behaviour.

Comprehension variables, nested functions and lambdas have scopes of their own. Names that a reader outside the tree could see keep
their spelling: the entry function, class names and everything bound in a class body, and parameters that a call may name by keyword
where the callee is not known.
"""

import ast
from dataclasses import dataclass, field
from enum import StrEnum

ENTRY = "f"
"""The function that a task calls."""
READS_NAMES = frozenset({"locals", "globals", "vars", "dir", "eval", "exec"})
"""Builtins that can see how a variable is spelled."""

Function = ast.FunctionDef | ast.AsyncFunctionDef
Comprehension = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
Binding = tuple["Scope", str]
"""A variable: the scope that owns it and its spelling in the source."""


class ScopeKind(StrEnum):
    """What opened a scope."""

    MODULE = "module"
    FUNCTION = "function"
    CLASS = "class"
    COMPREHENSION = "comprehension"


@dataclass(slots=True, eq=False)
class Scope:
    """One namespace while names are collected."""

    kind: ScopeKind
    parent: "Scope | None"
    names: dict[str, int] = field(default_factory=dict)
    """How often each name is bound here."""
    parameters: set[str] = field(default_factory=set)
    keywords: set[str] = field(default_factory=set)
    """Parameters that a call can name."""
    kept: set[str] = field(default_factory=set)
    """Names that must keep their spelling."""
    functions: dict[str, Function] = field(default_factory=dict)
    global_names: set[str] = field(default_factory=set)
    nonlocal_names: set[str] = field(default_factory=set)

    @property
    def is_class(self) -> bool:
        return self.kind is ScopeKind.CLASS

    def bind(self, name: str) -> None:
        self.names[name] = self.names.get(name, 0) + 1


class Scopes(ast.NodeVisitor):
    """The scopes of one tree. `of` maps the nodes that open a scope to it."""

    def __init__(self, tree: ast.Module) -> None:
        self.module = Scope(ScopeKind.MODULE, None)
        self.of: dict[ast.AST, Scope] = {tree: self.module}
        self._all = [self.module]
        self._calls: list[tuple[Scope, ast.Call]] = []
        self._loaded: list[tuple[Scope, str]] = []
        self._star_import = False
        self._scope = self.module
        self.visit(tree)
        self.module.kept.add(ENTRY)
        self._keep_visible_names()

    def resolve(self, scope: Scope, name: str) -> Binding | None:
        """The binding that `name` means in `scope`; None for a builtin or an unknown name."""
        here: Scope | None = scope
        while here is not None:
            if here is scope or not here.is_class:
                if name in here.global_names:
                    return self.module, name
                if name in here.names and name not in here.nonlocal_names:
                    return here, name
            here = here.parent
        return None

    def keeps(self, binding: Binding) -> bool:
        """Whether this variable's spelling must stay."""
        scope, name = binding
        return scope.is_class or name in scope.kept

    def callee(self, scope: Scope, call: ast.Call) -> Function | None:
        """The function of this program that a call surely means: a name bound once, by a plain `def`."""
        if not isinstance(call.func, ast.Name):
            return None
        binding = self.resolve(scope, call.func.id)
        if binding is None or binding[0].is_class or binding[0].names[binding[1]] != 1:
            return None
        function = binding[0].functions.get(binding[1])
        return None if function is None or function.decorator_list else function

    def used(self) -> set[Binding]:
        """Every variable that is read somewhere; annotations that change nothing do not count."""
        return {binding for scope, name in self._loaded if (binding := self.resolve(scope, name)) is not None}

    def reserved(self) -> set[str]:
        """Spellings that a renamed variable must not take."""
        kept = {name for scope in self._all for name in scope.names if self.keeps((scope, name))}
        return kept | {name for scope, name in self._loaded if self.resolve(scope, name) is None}

    def _keep_visible_names(self) -> None:
        free = {name for scope, name in self._loaded if self.resolve(scope, name) is None}
        if free & READS_NAMES:
            for scope in self._all:
                scope.kept.update(scope.names)
        for scope, call in self._calls:
            known = self.callee(scope, call)
            builtin = isinstance(call.func, ast.Name) and call.func.id in free and not self._star_import
            for keyword in call.keywords:
                if keyword.arg is None:
                    self._keep_parameters(None)
                elif known is None and not builtin:
                    self._keep_parameters(keyword.arg)

    def _keep_parameters(self, name: str | None) -> None:
        """Keep the parameters of this name, or all of them, wherever they stand."""
        for scope in self._all:
            scope.kept.update(p for p in scope.parameters if name is None or p == name)

    # Collecting: what is bound where.

    def _inside(self, node: ast.AST, kind: ScopeKind, parts: list[ast.AST], arguments: ast.arguments | None = None) -> None:
        outer = self._scope
        self._scope = self.of[node] = Scope(kind, outer)
        self._all.append(self._scope)
        if arguments is not None:
            named = {argument.arg for argument in (*arguments.args, *arguments.kwonlyargs)}
            others = {argument.arg for argument in (*arguments.posonlyargs, arguments.vararg, arguments.kwarg) if argument}
            self._scope.keywords = named
            self._scope.parameters = named | others
            for name in self._scope.parameters:
                self._scope.bind(name)
        for part in parts:
            self.visit(part)
        self._scope = outer

    def _visit_all(self, nodes: list[ast.expr] | list[ast.keyword]) -> None:
        for node in nodes:
            self.visit(node)

    def _visit_function(self, node: Function) -> None:
        self._scope.bind(node.name)
        self._scope.functions[node.name] = node
        self._visit_all(node.decorator_list)
        self._visit_defaults(node.args)
        self._inside(node, ScopeKind.FUNCTION, [*node.body], node.args)

    def _visit_defaults(self, arguments: ast.arguments) -> None:
        self._visit_all([default for default in (*arguments.defaults, *arguments.kw_defaults) if default is not None])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._visit_function(node)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._visit_function(node)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._visit_defaults(node.args)
        self._inside(node, ScopeKind.FUNCTION, [node.body], node.args)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._scope.bind(node.name)
        self._scope.kept.add(node.name)
        self._visit_all(node.decorator_list)
        self._visit_all(node.bases)
        self._visit_all(node.keywords)
        self._inside(node, ScopeKind.CLASS, [*node.body])

    def _visit_comprehension(self, node: Comprehension) -> None:
        first = node.generators[0]
        self.visit(first.iter)
        parts: list[ast.AST] = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        for generator in node.generators:
            parts += [generator.target, *generator.ifs]
            if generator is not first:
                parts.append(generator.iter)
        self._inside(node, ScopeKind.COMPREHENSION, parts)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._visit_comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._visit_comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._visit_comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._visit_comprehension(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        target = self._scope
        while target.kind is ScopeKind.COMPREHENSION and target.parent is not None:
            target = target.parent
        target.bind(node.target.id)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self._loaded.append((self._scope, node.id))
        else:
            self._scope.bind(node.id)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.target)
        if self._scope.is_class:
            self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        self._calls.append((self._scope, node))
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.split(".")[0]
            self._scope.bind(name)
            if alias.asname is None and "." in alias.name:
                self._scope.kept.add(name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            if alias.name == "*":
                self._star_import = True
            else:
                self._scope.bind(alias.asname or alias.name)

    def visit_Global(self, node: ast.Global) -> None:
        self._scope.global_names.update(node.names)
        for name in node.names:
            self.module.bind(name)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self._scope.nonlocal_names.update(node.names)

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._bind_and_go_on(node, node.name)

    def visit_MatchAs(self, node: ast.MatchAs) -> None:
        self._bind_and_go_on(node, node.name)

    def visit_MatchStar(self, node: ast.MatchStar) -> None:
        self._bind_and_go_on(node, node.name)

    def visit_MatchMapping(self, node: ast.MatchMapping) -> None:
        self._bind_and_go_on(node, node.rest)

    def _bind_and_go_on(self, node: ast.AST, name: str | None) -> None:
        if name is not None:
            self._scope.bind(name)
        self.generic_visit(node)
