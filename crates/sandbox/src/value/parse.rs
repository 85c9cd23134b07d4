//! Reads literals. Nothing is evaluated: a constructor's name is a word of this grammar, and no other name is.

use num_bigint::BigInt;
use num_traits::Num;

use super::text::{self, Kind};
use super::{DEEPEST, MOST_BITS, Value};

/// Of the text itself, where a level of a value may be two, as in `frozenset({...})`, and an element has parts, as in
/// `complex(float('inf'), 0.0)`: every value that is not too deep can be read as it is spelled.
const DEEPEST_TEXT: usize = 2 * DEEPEST + 4;
/// Python refuses to convert longer decimal numbers.
const MOST_DIGITS: usize = 4_300;

impl Value {
    /// The value that a text spells; `None` if the text is not exactly one literal.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parser = Parser { rest: text };
        let value = parser.value(0)?;
        // `1, 2` is a tuple.
        let value = if parser.eat(',') {
            let mut items = vec![value];
            items.extend(parser.items(None, 1)?);
            Self::Tuple(items)
        } else {
            parser.ends().then_some(value)?
        };
        (value.levels() <= DEEPEST).then_some(value)
    }
}

/// The values between the parentheses of a call. No keywords, no stars.
pub fn parse_arguments(text: &str) -> Option<Vec<Value>> {
    Parser { rest: text }.items(None, 0).filter(|values| values.iter().all(|value| value.levels() <= DEEPEST))
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r', '\x0c']);
            let Some(comment) = self.rest.strip_prefix('#') else { return };
            self.rest = comment.find('\n').map_or("", |end| &comment[end..]);
        }
    }

    fn ends(&mut self) -> bool {
        self.skip();
        self.rest.is_empty()
    }

    fn eat(&mut self, letter: char) -> bool {
        self.skip();
        self.rest.strip_prefix(letter).map(|rest| self.rest = rest).is_some()
    }

    /// Letters, digits and underscores from here on.
    fn word(&mut self) -> &'a str {
        self.skip();
        let end = self.rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Values and commas up to a closing letter, or to the end of the text.
    fn items(&mut self, close: Option<char>, depth: usize) -> Option<Vec<Value>> {
        let mut items = Vec::new();
        loop {
            if self.closes(close) {
                return Some(items);
            }
            items.push(self.value(depth)?);
            if !self.eat(',') {
                return self.closes(close).then_some(items);
            }
        }
    }

    fn closes(&mut self, close: Option<char>) -> bool {
        match close {
            Some(letter) => self.eat(letter),
            None => self.ends(),
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEEPEST_TEXT {
            return None;
        }
        self.skip();
        match self.rest.chars().next()? {
            '[' => {
                self.eat('[');
                Some(Value::List(self.items(Some(']'), depth + 1)?))
            }
            '(' => {
                self.eat('(');
                self.parenthesised(depth + 1)
            }
            '{' => {
                self.eat('{');
                self.braces(depth + 1)
            }
            '+' | '-' | '.' | '0'..='9' => self.number(depth),
            _ => self.named(depth),
        }
    }

    /// A tuple, or a value in parentheses.
    fn parenthesised(&mut self, depth: usize) -> Option<Value> {
        if self.eat(')') {
            return Some(Value::Tuple(Vec::new()));
        }
        let first = self.value(depth)?;
        if self.eat(')') {
            return Some(first);
        }
        let mut items = vec![first];
        if !self.eat(',') {
            return None;
        }
        items.extend(self.items(Some(')'), depth)?);
        Some(Value::Tuple(items))
    }

    /// A dictionary or a set.
    fn braces(&mut self, depth: usize) -> Option<Value> {
        if self.eat('}') {
            return Some(Value::Dict(Vec::new()));
        }
        let first = self.value(depth)?;
        if !self.eat(':') {
            let mut items = vec![first];
            if !self.eat('}') {
                if !self.eat(',') {
                    return None;
                }
                items.extend(self.items(Some('}'), depth)?);
            }
            return items.iter().all(Value::is_hashable).then(|| Value::set(items));
        }
        let mut pairs = vec![(first, self.value(depth)?)];
        while !self.eat('}') {
            if !self.eat(',') {
                return None;
            }
            if self.eat('}') {
                break;
            }
            let key = self.value(depth)?;
            if !self.eat(':') {
                return None;
            }
            pairs.push((key, self.value(depth)?));
        }
        pairs.iter().all(|(key, _)| key.is_hashable()).then(|| Value::dict(pairs))
    }

    fn number(&mut self, depth: usize) -> Option<Value> {
        let first = self.signed(depth)?;
        let (Value::Int(_) | Value::Float(_)) = first else { return Some(first) };
        self.skip();
        if !self.rest.starts_with(['+', '-']) {
            return Some(first);
        }
        // What follows a real number can only be the imaginary part.
        match self.signed(depth)? {
            Value::Complex(_, imaginary) => Some(Value::Complex(as_float(&first)?, imaginary)),
            _ => None,
        }
    }

    fn signed(&mut self, depth: usize) -> Option<Value> {
        let mut negative = false;
        loop {
            if self.eat('-') {
                negative = !negative;
            } else if !self.eat('+') {
                break;
            }
        }
        let value = self.unsigned(depth)?;
        if !negative {
            return Some(value);
        }
        Some(match value {
            Value::Int(number) => Value::Int(-number),
            Value::Float(number) => Value::Float(-number),
            // Python's `-2j` is `-0.0-2j`, but as a result's spelling it means the number whose `repr` it is.
            Value::Complex(real, imaginary) => Value::Complex(real, -imaginary),
            _ => return None,
        })
    }

    fn unsigned(&mut self, depth: usize) -> Option<Value> {
        let lower = self.rest.get(..2).unwrap_or_default().to_ascii_lowercase();
        for (prefix, radix) in [("0x", 16), ("0o", 8), ("0b", 2)] {
            if lower == prefix {
                let word = self.word();
                let digits = &word[2..];
                let digits = digits.strip_prefix('_').unwrap_or(digits);
                let number = BigInt::from_str_radix(&text::without_underscores(digits)?, radix).ok()?;
                // Beyond, it has no decimal form that could be read.
                return (number.bits() <= MOST_BITS).then_some(Value::Int(number));
            }
        }
        let length = text::number_length(self.rest);
        let (digits, rest) = self.rest.split_at(length);
        self.rest = rest;
        if digits.is_empty() {
            return self.infinite(depth);
        }
        let imaginary = self.rest.strip_prefix(['j', 'J']).map(|rest| self.rest = rest).is_some();
        if self.rest.starts_with(|letter: char| letter.is_alphanumeric() || letter == '_') {
            return None;
        }
        let digits = text::without_underscores(digits)?;
        if imaginary {
            return Some(Value::Complex(0.0, digits.parse().ok()?));
        }
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Some(Value::Float(digits.parse().ok()?));
        }
        let is_octal = digits.starts_with('0') && digits.bytes().any(|byte| byte != b'0');
        if is_octal || digits.len() > MOST_DIGITS { None } else { Some(Value::Int(digits.parse().ok()?)) }
    }

    /// `inf` and `nan` as Python prints them: no literals, but nothing else can be meant.
    fn infinite(&mut self, depth: usize) -> Option<Value> {
        let before = self.rest;
        match self.word() {
            "inf" => Some(Value::Float(f64::INFINITY)),
            "nan" => Some(Value::Float(f64::NAN)),
            "float" => {
                self.rest = before;
                self.named(depth)
            }
            _ => None,
        }
    }

    /// A string, a constant, or one of the constructors.
    fn named(&mut self, depth: usize) -> Option<Value> {
        if let Some((kind, start)) = text::opening(self.rest) {
            return self.strings(kind, start);
        }
        let word = self.word();
        match word {
            "None" => return Some(Value::None),
            "True" => return Some(Value::Bool(true)),
            "False" => return Some(Value::Bool(false)),
            "inf" => return Some(Value::Float(f64::INFINITY)),
            "nan" => return Some(Value::Float(f64::NAN)),
            _ => {}
        }
        if word == "datetime" && !(self.eat('.') && self.word() == "date") {
            return None;
        }
        if !self.eat('(') {
            return None;
        }
        construct(word, self.items(Some(')'), depth + 1)?)
    }

    /// One string, or several that stand side by side.
    fn strings(&mut self, kind: Kind, start: usize) -> Option<Value> {
        let mut data = Vec::new();
        let mut next = Some((kind, start));
        while let Some((piece, start)) = next {
            if piece.is_bytes != kind.is_bytes {
                return None;
            }
            self.rest = text::read(&self.rest[start..], piece, &mut data)?;
            self.skip();
            next = text::opening(self.rest);
        }
        if kind.is_bytes { Some(Value::Bytes(data)) } else { String::from_utf8(data).ok().map(Value::Str) }
    }
}

fn construct(name: &str, arguments: Vec<Value>) -> Option<Value> {
    use Value::{Dict, FrozenSet, Int, List, Set, Str, Tuple};
    let small = |value: &Value| if let Int(number) = value { u16::try_from(number).ok() } else { None };
    let elements = |arguments: Vec<Value>| match <[Value; 1]>::try_from(arguments) {
        Ok([List(items) | Tuple(items) | Set(items) | FrozenSet(items)]) => items.iter().all(Value::is_hashable).then_some(items),
        Ok([Dict(pairs)]) if pairs.is_empty() => Some(Vec::new()),
        Ok(_) => None,
        Err(none) => none.is_empty().then_some(none),
    };
    match (name, arguments.as_slice()) {
        ("set", _) => Some(Value::set(elements(arguments)?)),
        ("frozenset", _) => Some(Value::frozen_set(elements(arguments)?)),
        ("float", [Str(text)]) => match text.as_str() {
            "inf" => Some(Value::Float(f64::INFINITY)),
            "-inf" => Some(Value::Float(f64::NEG_INFINITY)),
            "nan" => Some(Value::Float(f64::NAN)),
            _ => None,
        },
        ("complex", [real, imaginary]) => Some(Value::Complex(as_float(real)?, as_float(imaginary)?)),
        ("range", [Int(stop)]) => Some(Value::Range(Box::new([0.into(), stop.clone(), 1.into()]))),
        ("range", [Int(start), Int(stop)]) => Some(Value::Range(Box::new([start.clone(), stop.clone(), 1.into()]))),
        ("range", [Int(start), Int(stop), Int(step)]) if *step != BigInt::ZERO => {
            Some(Value::Range(Box::new([start.clone(), stop.clone(), step.clone()])))
        }
        ("Fraction", [Int(number)]) => Value::fraction(number.clone(), 1.into()),
        ("Fraction", [Int(numerator), Int(denominator)]) => Value::fraction(numerator.clone(), denominator.clone()),
        ("Decimal", [Str(text)]) => Value::decimal(text),
        ("Decimal", [Int(number)]) => Value::decimal(&number.to_string()),
        ("datetime" | "date", [year, month, day]) => {
            Value::date(small(year)?, u8::try_from(small(month)?).ok()?, u8::try_from(small(day)?).ok()?)
        }
        _ => None,
    }
}

fn as_float(value: &Value) -> Option<f64> {
    match value {
        Value::Float(number) => Some(*number),
        Value::Int(number) => number.to_string().parse().ok().filter(|number: &f64| number.is_finite()),
        _ => None,
    }
}
