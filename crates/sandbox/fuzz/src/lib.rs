//! What the fuzz targets hold to be true, one module a part.
//!
//! The parts are compiled from where they lie, without the crates around them: no engine and no guest image has to be built to try what
//! reads sources, components, answers and ids.

#![deny(unsafe_code)]

#[path = "../../src/flatten/mod.rs"]
#[allow(dead_code, reason = "what only the engine asks for")]
mod flatten;
#[path = "../../src/policy/mod.rs"]
mod policy;
#[path = "../../../../rust/src/scanner.rs"]
mod scanner;
#[path = "../../src/value/mod.rs"]
mod value;
#[path = "../../src/wire/mod.rs"]
mod wire;

pub mod properties;
