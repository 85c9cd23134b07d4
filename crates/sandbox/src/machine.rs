//! What all sandboxes of a process share: the engine, and the two guests once they are needed.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmtime::Engine;

use crate::running::{self, Guest};
use crate::{Error, Image, cache};

pub(crate) struct Machine {
    pub engine: Engine,
    guests: [Mutex<Option<Arc<Guest>>>; 2],
}

impl Machine {
    pub fn shared() -> Result<&'static Self, Error> {
        static MACHINE: OnceLock<Machine> = OnceLock::new();
        if let Some(machine) = MACHINE.get() {
            return Ok(machine);
        }
        let machine = Self { engine: running::engine()?, guests: [Mutex::new(None), Mutex::new(None)] };
        Ok(MACHINE.get_or_init(|| machine))
    }

    /// The guest of an image. The first call loads it, or compiles it; others wait.
    pub fn guest(&self, image: Image) -> Result<Arc<Guest>, Error> {
        let mut slot = self.guests[image as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = &*slot {
            return Ok(Arc::clone(guest));
        }
        let guest = Arc::new(Guest::new(&cache::load(&self.engine, image)?)?);
        *slot = Some(Arc::clone(&guest));
        Ok(guest)
    }
}
