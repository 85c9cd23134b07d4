//! Every value that a program can return arrives as it was, and its canonical form reads back.

use arbitrary::Arbitrary;
use num_bigint::BigInt;

use super::literals::spelled;
use crate::value::Value;
use crate::wire::{End, read};

/// Containers within one another, as `guest/answer.py` spells them.
const DEEPEST: usize = 100;
/// Its `longest_int`, about.
const LONGEST_INT: usize = 1_700;

/// A value to be made.
#[derive(Arbitrary, Debug)]
#[expect(missing_docs, reason = "as in Value")]
pub enum Drawn {
    None,
    Bool(bool),
    Small(i32),
    Int(Vec<u8>),
    Float(f64),
    Complex(f64, f64),
    Str(String),
    Bytes(Vec<u8>),
    List(Vec<Drawn>),
    Tuple(Vec<Drawn>),
    Set(Vec<Drawn>),
    FrozenSet(Vec<Drawn>),
    Dict(Vec<(Drawn, Drawn)>),
    /// Containers of one element, so many around.
    Around(Shape, u8, Box<Drawn>),
    Range(i32, i64, i64),
    Fraction(i64, i64),
    Decimal(bool, u64, i16),
    Date(u16, u8, u8),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
#[expect(missing_docs, reason = "as in Value")]
pub enum Shape {
    List,
    Tuple,
    Set,
    FrozenSet,
    Dict,
}

/// Through the wire and through text.
pub fn hold(drawn: &Drawn) {
    let value = made(drawn, 0);
    let mut answer = b"v\0\0\0\0".to_vec();
    write(&value, &mut answer);
    match read(&answer, answer.len()) {
        Ok((End::Value(arrived), printed)) if printed.is_empty() => assert_eq!(arrived, value),
        other => panic!("{value} arrives as {other:?}"),
    }
    spelled(&value);
}

fn made(drawn: &Drawn, depth: usize) -> Value {
    let all = |items: &[Drawn]| items.iter().map(|item| made(item, depth + 1)).collect::<Vec<_>>();
    let hashable = |items: &[Drawn]| all(items).into_iter().filter(Value::is_hashable).collect();
    match drawn {
        Drawn::None => Value::None,
        Drawn::Bool(truth) => Value::Bool(*truth),
        Drawn::Small(number) => Value::Int((*number).into()),
        Drawn::Int(bytes) => Value::Int(BigInt::from_signed_bytes_le(&bytes[..bytes.len().min(LONGEST_INT)])),
        Drawn::Float(number) => Value::Float(*number),
        Drawn::Complex(real, imaginary) => Value::Complex(*real, *imaginary),
        Drawn::Str(text) => Value::Str(text.clone()),
        Drawn::Bytes(data) => Value::Bytes(data.clone()),
        Drawn::Range(start, stop, step) => Value::Range(Box::new([(*start).into(), (*stop).into(), (*step).max(1).into()])),
        Drawn::Fraction(numerator, denominator) => Value::fraction((*numerator).into(), (*denominator).into()).unwrap_or(Value::None),
        Drawn::Decimal(negative, digits, exponent) => {
            let sign = if *negative { "-" } else { "" };
            Value::decimal(&format!("{sign}{digits}E{exponent}")).unwrap_or(Value::None)
        }
        Drawn::Date(year, month, day) => Value::date(*year % 10_000, *month % 13, *day % 32).unwrap_or(Value::None),
        _ if depth >= DEEPEST => Value::None,
        Drawn::List(items) => Value::List(all(items)),
        Drawn::Tuple(items) => Value::Tuple(all(items)),
        Drawn::Set(items) => Value::set(hashable(items)),
        Drawn::FrozenSet(items) => Value::frozen_set(hashable(items)),
        Drawn::Dict(pairs) => {
            let pairs = pairs.iter().map(|(key, value)| (made(key, depth + 1), made(value, depth + 1)));
            Value::dict(pairs.filter(|(key, _)| key.is_hashable()).collect())
        }
        Drawn::Around(shape, levels, inner) => {
            let levels = usize::from(*levels).min(DEEPEST - depth);
            (0..levels).fold(made(inner, depth + levels), |value, _| around(*shape, value))
        }
    }
}

fn around(shape: Shape, value: Value) -> Value {
    match shape {
        Shape::Tuple => Value::Tuple(vec![value]),
        Shape::Set if value.is_hashable() => Value::set(vec![value]),
        Shape::FrozenSet if value.is_hashable() => Value::frozen_set(vec![value]),
        Shape::Dict => Value::Dict(vec![(Value::None, value)]),
        _ => Value::List(vec![value]),
    }
}

/// As `spell` of `guest/answer.py`.
fn write(value: &Value, out: &mut Vec<u8>) {
    let field = |out: &mut Vec<u8>, letter: u8, data: &[u8]| {
        out.push(letter);
        out.extend((data.len() as u32).to_le_bytes());
        out.extend(data);
    };
    let items = |out: &mut Vec<u8>, letter: u8, items: &[Value]| {
        out.push(letter);
        out.extend((items.len() as u32).to_le_bytes());
        items.iter().for_each(|item| write(item, out));
    };
    let float = |out: &mut Vec<u8>, number: f64| {
        out.push(b'f');
        out.extend(number.to_le_bytes());
    };
    let int = |out: &mut Vec<u8>, number: &BigInt| match i32::try_from(number) {
        Ok(small) => {
            out.push(b'i');
            out.extend(small.to_le_bytes());
        }
        Err(_) => field(out, b'I', &number.to_signed_bytes_le()),
    };
    match value {
        Value::None => out.push(b'N'),
        Value::Bool(truth) => out.push(if *truth { b'T' } else { b'F' }),
        Value::Int(number) => int(out, number),
        Value::Float(number) => float(out, *number),
        Value::Complex(real, imaginary) => {
            out.push(b'c');
            float(out, *real);
            float(out, *imaginary);
        }
        Value::Str(text) => field(out, b's', text.as_bytes()),
        Value::Bytes(data) => field(out, b'b', data),
        Value::List(list) => items(out, b'l', list),
        Value::Tuple(tuple) => items(out, b't', tuple),
        Value::Set(set) => items(out, b'S', set),
        Value::FrozenSet(set) => items(out, b'Z', set),
        Value::Dict(pairs) => {
            out.push(b'd');
            out.extend((pairs.len() as u32).to_le_bytes());
            for (key, value) in pairs {
                write(key, out);
                write(value, out);
            }
        }
        Value::Range(parts) => {
            out.push(b'r');
            parts.iter().for_each(|part| int(out, part));
        }
        Value::Fraction(parts) => {
            out.push(b'q');
            parts.iter().for_each(|part| int(out, part));
        }
        Value::Decimal(text) => {
            out.push(b'D');
            field(out, b's', text.as_bytes());
        }
        Value::Date(year, month, day) => {
            out.push(b'y');
            field(out, b's', format!("{year:04}-{month:02}-{day:02}").as_bytes());
        }
    }
}
