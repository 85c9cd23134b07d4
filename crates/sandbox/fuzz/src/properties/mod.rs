//! The properties: each panics on the input that breaks it.

pub mod flatten;
pub mod literals;
pub mod policy;
pub mod scanner;
pub mod values;
pub mod wire;
