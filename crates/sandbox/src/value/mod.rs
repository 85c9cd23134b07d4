//! Literal values: what crosses the boundary between a program and the host.
//!
//! A value has one spelling (`Display`), which [`Value::parse`] reads back; for plain types it is Python's `repr`. Elements of sets are
//! printed in an order of their own, so the order in which an interpreter happened to hold them is no difference.

pub(crate) mod marshal;
mod number;
mod order;
mod parse;
mod print;
#[cfg(test)]
mod tests;
mod text;

use num_bigint::BigInt;

pub use parse::parse_arguments;

/// Containers within one another, as many as the guest spells: what comes from it and what is read from texts goes no deeper.
pub(crate) const DEEPEST: usize = 100;
/// Bits of an integer. Python converts no more than 4,300 digits, which are at least as much; the guest stops a little earlier.
pub(crate) const MOST_BITS: u64 = 14_284;

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
    /// Pairs in the order of insertion, no key twice: use [`Value::dict`].
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

    /// A dictionary of these pairs; of equal keys the first, with the last value, as a display has it.
    pub fn dict(pairs: Vec<(Value, Value)>) -> Self {
        Self::Dict(order::last_of_each(pairs))
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

    /// Containers within one another.
    pub(crate) fn levels(&self) -> usize {
        let deepest = |items: &[Self]| 1 + items.iter().map(Self::levels).max().unwrap_or(0);
        match self {
            Self::List(items) | Self::Tuple(items) | Self::Set(items) | Self::FrozenSet(items) => deepest(items),
            Self::Dict(pairs) => 1 + pairs.iter().map(|(key, value)| key.levels().max(value.levels())).max().unwrap_or(0),
            _ => 0,
        }
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
