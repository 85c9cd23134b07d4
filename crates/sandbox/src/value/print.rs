//! The one spelling of a value: Python's `repr` where that can be read back.

use std::fmt::{self, Display, Formatter, Write};

use num_traits::One;
use unicode_general_category::{GeneralCategory as Category, get_general_category};

use super::Value;

impl Display for Value {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => out.write_str("None"),
            Self::Bool(truth) => out.write_str(if *truth { "True" } else { "False" }),
            Self::Int(number) => write!(out, "{number}"),
            Self::Float(number) => out.write_str(&float(*number)),
            Self::Complex(real, imaginary) => out.write_str(&complex(*real, *imaginary)),
            Self::Str(text) => string(out, text),
            Self::Bytes(data) => bytes(out, data),
            Self::List(items) => row(out, "[", items, "]"),
            Self::Tuple(items) => row(out, "(", items, if items.len() == 1 { ",)" } else { ")" }),
            Self::Dict(pairs) => {
                out.write_char('{')?;
                for (index, (key, value)) in pairs.iter().enumerate() {
                    let separator = if index > 0 { ", " } else { "" };
                    write!(out, "{separator}{key}: {value}")?;
                }
                out.write_char('}')
            }
            Self::Set(items) if items.is_empty() => out.write_str("set()"),
            Self::Set(items) => row(out, "{", items, "}"),
            Self::FrozenSet(items) if items.is_empty() => out.write_str("frozenset()"),
            Self::FrozenSet(items) => row(out, "frozenset({", items, "})"),
            Self::Range(parts) => {
                let [start, stop, step] = &**parts;
                if step.is_one() { write!(out, "range({start}, {stop})") } else { write!(out, "range({start}, {stop}, {step})") }
            }
            Self::Fraction(parts) => write!(out, "Fraction({}, {})", parts[0], parts[1]),
            Self::Decimal(text) => write!(out, "Decimal('{text}')"),
            Self::Date(year, month, day) => write!(out, "datetime.date({year}, {month}, {day})"),
        }
    }
}

fn row(out: &mut Formatter<'_>, open: &str, items: &[Value], close: &str) -> fmt::Result {
    out.write_str(open)?;
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.write_str(", ")?;
        }
        write!(out, "{item}")?;
    }
    out.write_str(close)
}

/// The shortest digits that read back as the same number, laid out as Python does it.
fn float(number: f64) -> String {
    if !number.is_finite() {
        let name = if number.is_nan() {
            "nan"
        } else if number > 0.0 {
            "inf"
        } else {
            "-inf"
        };
        return format!("float('{name}')");
    }
    let scientific = format!("{number:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else { return scientific };
    match exponent.parse::<i32>() {
        Ok(-4..16) => format!("{number:?}"),
        Ok(power) => format!("{mantissa}e{}{:02}", if power < 0 { '-' } else { '+' }, power.abs()),
        Err(_) => scientific,
    }
}

fn complex(real: f64, imaginary: f64) -> String {
    let negative_zero = |part: f64| part == 0.0 && part.is_sign_negative();
    if !real.is_finite() || !imaginary.is_finite() || negative_zero(real) || negative_zero(imaginary) {
        return format!("complex({}, {})", float(real), float(imaginary));
    }
    // Within a complex number Python leaves ".0" out.
    let part = |number: f64| float(number).trim_end_matches(".0").to_owned();
    if real == 0.0 {
        return format!("{}j", part(imaginary));
    }
    format!("({}{}{}j)", part(real), if imaginary < 0.0 { "" } else { "+" }, part(imaginary))
}

fn quote(has_single: bool, has_double: bool) -> char {
    if has_single && !has_double { '"' } else { '\'' }
}

fn string(out: &mut Formatter<'_>, text: &str) -> fmt::Result {
    let quote = quote(text.contains('\''), text.contains('"'));
    out.write_char(quote)?;
    for letter in text.chars() {
        match letter {
            '\\' => out.write_str("\\\\")?,
            '\n' => out.write_str("\\n")?,
            '\r' => out.write_str("\\r")?,
            '\t' => out.write_str("\\t")?,
            _ if letter == quote => write!(out, "\\{letter}")?,
            ' '..='~' => out.write_char(letter)?,
            _ if is_printable(letter) => out.write_char(letter)?,
            _ => match u32::from(letter) {
                code @ 0..=0xff => write!(out, "\\x{code:02x}")?,
                code @ 0x100..=0xffff => write!(out, "\\u{code:04x}")?,
                code => write!(out, "\\U{code:08x}")?,
            },
        }
    }
    out.write_char(quote)
}

/// Python's `str.isprintable`.
fn is_printable(letter: char) -> bool {
    use Category::{Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, SpaceSeparator, Surrogate, Unassigned};
    !matches!(
        get_general_category(letter),
        Control | Format | Surrogate | PrivateUse | Unassigned | LineSeparator | ParagraphSeparator | SpaceSeparator
    )
}

fn bytes(out: &mut Formatter<'_>, data: &[u8]) -> fmt::Result {
    let quote = quote(data.contains(&b'\''), data.contains(&b'"'));
    write!(out, "b{quote}")?;
    for &byte in data {
        match byte {
            b'\\' => out.write_str("\\\\")?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\t' => out.write_str("\\t")?,
            _ if char::from(byte) == quote => write!(out, "\\{quote}")?,
            b' '..=b'~' => out.write_char(char::from(byte))?,
            _ => write!(out, "\\x{byte:02x}")?,
        }
    }
    out.write_char(quote)
}
