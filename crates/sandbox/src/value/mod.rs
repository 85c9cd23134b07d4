//! Literal values: what crosses the boundary between a program and the host.
//!
//! A value has one spelling (`Display`), which [`Value::parse`] reads back; for plain types it is Python's `repr`. Elements of sets are
//! printed in an order of their own, so the order in which an interpreter happened to hold them is no difference.

pub(crate) mod marshal;
mod number;
mod order;
mod parse;
mod print;
mod text;

use num_bigint::BigInt;

pub use parse::parse_arguments;

/// A Python value that a literal can spell, and the few that a constructor call spells.
///
/// `==` follows Python: numbers compare by value across their types, a list never equals a tuple, dictionaries and sets ignore order. One
/// difference: NaN equals itself, so that a result can be compared with its copy.
#[derive(Clone, Debug)]
pub enum Value {
    /// `None`
    None,
    /// `True`, `False`
    Bool(bool),
    /// An integer of any size.
    Int(BigInt),
    /// A double; infinities are spelled `float('inf')`.
    Float(f64),
    /// Real and imaginary part.
    Complex(f64, f64),
    /// Text without lone surrogates.
    Str(String),
    /// `bytes`
    Bytes(Vec<u8>),
    /// `list`
    List(Vec<Value>),
    /// `tuple`
    Tuple(Vec<Value>),
    /// Pairs in the order of insertion.
    Dict(Vec<(Value, Value)>),
    /// Sorted and without repetition: use [`Value::set`].
    Set(Vec<Value>),
    /// Sorted and without repetition: use [`Value::frozen_set`].
    FrozenSet(Vec<Value>),
    /// Start, stop and step.
    Range(Box<[BigInt; 3]>),
    /// `fractions.Fraction` in lowest terms, denominator positive: use [`Value::fraction`].
    Fraction(Box<[BigInt; 2]>),
    /// `decimal.Decimal` as text: use [`Value::decimal`].
    Decimal(String),
    /// `datetime.date`: year, month, day.
    Date(u16, u8, u8),
}

impl Value {
    /// A set of these elements.
    pub fn set(elements: Vec<Value>) -> Self {
        Self::Set(order::sorted(elements))
    }

    /// A frozenset of these elements.
    pub fn frozen_set(elements: Vec<Value>) -> Self {
        Self::FrozenSet(order::sorted(elements))
    }

    /// A fraction in lowest terms; `None` if the denominator is zero.
    pub fn fraction(numerator: BigInt, denominator: BigInt) -> Option<Self> {
        number::reduced(numerator, denominator).map(|parts| Self::Fraction(Box::new(parts)))
    }

    /// A decimal number as `str(Decimal)` writes it; `None` if it is no number.
    pub fn decimal(text: &str) -> Option<Self> {
        number::decimal_text(text).map(Self::Decimal)
    }

    /// A date; `None` if the calendar has no such day.
    pub fn date(year: u16, month: u8, day: u8) -> Option<Self> {
        let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
        let days = match month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        ((1..=9999).contains(&year) && (1..=days).contains(&day)).then_some(Self::Date(year, month, day))
    }

    /// Whether it may be an element of a set or a key of a dictionary.
    pub fn is_hashable(&self) -> bool {
        match self {
            Self::List(_) | Self::Dict(_) | Self::Set(_) => false,
            Self::Tuple(items) => items.iter().all(Self::is_hashable),
            _ => true,
        }
    }
}
