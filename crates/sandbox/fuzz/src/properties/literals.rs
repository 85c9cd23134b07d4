//! What a text spells can be spelled back.

use crate::value::{Value, marshal, parse_arguments};

/// A text is a literal or it is none, and a literal's canonical form is the canonical form of itself. Only literals are sent
/// as data.
pub fn hold(text: &str) {
    if let Some(value) = Value::parse(text) {
        spelled(&value);
    }
    if let Some(values) = parse_arguments(text) {
        let canonical = joined(&values);
        let again = parse_arguments(&canonical).unwrap_or_else(|| panic!("not read back: {canonical}"));
        assert_eq!(again, values, "{canonical}");
        assert_eq!(joined(&again), canonical);
    }
    if marshal::call(&format!("f({text})")).is_some() {
        assert!(parse_arguments(text).is_some(), "what is no list of literals is sent as data");
    }
}

/// The canonical form reads back as the same value, and is its own canonical form.
pub(super) fn spelled(value: &Value) {
    let canonical = value.to_string();
    let again = Value::parse(&canonical).unwrap_or_else(|| panic!("not read back: {canonical}"));
    assert_eq!(&again, value, "{canonical}");
    assert_eq!(again.to_string(), canonical);
}

fn joined(values: &[Value]) -> String {
    values.iter().map(Value::to_string).collect::<Vec<_>>().join(", ")
}
