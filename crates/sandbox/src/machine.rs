//! What all sandboxes of a process share: the engine, the interpreter's code, and the two memories that it starts from.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use wasmtime::{Engine, Module};

use crate::running::{self, Guest};
use crate::{Error, Image, cache};

pub(crate) struct Machine {
    pub engine: Engine,
    code: Mutex<Option<Module>>,
    guests: [Mutex<Option<Arc<Guest>>>; 2],
}

impl Machine {
    pub fn shared() -> Result<&'static Self, Error> {
        static MACHINE: OnceLock<Machine> = OnceLock::new();
        if let Some(machine) = MACHINE.get() {
            return Ok(machine);
        }
        let machine = Self { engine: running::engine()?, code: Mutex::new(None), guests: [Mutex::new(None), Mutex::new(None)] };
        Ok(MACHINE.get_or_init(|| machine))
    }

    /// The guest of an image. The first call loads it, or makes it; others wait.
    pub fn guest(&self, image: Image) -> Result<Arc<Guest>, Error> {
        let mut slot = self.guests[image as usize].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(guest) = &*slot {
            return Ok(Arc::clone(guest));
        }
        let memory = Arc::new(cache::memory(&self.engine, image)?);
        let guest = Arc::new(Guest::new(&self.code()?, memory)?);
        *slot = Some(Arc::clone(&guest));
        Ok(guest)
    }

    fn code(&self) -> Result<Module, Error> {
        let mut slot = self.code.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(code) = &*slot {
            return Ok(code.clone());
        }
        Ok(slot.insert(cache::code(&self.engine)?).clone())
    }
}
