//! Calls whose arguments are all literals, in the format of Python's `marshal`: reading that takes the guest a fraction of what compiling takes.
//!
//! Only what comes out the same either way: exact types, order of insertion, and one object for equal constants, as the compiler has it.

use std::collections::HashMap;

use num_bigint::{BigInt, Sign};

use super::{Value, parse_arguments};

/// Deeper literals are left to Python's parser, which has limits of its own.
const DEEPEST: usize = 20;
/// Integers that exist once in any case.
const SMALL: std::ops::RangeInclusive<i32> = -5..=1024;
/// A mark on the type of an object that is referred to later.
const KEPT: u8 = 0x80;

/// `name(literals)` as a marshalled pair of the name and a tuple; `None` for anything else.
pub(crate) fn call(text: &str) -> Option<Vec<u8>> {
    let (name, arguments) = text.trim_end_matches([' ', '\t', '\n']).strip_suffix(')')?.split_once('(')?;
    let is_name = name.len() < 100
        && name.starts_with(|letter: char| letter.is_ascii_alphabetic())
        && name.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
        // The words that an expression can have there.
        && !matches!(name, "not" | "await" | "yield" | "lambda");
    let arguments = is_name.then(|| parse_arguments(arguments))??;
    let mut writer = Writer { out: Vec::with_capacity(2 * text.len() + 16), kept: HashMap::new(), tuples: HashMap::new(), numbers: 0 };
    writer.out.extend([b')', 2]);
    writer.text(name);
    writer.items(&arguments, 0)?;
    Some(writer.out)
}

struct Writer {
    out: Vec<u8>,
    /// Constants so far, as they are written, and their numbers.
    kept: HashMap<Vec<u8>, u32>,
    /// The same of tuples that are constants, spelled in full.
    tuples: HashMap<String, u32>,
    /// How many numbers there are.
    numbers: u32,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Option<()> {
        if depth > DEEPEST {
            return None;
        }
        match value {
            Value::None => self.out.push(b'N'),
            Value::Bool(value) => self.out.push(if *value { b'T' } else { b'F' }),
            Value::Int(number) => self.int(number),
            // What is not finite has no literal: it was a name, or a call.
            Value::Float(number) if number.is_finite() => self.constant(b'g', None, &number.to_le_bytes()),
            Value::Str(text) => self.text(text),
            Value::Bytes(bytes) => self.constant(b's', Some(bytes.len()), bytes),
            Value::List(items) => {
                self.out.push(b'[');
                self.length(items.len());
                self.values(items, depth)?;
            }
            Value::Tuple(items) if is_constant(value) => {
                let spelled = format!("{items:?}");
                if let Some(number) = self.tuples.get(&spelled) {
                    self.refer(*number);
                } else {
                    let at = self.out.len();
                    self.tuples.insert(spelled, self.numbers);
                    // A tuple's number is before those of what is in it.
                    self.numbers += 1;
                    self.items(items, depth)?;
                    self.out[at] |= KEPT;
                }
            }
            Value::Tuple(items) => self.items(items, depth)?,
            // Of keys that are equal across types, the first stays: it is not here any more.
            Value::Dict(pairs)
                if pairs.iter().all(|(key, _)| matches!(key, Value::Str(_)))
                    || pairs.iter().all(|(key, _)| matches!(key, Value::Int(_))) =>
            {
                self.out.push(b'{');
                for (key, item) in pairs {
                    self.value(key, depth + 1)?;
                    self.value(item, depth + 1)?;
                }
                self.out.push(b'0');
            }
            _ => return None,
        }
        Some(())
    }

    /// A tuple.
    fn items(&mut self, items: &[Value], depth: usize) -> Option<()> {
        match u8::try_from(items.len()) {
            Ok(count) => self.out.extend([b')', count]),
            Err(_) => {
                self.out.push(b'(');
                self.length(items.len());
            }
        }
        self.values(items, depth)
    }

    fn values(&mut self, values: &[Value], depth: usize) -> Option<()> {
        values.iter().try_for_each(|value| self.value(value, depth + 1))
    }

    fn int(&mut self, number: &BigInt) {
        match i32::try_from(number) {
            Ok(number) if SMALL.contains(&number) => {
                self.out.push(b'i');
                self.out.extend(number.to_le_bytes());
            }
            Ok(number) => self.constant(b'i', None, &number.to_le_bytes()),
            Err(_) => {
                let digits = number.magnitude().to_radix_le(1 << 8);
                // Digits of 15 bits, their number with the sign.
                let (mut words, mut held, mut bits) = (Vec::new(), 0_u32, 0);
                for byte in digits {
                    held |= u32::from(byte) << bits;
                    bits += 8;
                    if bits >= 15 {
                        words.push((held & 0x7fff) as u16);
                        held >>= 15;
                        bits -= 15;
                    }
                }
                if held > 0 {
                    words.push(held as u16);
                }
                while words.last() == Some(&0) {
                    words.pop();
                }
                let count = i32::try_from(words.len()).unwrap_or(i32::MAX);
                let signed = if number.sign() == Sign::Minus { -count } else { count };
                let content: Vec<u8> = signed.to_le_bytes().into_iter().chain(words.into_iter().flat_map(u16::to_le_bytes)).collect();
                self.constant(b'l', None, &content);
            }
        }
    }

    fn text(&mut self, text: &str) {
        // Words are interned, as constants are that could be names.
        let word = text.bytes().all(|letter| letter.is_ascii_alphanumeric() || letter == b'_');
        match u8::try_from(text.len()) {
            Ok(length) if word => {
                self.out.extend([b'Z', length]);
                self.out.extend(text.as_bytes());
            }
            _ if word => {
                self.out.push(b'A');
                self.length(text.len());
                self.out.extend(text.as_bytes());
            }
            _ if text.is_ascii() => self.constant(b'a', Some(text.len()), text.as_bytes()),
            _ => self.constant(b'u', Some(text.len()), text.as_bytes()),
        }
    }

    /// An object that is one with all that equal it.
    fn constant(&mut self, kind: u8, length: Option<usize>, content: &[u8]) {
        let mut spelled = vec![kind | KEPT];
        spelled.extend(length.iter().flat_map(|&length| (length as u32).to_le_bytes()));
        spelled.extend(content);
        if let Some(number) = self.kept.get(&spelled) {
            self.refer(*number);
        } else {
            self.out.extend(&spelled);
            self.kept.insert(spelled, self.numbers);
            self.numbers += 1;
        }
    }

    fn refer(&mut self, number: u32) {
        self.out.push(b'r');
        self.out.extend(number.to_le_bytes());
    }

    fn length(&mut self, length: usize) {
        self.out.extend((length as u32).to_le_bytes());
    }
}

/// Whether the compiler makes it once: all of it cannot be changed.
fn is_constant(value: &Value) -> bool {
    match value {
        Value::Tuple(items) => items.iter().all(is_constant),
        Value::List(_) | Value::Set(_) | Value::Dict(_) => false,
        _ => true,
    }
}
