//! The way of running the guest: an instance of the component, made for one program and thrown away.
//!
//! Everything above sees [`Guest`], [`Session`] and [`Step`] only; another way of running replaces this folder.

mod component;
mod meter;

use std::time::Duration;

pub(crate) use component::{Guest, Session, engine};
pub(crate) use meter::Ticker;

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
