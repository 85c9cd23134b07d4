//! Makes what programs start from, once a machine: one module of machine code, and two memories that have been warmed up.
//!
//! Not part of building the library: running the guest there would compile the engine a second time, for the build, and the machine code
//! could not be kept, since it belongs to a processor. Here it takes as long as compiling the guest did anyway.

use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Engine, Module};

use crate::flatten::{Flat, flatten};
use crate::memory;
use crate::running::{Guest, Instance};
use crate::wire::{self, End};
use crate::{Error, Image, Limits};

/// What an object's reference count says when nobody counts any more: `_Py_IMMORTAL_INITIAL_REFCNT` of 32-bit CPython 3.14.
const IMMORTAL: u32 = 5 << 28;
/// Reference counts at and above this are immortal, or not reference counts.
const MOST_REFERENCES: u32 = 1 << 30;
const FUEL: u64 = u64::MAX;
const WALL: Duration = Duration::from_secs(300);

/// Machine code and memories, as they are kept in files.
pub(crate) struct Made {
    pub code: Vec<u8>,
    pub memories: [Vec<u8>; 2],
}

/// Flatten, compile, warm up. `scratch` is a new file for each image, to start from while it is made.
pub(crate) fn make(engine: &Engine, scratch: impl Fn() -> Result<File, Error>) -> Result<Made, Error> {
    let unpack = |image: Image| flatten(&image.unpack()?).map_err(|refusal| Error::Image(refusal.to_string()));
    let [first, second] = [unpack(Image::First)?, unpack(Image::Second)?];
    if first.code != second.code {
        return Err(Error::Image("the two images differ in their code".to_owned()));
    }
    let code = engine.precompile_module(&first.code).map_err(Error::engine("compiling the interpreter"))?;
    let module = load(engine, &code)?;
    let settled = |flat: Flat| settle(&module, &flat.memory, scratch()?);
    Ok(Made { memories: [settled(first)?, settled(second)?], code })
}

#[allow(unsafe_code, reason = "machine code is trusted where it was made")]
fn load(engine: &Engine, code: &[u8]) -> Result<Module, Error> {
    // SAFETY: it comes from `precompile_module` of this engine.
    unsafe { Module::deserialize(engine, code) }.map_err(Error::engine("loading machine code"))
}

/// Run some trusted programs, let the interpreter come to rest, and take its memory.
fn settle(module: &Module, start: &[u8], mut scratch: File) -> Result<Vec<u8>, Error> {
    let failed = |what: String| Error::Image(format!("it cannot be warmed up: {what}"));
    scratch.write_all(start).map_err(|error| failed(error.to_string()))?;
    let image = memory::Image::open(scratch).map_err(|error| failed(error.to_string()))?;
    let mut instance = Guest::new(module, Arc::new(image))?.fresh()?;
    instance.attach()?;
    instance.allow(&Limits { memory_bytes: 1 << 30, ..Limits::default() });
    for (program, call) in WARM_UP {
        let output_bytes = 1 << 20;
        let steps = [instance.prepare(program.as_bytes(), output_bytes, FUEL, WALL)?, instance.call(call, FUEL, WALL)?];
        for step in steps {
            let answer = step.answer.map_err(|stop| failed(format!("{program:?} ended: {stop:?}")))?;
            match wire::read(&answer, output_bytes as usize) {
                Ok((End::Defined | End::Value(_), _)) => {}
                other => return Err(failed(format!("{program:?} came to {other:?}"))),
            }
        }
    }
    let answer = instance.settle(FUEL, WALL)?.answer.map_err(|stop| failed(format!("{stop:?}")))?;
    immortalise(&mut instance, &answer).ok_or_else(|| failed("an object lies outside the memory".to_owned()))?;
    Ok(instance.memory().to_vec())
}

/// Objects that live for ever need no counting: using one no longer writes to its page.
fn immortalise(instance: &mut Instance, addresses: &[u8]) -> Option<()> {
    let memory = instance.memory_mut();
    for address in addresses.chunks_exact(4) {
        let address = u32::from_le_bytes(address.try_into().ok()?) as usize;
        let count = memory.get_mut(address..address + 4)?;
        if (1..MOST_REFERENCES).contains(&u32::from_le_bytes((&*count).try_into().ok()?)) {
            count.copy_from_slice(&IMMORTAL.to_le_bytes());
        }
    }
    Some(())
}

/// Programs of our own that touch what programs usually touch: what warms up here need not be written, specialised or allocated again.
const WARM_UP: &[(&str, &str)] = &[
    ("def f(n):\n    return n * 2", "f(21)"),
    ("def f(s):\n    return ''.join(sorted(s)).upper().split('A')", "f('banana')"),
    (
        "class Point:\n    def __init__(self, x, y):\n        self.x = x\n        self.y = y\n    def __repr__(self):\n        return f'{self.x}, {self.y:.2f}'\n\
         def f(points):\n    return [repr(Point(*point)) for point in points], {point: sum(point) for point in points}, max(points, key=lambda p: p[1])",
        "f([(1, 2.5), (3, 4.25)])",
    ),
    (
        "import re, math, json, itertools, functools, collections\nfrom typing import List\n\
         @functools.lru_cache(None)\ndef fib(n: int) -> int:\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n\
         def f(numbers: List[int]) -> dict:\n    counts = collections.Counter(numbers)\n    groups = collections.defaultdict(list)\n\
         \x20   for number in numbers:\n        groups[number % 3].append(number)\n\
         \x20   return {'common': counts.most_common(2), 'groups': dict(groups), 'fib': [fib(n) for n in numbers],\n\
         \x20           'pairs': list(itertools.combinations(numbers, 2))[:3], 'root': [round(math.sqrt(n), 3) for n in numbers],\n\
         \x20           'text': re.sub(r'[0-9]+', '#', json.dumps(numbers)), 'product': functools.reduce(lambda a, b: a * b, numbers, 1)}",
        "f([3, 1, 4, 1, 5, 9, 2, 6])",
    ),
    (
        "def f(n):\n    seen, queue, found = set(), [(0, n)], []\n    while queue:\n        depth, item = queue.pop(0)\n\
         \x20       if item in seen or depth > 6:\n            continue\n        seen.add(item)\n        found.append(item)\n\
         \x20       queue.extend((depth + 1, next_item) for next_item in (item // 2, item * 3 + 1) if next_item > 0)\n\
         \x20   try:\n        found.index(-1)\n    except ValueError as error:\n        print(type(error).__name__, len(found), end=' ')\n\
         \x20   return tuple(sorted(seen)), bytes(found[:3]), frozenset(found[:2]), -1.5e300, None, True, 10**40",
        "f(7)",
    ),
];
