//! The way of running the guest: an instance that starts from the image's memory, and returns to it.
//!
//! Everything above sees [`Guest`], [`Session`] and [`Step`] only. A session starts in the state in which the image was made; what differs
//! between the two [`Way`]s is how it gets there, and tests hold that nothing else does.

mod guest;
mod instance;
mod meter;

use std::sync::OnceLock;
use std::time::Duration;

use crate::memory::Scanner;

pub(crate) use guest::{Guest, Plan, Session};
pub(crate) use instance::{Instance, engine};

/// How an instance gets into the state in which a program starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Way {
    /// An instance is kept, and the pages that the last program wrote are copied back. Needs Linux 6.7, for `PAGEMAP_SCAN`.
    Reset,
    /// An instance is made for each program and each call, and thrown away: the reference that the other is compared with.
    Fresh,
}

impl Way {
    /// As it is written on the command line and in Python.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::Fresh => "fresh",
        }
    }

    /// [`Way::Reset`] where the kernel can say which pages were written.
    pub fn best() -> Self {
        static BEST: OnceLock<Way> = OnceLock::new();
        *BEST.get_or_init(|| if Scanner::new().is_ok() { Self::Reset } else { Self::Fresh })
    }
}

/// Why the guest did not come to its own end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Fuel ran out.
    Fuel,
    /// The watchdog.
    Timeout,
    /// It asked for this much memory.
    Memory(usize),
    /// WebAssembly trapped; in the engine's words.
    Crash(String),
}

/// One request to the guest.
#[derive(Debug)]
pub(crate) struct Step {
    /// What it answered.
    pub answer: Result<Vec<u8>, Stop>,
    /// Fuel used by this request.
    pub fuel: u64,
    /// Time used by this request.
    pub wall: Duration,
    /// Most memory so far.
    pub memory: usize,
}
