//! What one run may use.

use std::time::Duration;

use crate::Error;

/// The image itself, and room for a small program. Below this nothing runs.
const LEAST_MEMORY: usize = 64 << 20;

/// What one run may use. Each limit ends a run in an outcome of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// WebAssembly instructions, about. Exact, and repeats to the unit on one image.
    pub fuel: u64,
    /// A coarse watchdog behind fuel: the clock is looked at as fuel is used.
    pub wall: Duration,
    /// The interpreter's whole memory, of which it needs some 40 MB itself.
    pub memory_bytes: usize,
    /// Bytes of the result's literal, and again of what is printed.
    pub output_bytes: usize,
    /// Bytes of the program, and again of the call.
    pub source_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { fuel: 1_000_000_000, wall: Duration::from_secs(10), memory_bytes: 128 << 20, output_bytes: 64 << 10, source_bytes: 64 << 10 }
    }
}

impl Limits {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let refuse = |what: String| Err(Error::Limits(what));
        if self.memory_bytes < LEAST_MEMORY {
            return refuse(format!(
                "{} bytes of memory are not enough for the interpreter: give at least {LEAST_MEMORY}",
                self.memory_bytes
            ));
        }
        if self.memory_bytes > 4 << 30 {
            return refuse(format!("{} bytes of memory: the interpreter can address 4 GiB", self.memory_bytes));
        }
        if self.fuel == 0 || self.wall.is_zero() {
            return refuse("fuel and wall time must be more than zero".to_owned());
        }
        if u32::try_from(self.output_bytes).is_err() || u32::try_from(self.source_bytes).is_err() {
            return refuse("output and source are limited to 4 GiB at most".to_owned());
        }
        Ok(())
    }
}
