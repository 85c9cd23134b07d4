//! Memory limit and watchdog of one instance.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wasmtime::{Engine, ResourceLimiter, StoreContextMut, UpdateDeadline};

/// How often running code looks at the clock.
const TICK: Duration = Duration::from_millis(10);

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

    /// At a tick of the clock.
    pub fn look(store: StoreContextMut<'_, Self>) -> wasmtime::Result<UpdateDeadline> {
        if Instant::now() < store.data().deadline { Ok(UpdateDeadline::Continue(1)) } else { Err(Exceeded::Time.into()) }
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

    fn table_growing(&mut self, _current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= 100_000)
    }
}

/// Advances the engine's clock while programs run. Belongs to one batch: no thread is left idle, and none is lost in a fork.
pub(crate) struct Ticker<'a> {
    engine: &'a Engine,
    stop: &'a AtomicBool,
}

impl<'a> Ticker<'a> {
    pub fn new(engine: &'a Engine, stop: &'a AtomicBool) -> Self {
        Self { engine, stop }
    }

    /// Runs until `stop` is set and the thread is unparked.
    pub fn run(&self) {
        while !self.stop.load(Ordering::Acquire) {
            std::thread::park_timeout(TICK);
            self.engine.increment_epoch();
        }
    }
}
