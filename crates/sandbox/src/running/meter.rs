//! Memory limit and watchdog of one instance.

use std::time::Instant;

use wasmtime::ResourceLimiter;

/// The data of a store: what the instance has used of its limits.
#[derive(Debug)]
pub(crate) struct Meter {
    memory_limit: usize,
    pub memory: usize,
    pub deadline: Instant,
}

/// What the limiter and the watchdog end a run with, so that it can be told from a trap.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Exceeded {
    #[error("{0} bytes of memory asked for")]
    Memory(usize),
    #[error("out of time")]
    Time,
}

impl Meter {
    /// A store without limits: until [`Meter::start`] nothing of a program runs in it.
    pub fn new() -> Self {
        Self { memory_limit: usize::MAX, memory: 0, deadline: Instant::now() }
    }

    /// From now on, for an instance that has so much memory already.
    pub fn start(&mut self, memory_limit: usize, memory: usize) {
        (self.memory_limit, self.memory) = (memory_limit, memory);
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        // Not a failed `grow`: the program would get a MemoryError, which it can swallow, where it should end.
        if desired > self.memory_limit {
            return Err(Exceeded::Memory(desired).into());
        }
        self.memory = self.memory.max(desired);
        Ok(true)
    }

    /// No table of the guest's ever grows. One that could not if it wanted to stands for the host's clock: see `flatten::emit`.
    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum == Some(0) && desired > 0 && Instant::now() >= self.deadline {
            return Err(Exceeded::Time.into());
        }
        Ok(desired <= 100_000)
    }
}
