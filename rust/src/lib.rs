//! `tina_azr._native`: the sandbox of `tina-sandbox` for Python, and the scanner for tag spans and think tokens.
//!
//! Nothing is decided here. `_native.pyi` describes the module; `tina_azr.sandbox` and `tina_azr.text.tags` are what callers use.

#![deny(unsafe_code)]

mod ids;
mod sandbox;
pub mod scanner;

/// The module.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use crate::ids::{TagStream, count_think_tokens, find_spans};
    #[pymodule_export]
    use crate::sandbox::{Sandbox, argument_lists, literals, warm};
}
