//! CPython in WebAssembly: untrusted programs, isolated, fuel-metered and deterministic.
//!
//! ```no_run
//! use tina_sandbox::{Limits, Policy, Sandbox};
//!
//! let sandbox = Sandbox::new(Limits::default(), Policy::Standard, None)?;
//! let outcome = sandbox.run("def f(n):\n    return n * 2", "f(21)")?;
//! assert_eq!(outcome.value.as_deref(), Some("42"));
//! # Ok::<(), tina_sandbox::Error>(())
//! ```
//!
//! A program that fails is an [`Outcome`]; an [`Error`] is the sandbox's own failure. The wall is a WebAssembly instance without imports;
//! the [`Policy`] in front of it only rejects early and readably. Results come back as literal [`Value`]s, never as text to evaluate.

#![deny(unsafe_code)]

mod cache;
mod error;
mod flatten;
mod image;
mod limits;
mod machine;
mod making;
mod memory;
mod outcome;
mod policy;
mod pool;
mod program;
mod running;
mod sandbox;
mod value;
mod wire;

pub use error::Error;
pub use image::Image;
pub use limits::Limits;
pub use outcome::{Kind, Outcome};
pub use policy::{Policy, Rejection};
pub use program::Job;
pub use running::Way;
pub use sandbox::{Info, Sandbox};
pub use value::{Value, parse_arguments};
