//! The check itself: a walk over the syntax tree in source order, which ends at the first thing to refuse.

use std::collections::HashSet;

use ruff_python_ast::visitor::source_order::{
    SourceOrderVisitor, TraversalSignal, walk_alias, walk_comprehension, walk_expr, walk_parameter, walk_pattern, walk_stmt,
};
use ruff_python_ast::{
    Alias, AnyNodeRef, Comprehension, Expr, ExprAttribute, ExprContext, Identifier, Parameter, Pattern, Stmt, StmtFor, StmtFunctionDef,
    StmtWith,
};
use ruff_text_size::{Ranged, TextSize};

use super::lists::{ATTRIBUTE_PREFIXES, ATTRIBUTES, BUILTINS, DUNDER_NAMES, DUNDERS, INNER_MODULES, MODULES, NAMES};
use super::{Policy, Rejection};

const NO_ASYNC: &str = "async and await: nothing in the sandbox runs them";
const FORMAT: &str = "the method format is allowed on plain literal texts only: fields of a format text can reach attributes; an f-string \
                      says the same";

/// Every name that a program binds somewhere, whatever the scope, and those that are modules.
#[derive(Debug, Default)]
pub(super) struct Bound<'a> {
    names: HashSet<&'a str>,
    modules: HashSet<&'a str>,
}

impl<'a> SourceOrderVisitor<'a> for Bound<'a> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(definition) => drop(self.names.insert(&definition.name)),
            Stmt::ClassDef(definition) => drop(self.names.insert(&definition.name)),
            Stmt::Import(import) => {
                for alias in &import.names {
                    let root = alias.name.split('.').next().unwrap_or_default();
                    self.modules.insert(alias.asname.as_ref().map_or(root, Identifier::as_str));
                }
            }
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        if let Expr::Name(name) = expression
            && name.ctx == ExprContext::Store
        {
            self.names.insert(&name.id);
        }
        walk_expr(self, expression);
    }

    fn visit_parameter(&mut self, parameter: &'a Parameter) {
        self.names.insert(&parameter.name);
        walk_parameter(self, parameter);
    }

    fn visit_alias(&mut self, alias: &'a Alias) {
        self.names.insert(alias.asname.as_ref().unwrap_or(&alias.name));
        walk_alias(self, alias);
    }
}

/// Walks until something is refused.
pub(super) struct Check<'a> {
    strict: bool,
    bound: Bound<'a>,
    refused: Option<(TextSize, String)>,
}

impl<'a> Check<'a> {
    pub(super) fn new(policy: Policy, bound: Bound<'a>) -> Self {
        Self { strict: policy == Policy::Strict, bound, refused: None }
    }

    /// `source` is what was parsed.
    pub(super) fn verdict(self, source: &str) -> Result<(), Rejection> {
        self.refused.map_or(Ok(()), |(offset, message)| Err(Rejection::at(source, offset, message)))
    }

    fn refuse(&mut self, at: &impl Ranged, message: String) {
        self.refused.get_or_insert((at.start(), message));
    }

    fn import(&mut self, at: &impl Ranged, module: &str) {
        if self.strict {
            self.refuse(at, format!("import of {module}: the strict policy has no imports"));
        } else if !MODULES.contains(&module) {
            self.refuse(at, format!("import of {module}, which is not on the list of deterministic modules"));
        }
    }

    fn name(&mut self, at: &impl Ranged, name: &str) {
        let builtin = BUILTINS.contains(&name) && !self.bound.names.contains(name);
        if NAMES.contains(&name) || builtin || (is_dunder(name) && !DUNDER_NAMES.contains(&name)) {
            self.refuse(at, format!("the name {name} is not allowed"));
        }
    }

    /// Of an attribute, wherever its name is written: behind a dot, in a class pattern, in a from-import.
    fn attribute_name(&mut self, at: &impl Ranged, name: &str) {
        let underscore = name.starts_with('_') && !DUNDERS.contains(&name);
        if underscore || ATTRIBUTES.contains(&name) || ATTRIBUTE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
            self.refuse(at, format!("the attribute {name} is not allowed"));
        }
    }

    fn attribute(&mut self, attribute: &ExprAttribute) {
        let name = attribute.attr.as_str();
        if self.strict {
            self.refuse(&attribute.attr, format!("attribute {name}: the strict policy has no attribute access"));
        } else if is_dunder(name) && is_super_call(&attribute.value) {
            // `super().__init__(...)` is how classes are written.
        } else if name == "format" {
            if !is_plain_template(&attribute.value) {
                self.refuse(&attribute.attr, FORMAT.to_owned());
            }
        } else if INNER_MODULES.contains(&name) && is_inside(&attribute.value, &self.bound.modules) {
            self.refuse(&attribute.attr, format!("{name} is another module's import, not on the list of deterministic modules"));
        } else {
            self.attribute_name(&attribute.attr, name);
        }
    }
}

impl<'a> SourceOrderVisitor<'a> for Check<'a> {
    fn enter_node(&mut self, _node: AnyNodeRef<'a>) -> TraversalSignal {
        if self.refused.is_some() { TraversalSignal::Skip } else { TraversalSignal::Traverse }
    }

    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::Import(import) => import.names.iter().for_each(|alias| self.import(alias, &alias.name)),
            Stmt::ImportFrom(import) => {
                let module = import.module.as_ref().map_or(".", Identifier::as_str);
                let module = if import.level > 0 { "." } else { module };
                self.import(import, module);
                for alias in &import.names {
                    if &*alias.name == "*" {
                        self.refuse(alias, format!("import of all names from {module}: name those that are used"));
                    }
                    self.name(alias, &alias.name);
                    self.attribute_name(alias, &alias.name);
                    if INNER_MODULES.contains(&alias.name.as_str()) {
                        self.import(alias, &alias.name);
                    }
                }
            }
            Stmt::FunctionDef(StmtFunctionDef { is_async: true, .. })
            | Stmt::For(StmtFor { is_async: true, .. })
            | Stmt::With(StmtWith { is_async: true, .. }) => self.refuse(statement, NO_ASYNC.to_owned()),
            Stmt::FunctionDef(definition) if !is_dunder(&definition.name) => self.name(&definition.name, &definition.name),
            Stmt::ClassDef(definition) => self.name(&definition.name, &definition.name),
            _ => {}
        }
        walk_stmt(self, statement);
    }

    fn visit_alias(&mut self, alias: &'a Alias) {
        if let Some(name) = &alias.asname {
            self.name(name, name);
        }
        walk_alias(self, alias);
    }

    fn visit_parameter(&mut self, parameter: &'a Parameter) {
        self.name(&parameter.name, &parameter.name);
        walk_parameter(self, parameter);
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        // Source order: what is behind the last dot is checked after what stands before it.
        walk_expr(self, expression);
        match expression {
            Expr::Name(name) => self.name(name, &name.id),
            Expr::Attribute(attribute) => self.attribute(attribute),
            Expr::Await(_) => self.refuse(expression, NO_ASYNC.to_owned()),
            _ => {}
        }
    }

    fn visit_comprehension(&mut self, comprehension: &'a Comprehension) {
        if comprehension.is_async {
            self.refuse(comprehension, NO_ASYNC.to_owned());
        }
        walk_comprehension(self, comprehension);
    }

    fn visit_pattern(&mut self, pattern: &'a Pattern) {
        if let Pattern::MatchClass(class) = pattern {
            for keyword in &class.arguments.keywords {
                if self.strict {
                    self.refuse(&keyword.attr, format!("attribute {}: the strict policy has no attribute access", keyword.attr));
                }
                if &*keyword.attr == "format" {
                    self.refuse(&keyword.attr, FORMAT.to_owned());
                }
                self.attribute_name(&keyword.attr, &keyword.attr);
            }
        }
        walk_pattern(self, pattern);
    }
}

fn is_dunder(name: &str) -> bool {
    name.len() > 4 && name.starts_with("__") && name.ends_with("__")
}

fn is_super_call(value: &Expr) -> bool {
    matches!(value, Expr::Call(call) if matches!(&*call.func, Expr::Name(name) if name.id == "super"))
}

/// A module, or an attribute of one, as in `collections.abc`.
fn is_inside(value: &Expr, modules: &HashSet<&str>) -> bool {
    match value {
        Expr::Name(name) => modules.contains(name.id.as_str()),
        Expr::Attribute(attribute) => is_inside(&attribute.value, modules),
        _ => false,
    }
}

/// A literal text none of whose fields goes into what it is given: no dot or bracket before the end of a field's name.
fn is_plain_template(value: &Expr) -> bool {
    let Expr::StringLiteral(literal) = value else {
        return false;
    };
    literal.value.to_str().split('{').skip(1).all(|rest| {
        let field = rest.split(['}', '!', ':']).next().unwrap_or_default();
        !field.contains(['.', '['])
    })
}
