//! A bound on nesting, found token by token: parser, visitor and destructor recurse, and no source may overflow their stack.

use ruff_python_ast::token::TokenKind;
use ruff_python_parser::{Mode, lexer::lex};
use ruff_text_size::TextSize;

use super::Rejection;

/// Levels of one statement's expressions. CPython itself stops at 200 brackets; a sum of a thousand terms is a thousand levels. The stack of
/// a worker (`pool.rs`) holds 16,000 of the costliest, which are parentheses.
const MOST_LEVELS: usize = 1_000;
/// As CPython's tokenizer.
const MOST_INDENTS: usize = 100;

/// Within one pair of brackets, or outside of all: what has nested so far.
#[derive(Clone, Copy, Default)]
struct Level {
    /// Tokens that may nest what follows or hold what came before. A comma ends the chain.
    chain: usize,
    /// A lambda goes on behind a comma between its parameters.
    lambdas: usize,
}

/// Refuse what nests deeper than our recursion should go.
pub(super) fn check(source: &str) -> Result<(), Rejection> {
    let Some(excess) = excess(source) else {
        return Ok(());
    };
    // Tokens carry no public position, but whether a prefix is too deep decides where it became so.
    let ends: Vec<usize> = source.char_indices().map(|(start, letter)| start + letter.len_utf8()).collect();
    let first = ends.partition_point(|&end| self::excess(&source[..end]).is_none());
    let offset = ends.get(first).map_or(0, |&end| end - 1);
    Err(Rejection::at(source, TextSize::try_from(offset).unwrap_or_default(), format!("nested too deeply: {excess}")))
}

fn excess(source: &str) -> Option<&'static str> {
    let mut lexer = lex(source, Mode::Module);
    let (mut around, mut here) = (Vec::new(), Level::default());
    // Of all levels together, and blocks around the statement.
    let (mut depth, mut indents) = (0_usize, 0_usize);
    loop {
        let mut nests = 0;
        match lexer.next_token() {
            TokenKind::EndOfFile => return None,
            TokenKind::Indent => indents += 1,
            TokenKind::Dedent => indents = indents.saturating_sub(1),
            TokenKind::Newline | TokenKind::Semi => {
                around.clear();
                (here, depth) = (Level::default(), 0);
            }
            TokenKind::Comma => {
                depth -= here.chain;
                here.chain = 0;
            }
            TokenKind::Lambda => {
                here.lambdas += 1;
                depth += 1;
            }
            TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace | TokenKind::FStringStart | TokenKind::TStringStart => {
                depth += 1;
                around.push(Level { chain: here.chain + 1, ..here });
                here = Level::default();
            }
            TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace | TokenKind::FStringEnd | TokenKind::TStringEnd => {
                depth -= here.chain + here.lambdas;
                here = around.pop().unwrap_or_default();
            }
            TokenKind::Name | TokenKind::Int | TokenKind::Float | TokenKind::Complex | TokenKind::String => {}
            TokenKind::FStringMiddle
            | TokenKind::TStringMiddle
            | TokenKind::Comment
            | TokenKind::NonLogicalNewline
            | TokenKind::Unknown => {}
            _ => nests = 1,
        }
        here.chain += nests;
        depth += nests;
        if depth > MOST_LEVELS {
            return Some("more than 1,000 levels in one statement");
        }
        if indents > MOST_INDENTS {
            return Some("more than 100 blocks");
        }
    }
}
