//! An image that programs start from, and the instances that are kept for it.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::{InstancePre, Linker, Module};

use super::instance::{Exports, Functions, Instance};
use super::meter::Meter;
use super::{Step, Way};
use crate::memory::{Image, Scanner, Snapshot, Written, starting_from};
use crate::{Error, Limits};

/// Written pages only accumulate: beyond this many a new instance is cheaper than to copy them all back each time.
const MOST_DIRTY_BYTES: usize = 4 << 20;

thread_local! {
    /// Each worker asks the kernel by itself. `None`: not tried yet.
    static SCANNER: RefCell<Option<Scanner>> = const { RefCell::new(None) };
}

/// How sessions are run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub way: Way,
    /// After so many resets one is verified: the whole memory is compared with what it should be.
    pub verify_every: NonZero<u64>,
}

/// An instance, and the part of its memory that is no longer the image's.
struct Kept {
    instance: Instance,
    written: Written,
}

/// One of the two images, ready to be run.
pub(crate) struct Guest {
    pre: InstancePre<Meter>,
    exports: Exports,
    functions: Functions,
    image: Arc<Image>,
    idle: Mutex<Vec<Kept>>,
    resets: AtomicU64,
}

impl Guest {
    pub fn new(code: &Module, image: Arc<Image>) -> Result<Self, Error> {
        let linker: Linker<Meter> = Linker::new(code.engine());
        // Nothing is linked: the guest has no imports, and if it had, this would fail.
        let pre = linker.instantiate_pre(code).map_err(Error::engine("linking"))?;
        let (exports, functions) = (Exports::of(code)?, Functions::default());
        let mut guest = Self { pre, exports, functions, image, idle: Mutex::new(Vec::new()), resets: AtomicU64::new(0) };
        guest.functions = guest.fresh()?.attach()?;
        Ok(guest)
    }

    /// An interpreter in the state in which the image was made.
    pub fn start(&self, limits: &Limits, plan: Plan) -> Result<Session<'_>, Error> {
        let kept = match plan.way {
            Way::Reset => self.idle().pop(),
            Way::Fresh => None,
        };
        let mut kept = match kept {
            Some(kept) => kept,
            None => Kept { instance: self.fresh()?, written: Written::default() },
        };
        kept.instance.allow(limits);
        if plan.way == Way::Reset {
            kept.written.watch().map_err(Error::Scan)?;
        }
        Ok(Session { guest: self, plan, kept, start: Snapshot::default(), usable: true, stays: PhantomData })
    }

    /// An instance that nothing has run in.
    pub fn fresh(&self) -> Result<Instance, Error> {
        starting_from(&self.image, || Instance::new(&self.pre, &self.exports, self.functions))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Return an instance to a state it has been in. `false`: another one is to be made.
    fn restore(&self, kept: &mut Kept, to: &Snapshot, plan: Plan) -> Result<bool, Error> {
        let Kept { instance, written } = kept;
        if instance.memory().len() != self.image.bytes().len() {
            return Ok(false);
        }
        with_scanner(|scanner| written.update(instance.memory(), scanner))?;
        written.restore(instance.memory_mut(), to, self.image.bytes()).map_err(Error::Scan)?;
        if self.resets.fetch_add(1, Ordering::Relaxed).is_multiple_of(plan.verify_every.get())
            && let Some(address) = to.difference(instance.memory(), self.image.bytes())
        {
            return Err(Error::Reset(address));
        }
        Ok(written.bytes() <= MOST_DIRTY_BYTES)
    }
}

fn with_scanner<T>(ask: impl FnOnce(&mut Scanner) -> io::Result<T>) -> Result<T, Error> {
    SCANNER
        .with_borrow_mut(|scanner| {
            let scanner = match scanner {
                Some(scanner) => scanner,
                None => scanner.insert(Scanner::new()?),
            };
            ask(scanner)
        })
        .map_err(Error::Scan)
}

/// An interpreter that one program has to itself.
pub(crate) struct Session<'a> {
    guest: &'a Guest,
    plan: Plan,
    kept: Kept,
    /// Where [`Session::rewind`] returns to.
    start: Snapshot,
    /// After a [`Stop`](super::Stop) it is not.
    usable: bool,
    /// A session stays on its thread, whose page faults it counts.
    stays: PhantomData<*const ()>,
}

impl Session<'_> {
    /// Compile and run a program.
    pub fn prepare(&mut self, program: &[u8], output_bytes: u32, fuel: u64, wall: Duration) -> Result<Step, Error> {
        let step = self.kept.instance.prepare(program, output_bytes, fuel, wall)?;
        self.usable &= step.answer.is_ok();
        Ok(step)
    }

    /// Evaluate an expression where the program has been run.
    pub fn call(&mut self, expression: &str, fuel: u64, wall: Duration) -> Result<Step, Error> {
        let step = self.kept.instance.call(expression, fuel, wall)?;
        self.usable &= step.answer.is_ok();
        Ok(step)
    }

    /// Keep the state as it is now, for [`Session::rewind`]. `false`: that cannot be done here.
    pub fn mark(&mut self) -> Result<bool, Error> {
        let Kept { instance, written } = &mut self.kept;
        let memory = instance.memory();
        if self.plan.way == Way::Fresh || !self.usable || memory.len() != self.guest.image.bytes().len() {
            return Ok(false);
        }
        with_scanner(|scanner| written.update(memory, scanner))?;
        self.start = written.snapshot(memory, self.guest.image.bytes());
        Ok(true)
    }

    /// Return to the mark. `false`: the interpreter has come too far, another one is to be started.
    pub fn rewind(&mut self) -> Result<bool, Error> {
        Ok(self.usable && self.guest.restore(&mut self.kept, &self.start, self.plan)?)
    }

    /// Give the interpreter back.
    pub fn finish(mut self) -> Result<(), Error> {
        if self.plan.way == Way::Reset && self.usable && self.guest.restore(&mut self.kept, &Snapshot::default(), self.plan)? {
            self.guest.idle().push(self.kept);
        }
        Ok(())
    }
}
