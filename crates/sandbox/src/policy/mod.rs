//! The static check before a run: reads the source with a real parser and refuses early, with a position.
//!
//! The wall is WebAssembly. A policy is there for readable rejections, and to keep out what makes results depend on more than the program;
//! it does not have to be, and is not, impossible to get around.

mod depth;
mod lists;
mod walk;

use std::fmt;

use ruff_python_ast::visitor::source_order::SourceOrderVisitor;
use ruff_python_parser::{parse_expression_range, parse_module};
use ruff_text_size::{TextLen, TextRange, TextSize};

/// What a program may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// No imports, no attribute access (the original Absolute Zero executor's rule).
    Strict,
    /// Allow-listed deterministic standard library; no underscore or frame attributes, no I/O, nothing that evaluates text.
    Standard,
    /// Anything that parses.
    Open,
}

/// What a policy refuses, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is refused.
    pub message: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl Rejection {
    fn at(source: &str, offset: TextSize, message: String) -> Self {
        let mut end = offset.to_usize().min(source.len());
        while !source.is_char_boundary(end) {
            end -= 1;
        }
        let before = &source[..end];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[start..].chars().count() + 1, message }
    }
}

/// A module's source against a policy.
pub(crate) fn check_program(source: &str, policy: Policy) -> Result<(), Rejection> {
    depth::check(source)?;
    let parsed = parse_module(source).map_err(|error| Rejection::at(source, error.location.start(), syntax(&error.error)))?;
    if policy == Policy::Open {
        return Ok(());
    }
    let mut bound = walk::Bound::default();
    parsed.suite().iter().for_each(|statement| bound.visit_stmt(statement));
    let mut check = walk::Check::new(policy, bound);
    parsed.suite().iter().for_each(|statement| check.visit_stmt(statement));
    check.verdict(source)
}

/// The source of one expression against a policy.
pub(crate) fn check_call(source: &str, policy: Policy) -> Result<(), Rejection> {
    depth::check(source)?;
    // As `eval` does.
    let expression = source.trim_start_matches([' ', '\t']);
    let range = TextRange::new(source.text_len() - expression.text_len(), source.text_len());
    let parsed =
        parse_expression_range(source, range).map_err(|error| Rejection::at(source, error.location.start(), syntax(&error.error)))?;
    if policy == Policy::Open {
        return Ok(());
    }
    let mut check = walk::Check::new(policy, walk::Bound::default());
    check.visit_expr(parsed.expr());
    check.verdict(source)
}

fn syntax(error: &impl fmt::Display) -> String {
    format!("syntax error: {error}")
}

#[cfg(test)]
mod tests;
