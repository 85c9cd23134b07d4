//! The guest's answers: one letter, then fields that open with their length (`guest/answer.py` writes them).
//!
//! The bytes come from where a program ran: every length, depth and number is checked, and what cannot be read is the program's fault.

use num_bigint::BigInt;
use num_traits::Zero;

use crate::value::{DEEPEST, MOST_BITS, Value};

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

fn too_deep() -> String {
    unreadable("it is nested too deep")
}

/// An element of a set, or a key.
fn hashable(value: Value) -> Result<Value, String> {
    if value.is_hashable() { Ok(value) } else { Err(unreadable("an element or a key that cannot be one")) }
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
        // An element at the bottom may have parts.
        if depth > DEEPEST + 1 {
            return Err(too_deep());
        }
        Ok(match self.byte()? {
            b'N' => Value::None,
            b'T' => Value::Bool(true),
            b'F' => Value::Bool(false),
            b'i' => Value::Int(i32::from_le_bytes(self.array()?).into()),
            b'I' => Value::Int(self.long()?),
            b'f' => Value::Float(f64::from_le_bytes(self.array()?)),
            b'c' => Value::Complex(self.float(depth)?, self.float(depth)?),
            b's' => Value::Str(self.text()?),
            b'b' => Value::Bytes(self.field()?.to_vec()),
            b'l' => Value::List(self.items(depth)?),
            b't' => Value::Tuple(self.items(depth)?),
            b'S' => Value::set(self.elements(depth)?),
            b'Z' => Value::frozen_set(self.elements(depth)?),
            b'd' => {
                let count = self.count(depth)?;
                let mut pairs = Vec::with_capacity(count.min(ROOM));
                for _ in 0..count {
                    pairs.push((hashable(self.value(depth + 1)?)?, self.value(depth + 1)?));
                }
                Value::dict(pairs)
            }
            b'r' => {
                let parts = [self.int(depth)?, self.int(depth)?, self.int(depth)?];
                if parts[2].is_zero() {
                    return Err(unreadable("a range"));
                }
                Value::Range(Box::new(parts))
            }
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
        let count = self.count(depth)?;
        let mut items = Vec::with_capacity(count.min(ROOM));
        for _ in 0..count {
            items.push(self.value(depth + 1)?);
        }
        Ok(items)
    }

    fn elements(&mut self, depth: usize) -> Result<Vec<Value>, String> {
        self.items(depth)?.into_iter().map(hashable).collect()
    }

    /// How much a container at this depth holds.
    fn count(&mut self, depth: usize) -> Result<usize, String> {
        if depth < DEEPEST { self.length() } else { Err(too_deep()) }
    }

    /// To spell a number takes longer than its digits say: only as long a one as the guest sends is looked at.
    fn long(&mut self) -> Result<BigInt, String> {
        let bytes = self.field()?;
        if bytes.len() as u64 > MOST_BITS.div_ceil(8) {
            return Err(unreadable("an int that is too large"));
        }
        let number = BigInt::from_signed_bytes_le(bytes);
        if number.bits() <= MOST_BITS { Ok(number) } else { Err(unreadable("an int that is too large")) }
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

#[cfg(test)]
mod tests;
