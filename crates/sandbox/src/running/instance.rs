//! One instance of the guest's code: requests go in, answers and memory come out.

use std::time::{Duration, Instant};

use wasmtime::{Config, Engine, Global, InstancePre, Memory, Module, ModuleExport, OptLevel, Store, Trap, TypedFunc, Val};

use super::meter::{Exceeded, Meter};
use super::{Step, Stop};
use crate::flatten::{FUEL, LOOK_AT, MEMORY, REALLOC, STACK_POINTER};
use crate::memory::Maps;
use crate::{Error, Limits};

/// Python's RecursionError comes before the end of a stack of this size; half of it is too little for `map` and `__getattr__`.
pub(crate) const WASM_STACK: usize = 2 << 20;

/// Settings belong to the key of the machine-code cache: all of them are made here.
pub(crate) fn engine() -> Result<Engine, Error> {
    let mut config = Config::new();
    // The code counts its own fuel, and hints at what seldom happens there.
    config.wasm_branch_hinting(true);
    config.max_wasm_stack(WASM_STACK);
    config.cranelift_opt_level(OptLevel::Speed);
    // NaN bits would otherwise be the host's.
    config.cranelift_nan_canonicalization(true);
    config.wasm_relaxed_simd(false);
    // Filled when an instance is made, which few are: a call through a table then need not look whether its entry is there yet.
    config.table_lazy_init(false);
    config.with_host_memory(std::sync::Arc::new(Maps));
    Engine::new(&config).map_err(Error::engine("starting"))
}

/// Where the code's exports are: looked up once, not by name for each instance.
pub(super) struct Exports {
    memory: ModuleExport,
    stack_pointer: ModuleExport,
    fuel: ModuleExport,
    look_at: ModuleExport,
    realloc: ModuleExport,
    prepare: ModuleExport,
    call: ModuleExport,
    settle: ModuleExport,
}

impl Exports {
    pub fn of(module: &Module) -> Result<Self, Error> {
        let export = |name: &str| module.get_export_index(name).ok_or_else(|| Error::Image(format!("it does not export `{name}`")));
        Ok(Self {
            memory: export(MEMORY)?,
            stack_pointer: export(STACK_POINTER)?,
            fuel: export(FUEL)?,
            look_at: export(LOOK_AT)?,
            realloc: export(REALLOC)?,
            prepare: export("prepare")?,
            call: export("call")?,
            settle: export("settle")?,
        })
    }
}

/// A memory, an integer, and the functions that change them.
pub(crate) struct Instance {
    store: Store<Meter>,
    memory: Memory,
    stack_pointer: Global,
    fuel: Global,
    look_at: Global,
    realloc: TypedFunc<(u32, u32, u32, u32), u32>,
    prepare: TypedFunc<(u32, u32, u32), u32>,
    call: TypedFunc<(u32, u32), u32>,
    settle: TypedFunc<(), u32>,
    /// The integer, at the start.
    stack_top: i32,
}

impl Instance {
    pub(super) fn new(pre: &InstancePre<Meter>, exports: &Exports) -> Result<Self, Error> {
        let failed = || Error::engine("starting an instance");
        let mut store = Store::new(pre.module().engine(), Meter::new());
        store.limiter(|meter| meter);
        let instance = pre.instantiate(&mut store).map_err(failed())?;
        let lacking = || Error::Image("its exports are not what they should be".to_owned());
        let export = |store: &mut Store<Meter>, export| instance.get_module_export(store, export).ok_or_else(lacking);
        let memory = export(&mut store, &exports.memory)?.into_memory().ok_or_else(lacking)?;
        let mut global = |at| export(&mut store, at)?.into_global().ok_or_else(lacking);
        let [stack_pointer, fuel, look_at] = [&exports.stack_pointer, &exports.fuel, &exports.look_at].map(&mut global);
        let (stack_pointer, fuel, look_at) = (stack_pointer?, fuel?, look_at?);
        let Val::I32(stack_top) = stack_pointer.get(&mut store) else { return Err(lacking()) };
        let mut function = |at| export(&mut store, at)?.into_func().ok_or_else(lacking);
        let functions = [&exports.realloc, &exports.prepare, &exports.call, &exports.settle].map(&mut function);
        let [realloc, prepare, call, settle] = functions;
        Ok(Self {
            realloc: realloc?.typed(&store).map_err(failed())?,
            prepare: prepare?.typed(&store).map_err(failed())?,
            call: call?.typed(&store).map_err(failed())?,
            settle: settle?.typed(&store).map_err(failed())?,
            memory,
            stack_pointer,
            fuel,
            look_at,
            stack_top,
            store,
        })
    }

    /// What the next requests may use.
    pub fn allow(&mut self, limits: &Limits) {
        let now = self.memory.data_size(&self.store);
        self.store.data_mut().start(limits.memory_bytes, now);
    }

    pub fn memory(&self) -> &[u8] {
        self.memory.data(&self.store)
    }

    pub fn memory_mut(&mut self) -> &mut [u8] {
        self.memory.data_mut(&mut self.store)
    }

    /// Compile and run a program.
    pub fn prepare(&mut self, program: &[u8], output_bytes: u32, fuel: u64, wall: Duration) -> Result<Step, Error> {
        self.step(fuel, wall, |instance| {
            let (address, length) = instance.put(program)?;
            instance.prepare.call(&mut instance.store, (address, length, output_bytes))
        })
    }

    /// Evaluate an expression where the program has been run.
    pub fn call(&mut self, expression: &[u8], fuel: u64, wall: Duration) -> Result<Step, Error> {
        self.step(fuel, wall, |instance| {
            let (address, length) = instance.put(expression)?;
            instance.call.call(&mut instance.store, (address, length))
        })
    }

    /// See `guest.wit`.
    pub fn settle(&mut self, fuel: u64, wall: Duration) -> Result<Step, Error> {
        self.step(fuel, wall, |instance| instance.settle.call(&mut instance.store, ()))
    }

    fn step(&mut self, fuel: u64, wall: Duration, request: impl FnOnce(&mut Self) -> wasmtime::Result<u32>) -> Result<Step, Error> {
        let start = Instant::now();
        // Half of all numbers is enough for every purpose, and a charge need not look at more than the sign.
        let fuel = i64::try_from(fuel).unwrap_or(i64::MAX);
        // The last answer still lies on the stack, which is aligned for nobody above it: popping it is left to who reads it.
        for (global, value) in [(self.stack_pointer, Val::I32(self.stack_top)), (self.fuel, Val::I64(fuel)), (self.look_at, Val::I64(fuel))]
        {
            global.set(&mut self.store, value).map_err(Error::engine("setting a request's start"))?;
        }
        self.store.data_mut().deadline = start + wall;
        let answer = request(self);
        let Val::I64(left) = self.fuel.get(&mut self.store) else { return Err(Error::Image("its fuel is no number".to_owned())) };
        let answer = match answer {
            Ok(address) => self.answer(address as usize),
            // What fuel ends, it ends with a trap like any other; but only then it is below zero.
            Err(_) if left < 0 => Err(Stop::Fuel),
            Err(error) => Err(stop(&error)),
        };
        let used = fuel.saturating_sub(left.max(0)).cast_unsigned();
        Ok(Step { answer, fuel: used, wall: start.elapsed(), memory: self.store.data().memory })
    }

    /// Hand a text to the guest, as the canonical ABI does it.
    fn put(&mut self, text: &[u8]) -> wasmtime::Result<(u32, u32)> {
        let length = u32::try_from(text.len())?;
        let address = self.realloc.call(&mut self.store, (0, 0, 1, length))?;
        self.memory.write(&mut self.store, address as usize, text)?;
        Ok((address, length))
    }

    /// The bytes whose address and length lie at `address`: all three are the guest's word, so all are checked.
    fn answer(&self, address: usize) -> Result<Vec<u8>, Stop> {
        let memory = self.memory();
        let word = |at: usize| memory.get(at..at + 4).and_then(|word| Some(u32::from_le_bytes(word.try_into().ok()?) as usize));
        let answer = word(address).zip(word(address + 4)).and_then(|(start, length)| memory.get(start..start.checked_add(length)?));
        answer.map(<[u8]>::to_vec).ok_or_else(|| Stop::Crash("its answer lies outside its memory".to_owned()))
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
        Some(Trap::UnreachableCodeReached) => {
            Stop::Crash("it asked for a clock, a file or something else that is not there, or aborted itself".to_owned())
        }
        Some(Trap::StackOverflow) => Stop::Crash("its stack is exhausted".to_owned()),
        Some(trap) => Stop::Crash(trap.to_string()),
        None => Stop::Crash(format!("{error:#}")),
    }
}
