//! One instance of the guest's code: requests go in, answers and memory come out.
//!
//! Requests are made in CPython's own C interface: the host makes a bytes object, has a function of `answer.py` called with it, and reads the
//! bytes object that comes back. Through the component's glue the same takes longer than a small program.

use std::time::{Duration, Instant};

use wasmtime::{Config, Engine, Global, InstancePre, Memory, Module, ModuleExport, OptLevel, Store, Trap, TypedFunc, Val};

use super::meter::{Exceeded, Meter};
use super::{Step, Stop};
use crate::flatten::{C_FUNCTIONS, FUEL, LOOK_AT, MEMORY, STACK_POINTER};
use crate::memory::Maps;
use crate::value::marshal;
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

/// Offset of a bytes object's size, and of its first byte: 32-bit CPython 3.14, as `rest.py` asserts.
const BYTES_SIZE: usize = 8;
const BYTES_START: usize = 16;
/// Room for a call's arguments, at the top of the guest's stack: a multiple of its alignment.
const ARGUMENTS: i32 = 16;

/// Where the code's exports are: looked up once, not by name for each instance.
pub(super) struct Exports {
    memory: ModuleExport,
    globals: [ModuleExport; 3],
    functions: [ModuleExport; C_FUNCTIONS.len()],
}

impl Exports {
    pub fn of(module: &Module) -> Result<Self, Error> {
        let export = |name: &str| module.get_export_index(name).ok_or_else(|| Error::Image(format!("it does not export `{name}`")));
        let [pointer, fuel, look_at] = [STACK_POINTER, FUEL, LOOK_AT].map(export);
        let [bytes, attach, import, int, attribute, call] = C_FUNCTIONS.map(export);
        Ok(Self {
            memory: export(MEMORY)?,
            globals: [pointer?, fuel?, look_at?],
            functions: [bytes?, attach?, import?, int?, attribute?, call?],
        })
    }
}

/// The guest's functions: addresses of objects, the same in each instance of an image.
#[derive(Clone, Copy, Default)]
pub(crate) struct Functions {
    prepare: u32,
    call: u32,
    settle: u32,
}

/// A memory, an integer, and the functions that change them.
pub(crate) struct Instance {
    store: Store<Meter>,
    memory: Memory,
    stack_pointer: Global,
    fuel: Global,
    look_at: Global,
    /// In the order of their names.
    bytes: TypedFunc<(u32, u32), u32>,
    attach: TypedFunc<(), u32>,
    import: TypedFunc<u32, u32>,
    int: TypedFunc<u32, u32>,
    attribute: TypedFunc<(u32, u32), u32>,
    vectorcall: TypedFunc<(u32, u32, u32, u32), u32>,
    functions: Functions,
    /// The integer, at the start.
    stack_top: i32,
}

impl Instance {
    pub(super) fn new(pre: &InstancePre<Meter>, exports: &Exports, functions: Functions) -> Result<Self, Error> {
        let failed = || Error::engine("starting an instance");
        let mut store = Store::new(pre.module().engine(), Meter::new());
        store.limiter(|meter| meter);
        let instance = pre.instantiate(&mut store).map_err(failed())?;
        let lacking = || Error::Image("its exports are not what they should be".to_owned());
        let export = |store: &mut Store<Meter>, export| instance.get_module_export(store, export).ok_or_else(lacking);
        let memory = export(&mut store, &exports.memory)?.into_memory().ok_or_else(lacking)?;
        let mut global = |at| export(&mut store, at)?.into_global().ok_or_else(lacking);
        let [stack_pointer, fuel, look_at] = exports.globals.each_ref().map(&mut global);
        let (stack_pointer, fuel, look_at) = (stack_pointer?, fuel?, look_at?);
        let Val::I32(stack_top) = stack_pointer.get(&mut store) else { return Err(lacking()) };
        let mut function = |at| export(&mut store, at)?.into_func().ok_or_else(lacking);
        let [bytes, attach, import, int, attribute, vectorcall] = exports.functions.each_ref().map(&mut function);
        Ok(Self {
            bytes: bytes?.typed(&store).map_err(failed())?,
            attach: attach?.typed(&store).map_err(failed())?,
            import: import?.typed(&store).map_err(failed())?,
            int: int?.typed(&store).map_err(failed())?,
            attribute: attribute?.typed(&store).map_err(failed())?,
            vectorcall: vectorcall?.typed(&store).map_err(failed())?,
            memory,
            stack_pointer,
            fuel,
            look_at,
            functions,
            stack_top,
            store,
        })
    }

    /// Make the interpreter's one thread its current one, which it stays from here on, and look the guest's functions up.
    pub(crate) fn attach(&mut self) -> Result<Functions, Error> {
        let mut functions = Functions::default();
        let step = self.step(u64::MAX, Duration::from_secs(60), |instance| {
            instance.attach.call(&mut instance.store, ())?;
            for (module, name, function) in [
                ("answer\0", "prepare\0", &mut functions.prepare),
                ("answer\0", "call\0", &mut functions.call),
                ("rest\0", "settle\0", &mut functions.settle),
            ] {
                let [module, name] =
                    [module, name].map(|text| Ok::<_, wasmtime::Error>(instance.put(text.as_bytes())? + BYTES_START as u32));
                let module = instance.import.call(&mut instance.store, module?)?;
                *function = instance.attribute.call(&mut instance.store, (module, name?))?;
                wasmtime::ensure!(*function != 0, "a function of answer.py or rest.py is missing");
            }
            Ok(Vec::new())
        })?;
        step.answer.map_err(|stop| Error::Image(format!("its functions are not found: {stop:?}")))?;
        self.functions = functions;
        Ok(functions)
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
            let program = instance.put(program)?;
            let output_bytes = instance.int.call(&mut instance.store, output_bytes)?;
            instance.apply(instance.functions.prepare, &[program, output_bytes])
        })
    }

    /// Evaluate an expression where the program has been run.
    pub fn call(&mut self, expression: &str, fuel: u64, wall: Duration) -> Result<Step, Error> {
        // Without a copy in the easier form, an empty one: the guest then takes the text.
        let marshalled = marshal::call(expression).unwrap_or_default();
        self.step(fuel, wall, |instance| {
            let arguments = [instance.put(expression.as_bytes())?, instance.put(&marshalled)?];
            instance.apply(instance.functions.call, &arguments)
        })
    }

    /// See `rest.py`.
    pub fn settle(&mut self, fuel: u64, wall: Duration) -> Result<Step, Error> {
        self.step(fuel, wall, |instance| instance.apply(instance.functions.settle, &[]))
    }

    fn step(&mut self, fuel: u64, wall: Duration, request: impl FnOnce(&mut Self) -> wasmtime::Result<Vec<u8>>) -> Result<Step, Error> {
        let start = Instant::now();
        // Half of all numbers is enough for every purpose, and a charge need not look at more than the sign.
        let fuel = i64::try_from(fuel).unwrap_or(i64::MAX);
        // The stack begins below the arguments, which no frame then covers.
        let pointer = self.stack_top - ARGUMENTS;
        for (global, value) in [(self.stack_pointer, Val::I32(pointer)), (self.fuel, Val::I64(fuel)), (self.look_at, Val::I64(fuel))] {
            global.set(&mut self.store, value).map_err(Error::engine("setting a request's start"))?;
        }
        self.store.data_mut().deadline = start + wall;
        let answer = request(self);
        let Val::I64(left) = self.fuel.get(&mut self.store) else { return Err(Error::Image("its fuel is no number".to_owned())) };
        // What fuel ends, it ends with a trap like any other; but only then it is below zero. The last charges may have come there unseen.
        let answer = if left < 0 { Err(Stop::Fuel) } else { answer.map_err(|error| stop(&error)) };
        let used = fuel.saturating_sub(left.max(0)).cast_unsigned();
        Ok(Step { answer, fuel: used, wall: start.elapsed(), memory: self.store.data().memory })
    }

    /// A new bytes object.
    fn put(&mut self, content: &[u8]) -> wasmtime::Result<u32> {
        let object = self.bytes.call(&mut self.store, (0, u32::try_from(content.len())?))?;
        wasmtime::ensure!(object != 0, "it has no memory for a request");
        self.memory.write(&mut self.store, object as usize + BYTES_START, content)?;
        Ok(object)
    }

    /// Call a function with some objects, and read the bytes object that it returns.
    fn apply(&mut self, function: u32, arguments: &[u32]) -> wasmtime::Result<Vec<u8>> {
        let place = (self.stack_top - ARGUMENTS).cast_unsigned();
        for (index, argument) in arguments.iter().enumerate() {
            self.memory.write(&mut self.store, place as usize + 4 * index, &argument.to_le_bytes())?;
        }
        let object = self.vectorcall.call(&mut self.store, (function, place, u32::try_from(arguments.len())?, 0))?;
        wasmtime::ensure!(object != 0, "an exception left it where none should");
        // The address and the size are the guest's word, so both are checked.
        let memory = self.memory();
        let object = object as usize;
        let size = memory.get(object + BYTES_SIZE..object + BYTES_START).and_then(|bytes| bytes.first_chunk());
        let size = size.map(|size| u32::from_le_bytes(*size) as usize);
        let content = size.and_then(|size| memory.get(object + BYTES_START..(object + BYTES_START).checked_add(size)?));
        content.map(<[u8]>::to_vec).ok_or_else(|| wasmtime::format_err!("its answer lies outside its memory"))
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
