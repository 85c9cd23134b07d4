//! Equality by Python's rules, and the order in which sets are printed.

use std::cmp::Ordering;

use super::Value;
use super::number::Number;

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        order(self, other).is_eq()
    }
}

/// In order and without repetition.
pub(super) fn sorted(mut elements: Vec<Value>) -> Vec<Value> {
    elements.sort_by(order);
    elements.dedup_by(|later, earlier| order(later, earlier).is_eq());
    elements
}

/// As a dictionary display evaluates: the first of equal keys, with the last value.
pub(super) fn last_of_each(pairs: Vec<(Value, Value)>) -> Vec<(Value, Value)> {
    let mut by_key: Vec<usize> = (0..pairs.len()).collect();
    by_key.sort_by(|left, right| order(&pairs[*left].0, &pairs[*right].0));
    let mut value_of: Vec<Option<usize>> = vec![None; pairs.len()];
    for equal in by_key.chunk_by(|left, right| order(&pairs[*left].0, &pairs[*right].0).is_eq()) {
        value_of[equal[0]] = equal.last().copied();
    }
    let values: Vec<Value> = pairs.iter().map(|(_, value)| value.clone()).collect();
    let kept = pairs.into_iter().zip(value_of).filter_map(|((key, _), value)| value.map(|value| (key, values[value].clone())));
    kept.collect()
}

/// A total order that calls two values equal when Python does (and NaN and itself).
pub(super) fn order(left: &Value, right: &Value) -> Ordering {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => return left.cmp(right),
        (Value::Str(left), Value::Str(right)) => return left.cmp(right),
        _ => {}
    }
    let numbers = (Number::of(left), Number::of(right));
    if let (Some(left), Some(right)) = &numbers {
        return left.order(right);
    }
    let rank = |number: &Option<Number>, value| if number.is_some() { 0 } else { rank(value) };
    rank(&numbers.0, left).cmp(&rank(&numbers.1, right)).then_with(|| match (left, right) {
        (Value::Complex(real, imaginary), Value::Complex(other_real, other_imaginary)) => {
            part(*real).total_cmp(&part(*other_real)).then(part(*imaginary).total_cmp(&part(*other_imaginary)))
        }
        (Value::Decimal(left), Value::Decimal(right)) => left.cmp(right),
        (Value::Bytes(left), Value::Bytes(right)) => left.cmp(right),
        (Value::List(left), Value::List(right)) | (Value::Tuple(left), Value::Tuple(right)) => in_turn(left, right),
        (Value::Set(left) | Value::FrozenSet(left), Value::Set(right) | Value::FrozenSet(right)) => in_turn(left, right),
        (Value::Dict(left), Value::Dict(right)) => {
            let (left, right) = (by_key(left), by_key(right));
            let pairs = left.iter().zip(&right).map(|(left, right)| order(&left.0, &right.0).then_with(|| order(&left.1, &right.1)));
            left.len().cmp(&right.len()).then_with(|| pairs.fold(Ordering::Equal, Ordering::then))
        }
        (Value::Range(left), Value::Range(right)) => left.cmp(right),
        (Value::Date(..), Value::Date(..)) => date(left).cmp(&date(right)),
        _ => Ordering::Equal,
    })
}

/// One zero, and one NaN: their signs are not spelled.
fn part(number: f64) -> f64 {
    if number.is_nan() { f64::NAN } else { number + 0.0 }
}

fn in_turn(left: &[Value], right: &[Value]) -> Ordering {
    left.iter()
        .zip(right)
        .map(|(left, right)| order(left, right))
        .find(|order| order.is_ne())
        .unwrap_or_else(|| left.len().cmp(&right.len()))
}

fn by_key(pairs: &[(Value, Value)]) -> Vec<&(Value, Value)> {
    let mut pairs: Vec<_> = pairs.iter().collect();
    pairs.sort_by(|left, right| order(&left.0, &right.0));
    pairs
}

fn date(value: &Value) -> Option<(u16, u8, u8)> {
    if let Value::Date(year, month, day) = value { Some((*year, *month, *day)) } else { None }
}

/// Of what is no real number. Types that can be equal share a rank.
fn rank(value: &Value) -> u8 {
    match value {
        // Too large for exact arithmetic.
        Value::Decimal(_) => 1,
        Value::Complex(..) => 2,
        Value::None => 3,
        Value::Str(_) => 4,
        Value::Bytes(_) => 5,
        Value::Tuple(_) => 6,
        Value::List(_) => 7,
        Value::Set(_) | Value::FrozenSet(_) => 8,
        Value::Dict(_) => 9,
        Value::Range(_) => 10,
        Value::Date(..) => 11,
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Fraction(_) => 0,
    }
}
