//! The guest's answers: one letter, then fields that open with their length (`guest/answer.py` writes them).
//!
//! The bytes come from where a program ran: every length, depth and number is checked, and what cannot be read is the program's fault.

use num_bigint::BigInt;

use crate::value::Value;

/// Deeper than the guest spells.
const DEEPEST: usize = 128;
/// A count is only a claim until its items have been read.
const ROOM: usize = 1024;
/// A value takes at most this much more here than in its literal.
const MOST_BYTES_A_CHARACTER: usize = 16;

/// What a request came to.
#[derive(Debug, PartialEq)]
pub(crate) enum End {
    /// A program is defined and can be called.
    Defined,
    Value(Value),
    Exception(String),
    NotLiteral(String),
    /// More was printed than allowed: this many bytes at least.
    Printed(u64),
    /// The result's literal would be longer than allowed.
    Returned,
}

/// An answer of the guest, and what was printed.
pub(crate) fn read(answer: &[u8], output_bytes: usize) -> Result<(End, String), String> {
    let mut reader = Reader { rest: answer };
    let letter = reader.byte()?;
    let printed = lossy(reader.field()?);
    let end = match letter {
        b'v' if reader.rest.len() / MOST_BYTES_A_CHARACTER > output_bytes => End::Returned,
        b'v' => match reader.value(0).and_then(|value| reader.finish().map(|()| value)) {
            Ok(value) => End::Value(value),
            // Only a program that tampers with the types of the standard library gets here.
            Err(problem) => End::NotLiteral(problem),
        },
        b'k' => End::Defined,
        b'e' => End::Exception(lossy(reader.rest)),
        b'n' => End::NotLiteral(lossy(reader.rest)),
        b'l' => End::Returned,
        b'o' => End::Printed(u64::from_le_bytes(reader.array()?)),
        _ => return Err(unreadable("its first letter")),
    };
    Ok((end, printed))
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn unreadable(what: &str) -> String {
    format!("the interpreter's answer cannot be read: {what}")
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or_else(|| unreadable("it ends early"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        self.take(N)?.try_into().map_err(|_| unreadable("it ends early"))
    }

    fn byte(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    fn length(&mut self) -> Result<usize, String> {
        Ok(u32::from_le_bytes(self.array()?) as usize)
    }

    fn field(&mut self) -> Result<&'a [u8], String> {
        let length = self.length()?;
        self.take(length)
    }

    fn finish(&self) -> Result<(), String> {
        if self.rest.is_empty() { Ok(()) } else { Err(unreadable("something follows the value")) }
    }

    fn value(&mut self, depth: usize) -> Result<Value, String> {
        if depth > DEEPEST {
            return Err(unreadable("it is nested too deep"));
        }
        Ok(match self.byte()? {
            b'N' => Value::None,
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            b'i' => Value::Int(i32::from_le_bytes(self.array()?).into()),
            b'I' => Value::Int(BigInt::from_signed_bytes_le(self.field()?)),
            b'f' => Value::Float(f64::from_le_bytes(self.array()?)),
            b'c' => Value::Complex(self.float(depth)?, self.float(depth)?),
            b's' => Value::Str(self.text()?),
            b'b' => Value::Bytes(self.field()?.to_vec()),
            b'l' => Value::List(self.items(depth)?),
            b't' => Value::Tuple(self.items(depth)?),
            b'S' => Value::set(self.items(depth)?),
            b'Z' => Value::frozen_set(self.items(depth)?),
            b'd' => {
                let count = self.length()?;
                let mut pairs = Vec::with_capacity(count.min(ROOM));
                for _ in 0..count {
                    pairs.push((self.value(depth + 1)?, self.value(depth + 1)?));
                }
                Value::Dict(pairs)
            }
            b'r' => Value::Range(Box::new([self.int(depth)?, self.int(depth)?, self.int(depth)?])),
            b'q' => Value::fraction(self.int(depth)?, self.int(depth)?).ok_or_else(|| unreadable("a Fraction"))?,
            b'D' => Value::decimal(&self.string(depth)?).ok_or_else(|| unreadable("a Decimal"))?,
            b'y' => {
                let text = self.string(depth)?;
                let mut parts = text.split('-');
                let mut part = || parts.next().and_then(|part| part.parse::<u16>().ok()).unwrap_or(0);
                let (year, month, day) = (part(), part(), part());
                let day = u8::try_from(month).ok().zip(u8::try_from(day).ok());
                day.and_then(|(month, day)| Value::date(year, month, day)).ok_or_else(|| unreadable("a date"))?
            }
            _ => return Err(unreadable("a value of no known type")),
        })
    }

    fn items(&mut self, depth: usize) -> Result<Vec<Value>, String> {
        let count = self.length()?;
        let mut items = Vec::with_capacity(count.min(ROOM));
        for _ in 0..count {
            items.push(self.value(depth + 1)?);
        }
        Ok(items)
    }

    fn text(&mut self) -> Result<String, String> {
        String::from_utf8(self.field()?.to_vec()).map_err(|_| unreadable("a str"))
    }

    fn string(&mut self, depth: usize) -> Result<String, String> {
        match self.value(depth + 1)? {
            Value::Str(text) => Ok(text),
            _ => Err(unreadable("a str")),
        }
    }

    fn int(&mut self, depth: usize) -> Result<BigInt, String> {
        match self.value(depth + 1)? {
            Value::Int(number) => Ok(number),
            _ => Err(unreadable("an int")),
        }
    }

    fn float(&mut self, depth: usize) -> Result<f64, String> {
        match self.value(depth + 1)? {
            Value::Float(number) => Ok(number),
            _ => Err(unreadable("a float")),
        }
    }
}
