//! Literal values as text. Nothing is evaluated.

use pyo3::prelude::*;
use pyo3::types::PyString;
use tina_sandbox::{Value, parse_arguments};

fn read<T>(py: Python<'_>, texts: Vec<Bound<'_, PyString>>, reader: impl Fn(&str) -> Option<T> + Sync) -> Vec<Option<T>>
where
    T: Send,
{
    // A lone surrogate is no text, so no literal.
    let texts: Vec<Option<String>> = texts.iter().map(|text| text.to_cow().ok().map(std::borrow::Cow::into_owned)).collect();
    py.detach(|| texts.iter().map(|text| text.as_deref().and_then(&reader)).collect())
}

/// The canonical form of each text that is one literal.
#[pyfunction]
pub fn literals(py: Python<'_>, texts: Vec<Bound<'_, PyString>>) -> Vec<Option<String>> {
    read(py, texts, |text| Value::parse(text).map(|value| value.to_string()))
}

/// The same for each text that is a comma-separated list of literals.
#[pyfunction]
pub fn argument_lists(py: Python<'_>, texts: Vec<Bound<'_, PyString>>) -> Vec<Option<String>> {
    read(py, texts, |text| {
        parse_arguments(text).map(|values| values.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    })
}

/// Whether two literals are equal by Python's rules; False if either is none.
#[pyfunction]
pub fn equal(left: &str, right: &str) -> bool {
    Value::parse(left).zip(Value::parse(right)).is_some_and(|(left, right)| left == right)
}
