//! The component as componentize-py made it, in a fresh instance for each program.

use std::time::{Duration, Instant};

use wasmtime::component::{Component, ComponentExportIndex, InstancePre, Linker, TypedFunc};
use wasmtime::{Config, Engine, OptLevel, Store, Trap};

use super::meter::{Exceeded, Meter};
use super::{Step, Stop};
use crate::{Error, Limits};

/// Python's RecursionError comes before the end of a stack of this size; half of it is too little for `map` and `__getattr__`.
pub(crate) const WASM_STACK: usize = 2 << 20;

/// Settings belong to the key of the machine-code cache: all of them are made here.
pub(crate) fn engine() -> Result<Engine, Error> {
    let mut config = Config::new();
    config.consume_fuel(true);
    config.epoch_interruption(true);
    config.max_wasm_stack(WASM_STACK);
    config.cranelift_opt_level(OptLevel::Speed);
    // NaN bits would otherwise be the host's.
    config.cranelift_nan_canonicalization(true);
    config.wasm_relaxed_simd(false);
    // The image's memory is mapped rather than copied, however sparse the padding makes it: 2 ms a program instead of 15.
    config.memory_guaranteed_dense_image_size(1 << 30);
    Engine::new(&config).map_err(Error::engine("starting"))
}

/// One image, ready to be instantiated.
pub(crate) struct Guest {
    pre: InstancePre<Meter>,
    prepare: ComponentExportIndex,
    call: ComponentExportIndex,
}

type Answer = (Vec<u8>,);

impl Guest {
    pub fn new(component: &Component) -> Result<Self, Error> {
        let linker: Linker<Meter> = Linker::new(component.engine());
        // Nothing is linked: the guest has no imports, and if it had, this would fail.
        let pre = linker.instantiate_pre(component).map_err(Error::engine("linking"))?;
        let export =
            |name: &'static str| component.get_export_index(None, name).ok_or_else(|| Error::Image(format!("it does not export `{name}`")));
        Ok(Self { prepare: export("prepare")?, call: export("call")?, pre })
    }

    /// A fresh interpreter, in the state in which the image was built.
    pub fn start(&self, limits: &Limits) -> Result<Session, Error> {
        let failed = || Error::engine("starting an instance");
        let mut store = Store::new(self.pre.engine(), Meter::new(limits.memory_bytes));
        store.limiter(|meter| meter);
        store.epoch_deadline_callback(Meter::look);
        // Starting costs nothing of what a program may use.
        store.set_fuel(u64::MAX).map_err(failed())?;
        store.data_mut().deadline = Instant::now() + Duration::from_secs(60);
        store.set_epoch_deadline(1);
        let instance = self.pre.instantiate(&mut store).map_err(failed())?;
        let prepare = instance.get_typed_func(&mut store, self.prepare).map_err(failed())?;
        let call = instance.get_typed_func(&mut store, self.call).map_err(failed())?;
        Ok(Session { store, prepare, call })
    }
}

/// An interpreter that one program has to itself. After a [`Stop`] it is of no use.
pub(crate) struct Session {
    store: Store<Meter>,
    prepare: TypedFunc<(Vec<u8>,), Answer>,
    call: TypedFunc<(Vec<u8>, u32), Answer>,
}

impl Session {
    /// Compile a program.
    pub fn prepare(&mut self, program: &[u8], fuel: u64, wall: Duration) -> Result<Step, Error> {
        let function = self.prepare;
        self.step(fuel, wall, |store| function.call(store, (program.to_vec(),)))
    }

    /// Define the program anew and evaluate an expression.
    pub fn call(&mut self, expression: &[u8], output_bytes: u32, fuel: u64, wall: Duration) -> Result<Step, Error> {
        let function = self.call;
        self.step(fuel, wall, |store| function.call(store, (expression.to_vec(), output_bytes)))
    }

    fn step(
        &mut self,
        fuel: u64,
        wall: Duration,
        request: impl FnOnce(&mut Store<Meter>) -> wasmtime::Result<Answer>,
    ) -> Result<Step, Error> {
        let start = Instant::now();
        self.store.set_fuel(fuel).map_err(Error::engine("setting fuel"))?;
        self.store.data_mut().deadline = start + wall;
        self.store.set_epoch_deadline(1);
        let answer = request(&mut self.store).map(|(answer,)| answer).map_err(|error| stop(&error));
        let left = self.store.get_fuel().map_err(Error::engine("reading fuel"))?;
        Ok(Step { answer, fuel: fuel.saturating_sub(left), wall: start.elapsed(), memory: self.store.data().memory })
    }
}

fn stop(error: &wasmtime::Error) -> Stop {
    if let Some(exceeded) = error.downcast_ref::<Exceeded>() {
        return match exceeded {
            Exceeded::Memory(wanted) => Stop::Memory(*wanted),
            Exceeded::Time => Stop::Timeout,
        };
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => Stop::Fuel,
        Some(Trap::Interrupt) => Stop::Timeout,
        Some(Trap::UnreachableCodeReached) => {
            Stop::Crash("it asked for a clock, a file or something else that is not there, or aborted itself".to_owned())
        }
        Some(Trap::StackOverflow) => Stop::Crash("its stack is exhausted".to_owned()),
        Some(trap) => Stop::Crash(trap.to_string()),
        None => Stop::Crash(format!("{:#}", error)),
    }
}
