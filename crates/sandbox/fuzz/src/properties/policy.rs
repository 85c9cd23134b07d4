//! A policy answers for every source, readably, and what it accepts is no deeper than it says.

use ruff_python_ast::visitor::source_order::{SourceOrderVisitor, TraversalSignal};
use ruff_python_ast::{AnyNodeRef, Expr, Stmt};
use ruff_python_parser::{parse_expression, parse_module};

use crate::policy::{Policy, Rejection, check_call, check_program};

/// Less than `Limits::source_bytes` allows, and several times as deep as the bound.
const MOST_BYTES: usize = 8 << 10;
/// Levels of one statement, and blocks: `policy/depth.rs`. A token may stand for more than one node.
const MOST_NODES: usize = 3 * 1_000 + 100;
const MOST_BLOCKS: usize = 102;

/// What bytes above 0x7f stand for: mutations make programs of these more often than by letters.
const TOKENS: &[&str] = &[
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "f'",
    "f'''",
    "'",
    "t\"",
    "\"",
    "\"\"\"",
    ",",
    ":",
    ";",
    ".",
    "=",
    ":=",
    "*",
    "**",
    "+",
    "-",
    "~",
    "@",
    "->",
    "|",
    "<",
    "!=",
    "!r",
    "...",
    "\\\n",
    "\n",
    "\n ",
    "\n  ",
    "\n    ",
    "\r",
    "\r\n",
    "\t",
    "\x0c",
    "#",
    "lambda ",
    "lambda a, b=",
    "not ",
    "await ",
    "async ",
    "yield ",
    "yield from ",
    "if ",
    "elif ",
    "else ",
    "for ",
    "in ",
    "is ",
    "and ",
    "or ",
    "while ",
    "with ",
    "as ",
    "def ",
    "class ",
    "match ",
    "case ",
    "type ",
    "try",
    "except ",
    "except* ",
    "finally",
    "return ",
    "import ",
    "from ",
    "global ",
    "nonlocal ",
    "del ",
    "raise ",
    "assert ",
    "pass",
    "break",
    "print",
    "None",
    "True",
    "x",
    "_",
    "f",
    "1",
    "1.5e3",
    "0x",
    "1j",
    "b''",
    "r'\\'",
    "é",
    "ﬁ",
    "𝔢val",
    "\u{feff}",
    "\u{a0}",
    "x.y",
    "super().__init__()",
    "__class__",
    "__name__",
    "_a",
    "eval",
    "open",
    "getattr",
    "'{0.a}'.format",
    "math",
    "os",
    "sys",
    "collections.abc",
    "gi_frame",
    "mro",
];

/// Verdicts, positions and depth.
pub fn hold(data: &[u8]) {
    let source = source(data);
    for check in [check_program, check_call] {
        let verdicts = [Policy::Strict, Policy::Standard, Policy::Open].map(|policy| check(&source, policy));
        assert!(verdicts.is_sorted_by_key(Result::is_ok), "a policy accepts what a weaker one refuses: {verdicts:?}");
        verdicts.iter().filter_map(|verdict| verdict.as_ref().err()).for_each(|rejection| lies_inside(&source, rejection));
    }
    if check_program(&source, Policy::Open).is_ok() {
        let parsed = parse_module(&source).unwrap_or_else(|error| panic!("accepted, but does not parse: {error}"));
        let mut depth = Depth::default();
        parsed.suite().iter().for_each(|statement| depth.visit_stmt(statement));
    }
    if check_call(&source, Policy::Open).is_ok() {
        let call = source.trim_start_matches([' ', '\t']);
        let parsed = parse_expression(call).unwrap_or_else(|error| panic!("accepted, but does not parse: {error}"));
        Depth::default().visit_expr(parsed.expr());
    }
}

/// ASCII as it is; from 0x80 on a token; from 1 to 8 the last token or letter again, 2 to 256 times or more.
fn source(data: &[u8]) -> String {
    let mut source = String::new();
    let mut last = String::new();
    for &byte in data {
        let times = match byte {
            1..=8 => 2_usize << byte,
            _ => 1,
        };
        match byte {
            1..=8 => {}
            0x80.. => TOKENS[usize::from(byte - 0x80) % TOKENS.len()].clone_into(&mut last),
            _ => char::from(byte).to_string().clone_into(&mut last),
        }
        if source.len() + last.len() * times > MOST_BYTES {
            break;
        }
        source.push_str(&last.repeat(times));
    }
    source
}

/// Line and column are those of a character, or of the end; a name that is refused by itself stands there.
fn lies_inside(source: &str, rejection: &Rejection) {
    let line = source.split('\n').nth(rejection.line - 1).unwrap_or_else(|| panic!("no such line: {rejection}"));
    let before = line.char_indices().map(|(at, _)| at).chain([line.len()]).nth(rejection.column - 1);
    let at = before.unwrap_or_else(|| panic!("no such column: {rejection}"));
    assert!(!rejection.message.is_empty());
    let name = rejection.message.strip_prefix("the name ").and_then(|rest| rest.strip_suffix(" is not allowed"));
    if let Some(name) = name
        // Identifiers are normalised.
        && source.is_ascii()
    {
        assert!(line[at..].starts_with(name), "{rejection}, but there is {:?}", &line[at..]);
    }
}

/// Counts nodes within one statement, and statements within one another.
#[derive(Default)]
struct Depth {
    nodes: usize,
    blocks: usize,
}

impl<'a> SourceOrderVisitor<'a> for Depth {
    fn enter_node(&mut self, _node: AnyNodeRef<'a>) -> TraversalSignal {
        self.nodes += 1;
        assert!(self.nodes <= MOST_NODES, "an accepted statement is {} nodes deep", self.nodes);
        TraversalSignal::Traverse
    }

    fn leave_node(&mut self, _node: AnyNodeRef<'a>) {
        self.nodes -= 1;
    }

    fn visit_stmt(&mut self, statement: &'a Stmt) {
        self.blocks += 1;
        assert!(self.blocks <= MOST_BLOCKS, "an accepted program is {} blocks deep", self.blocks);
        ruff_python_ast::visitor::source_order::walk_stmt(self, statement);
        self.blocks -= 1;
    }

    fn visit_expr(&mut self, expression: &'a Expr) {
        ruff_python_ast::visitor::source_order::walk_expr(self, expression);
    }
}
