//! Numbers across types: exact comparison, and the texts of decimals.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign};
use num_traits::{One, Signed, Zero};

use super::Value;

/// A decimal whose exponent is beyond this is compared as text: as a fraction it would not fit into memory.
const LARGEST_EXPONENT: i64 = 5_000;

/// An exact number, or one of the three that are beyond all numbers.
pub(super) enum Number {
    Exact(BigInt, BigInt),
    Infinite(Sign),
    Undefined,
}

impl Number {
    /// The number that a value is, if it is a real one.
    pub(super) fn of(value: &Value) -> Option<Self> {
        Some(match value {
            Value::Bool(truth) => Self::Exact(u8::from(*truth).into(), BigInt::one()),
            Value::Int(number) => Self::Exact(number.clone(), BigInt::one()),
            Value::Float(number) => Self::of_float(*number),
            Value::Complex(real, imaginary) if *imaginary == 0.0 => Self::of_float(*real),
            Value::Fraction(parts) => Self::Exact(parts[0].clone(), parts[1].clone()),
            Value::Decimal(text) => Self::of_decimal(text)?,
            _ => return None,
        })
    }

    fn of_float(number: f64) -> Self {
        if number.is_nan() {
            return Self::Undefined;
        }
        if number.is_infinite() {
            return Self::Infinite(if number > 0.0 { Sign::Plus } else { Sign::Minus });
        }
        let bits = number.to_bits();
        let exponent = ((bits >> 52) & 0x7ff) as i32;
        let fraction = bits & ((1 << 52) - 1);
        let mantissa = if exponent == 0 { fraction << 1 } else { fraction | (1 << 52) };
        let mantissa = BigInt::from(mantissa) * if number < 0.0 { -1 } else { 1 };
        match exponent - 1075 {
            power @ 0.. => Self::Exact(mantissa << power, BigInt::one()),
            power => Self::Exact(mantissa, BigInt::one() << -power),
        }
    }

    fn of_decimal(text: &str) -> Option<Self> {
        let (negative, rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
        if rest == "Infinity" {
            return Some(Self::Infinite(if negative { Sign::Minus } else { Sign::Plus }));
        }
        if rest.contains("NaN") {
            return Some(Self::Undefined);
        }
        let (digits, exponent) =
            rest.split_once('E').map_or((rest, 0), |(digits, exponent)| (digits, exponent.parse().unwrap_or(i64::MAX)));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
        let power = exponent.checked_sub(part.len() as i64)?;
        if power.abs() > LARGEST_EXPONENT {
            return None;
        }
        let mantissa: BigInt = format!("{whole}{part}").parse().ok()?;
        let mantissa = if negative { -mantissa } else { mantissa };
        let scale = BigInt::from(10).pow(power.unsigned_abs() as u32);
        Some(if power < 0 { Self::Exact(mantissa, scale) } else { Self::Exact(mantissa * scale, BigInt::one()) })
    }

    /// A total order: infinities at the ends, NaN after everything.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Exact(left, below_left), Self::Exact(right, below_right)) => {
                if below_left == below_right {
                    left.cmp(right)
                } else {
                    (left * below_right).cmp(&(right * below_left))
                }
            }
            _ => self.rank().cmp(&other.rank()),
        }
    }

    fn rank(&self) -> u8 {
        match self {
            Self::Infinite(Sign::Minus) => 0,
            Self::Exact(..) => 1,
            Self::Infinite(_) => 2,
            Self::Undefined => 3,
        }
    }
}

/// Lowest terms, with a positive denominator.
pub(super) fn reduced(numerator: BigInt, denominator: BigInt) -> Option<[BigInt; 2]> {
    if denominator.is_zero() {
        return None;
    }
    let (mut left, mut right) = (numerator.abs(), denominator.abs());
    while !right.is_zero() {
        (left, right) = (right.clone(), left % right);
    }
    let divisor = if denominator.is_negative() { -left } else { left };
    Some([numerator / &divisor, denominator / divisor])
}

/// The text of a decimal, if it is one, as `str(Decimal)` has it.
pub(super) fn decimal_text(text: &str) -> Option<String> {
    let (sign, rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) if text.starts_with('-') => ("-", rest),
        Some(rest) => ("", rest),
        None => ("", text),
    };
    let lower = rest.to_ascii_lowercase();
    if lower == "infinity" || lower == "inf" {
        return Some(format!("{sign}Infinity"));
    }
    for (name, spelled) in [("snan", "sNaN"), ("nan", "NaN")] {
        if let Some(payload) = lower.strip_prefix(name) {
            return payload.bytes().all(|byte| byte.is_ascii_digit()).then(|| format!("{sign}{spelled}{payload}"));
        }
    }
    let (digits, exponent) = lower.split_once('e').map_or((lower.as_str(), None), |(digits, exponent)| (digits, Some(exponent)));
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let numeric = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !numeric(whole) || !numeric(part) || (whole.is_empty() && part.is_empty()) {
        return None;
    }
    let exponent: i64 = match exponent {
        Some(text) => text.parse().ok().filter(|exponent: &i64| exponent.abs() < 1_000_000_000_000)?,
        None => 0,
    };
    Some(format!("{sign}{}", spell_decimal(&format!("{whole}{part}"), exponent - part.len() as i64)))
}

/// The General Decimal Arithmetic specification's to-scientific-string.
fn spell_decimal(digits: &str, exponent: i64) -> String {
    let trimmed = digits.trim_start_matches('0');
    let digits = if trimmed.is_empty() { "0" } else { trimmed };
    let adjusted = exponent + digits.len() as i64 - 1;
    if exponent <= 0 && adjusted >= -6 {
        let point = digits.len() as i64 + exponent;
        return if exponent == 0 {
            digits.to_owned()
        } else if point > 0 {
            format!("{}.{}", &digits[..point as usize], &digits[point as usize..])
        } else {
            format!("0.{}{digits}", "0".repeat(-point as usize))
        };
    }
    let (first, rest) = digits.split_at(1);
    let point = if rest.is_empty() { "" } else { "." };
    format!("{first}{point}{rest}E{adjusted:+}")
}
