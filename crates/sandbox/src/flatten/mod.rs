//! Flattens a component into one core module whose whole state is one memory and one integer, and which counts its own fuel.
//!
//! `componentize-py` links CPython as a *static* graph: some 38 core modules (libc, libpython, extension modules, glue) that import one
//! another's functions, tables and globals, and nothing from outside. Such a graph says the same thing as one module, and one module starts
//! thirty times as fast, because nothing is left to resolve. Three steps, one file each:
//!
//! 1. [`graph`] follows the component's instantiations in order and gives every function, table, memory and global one number;
//! 2. [`reach`] walks from the exports and the tables to every function that can ever run, and notes what those can write;
//! 3. [`emit`] writes what was reached as one module; globals that nobody writes become constants, initial memory goes to the side. Between
//!    the instructions it writes charges for them, where [`fuel`] says so.
//!
//! What cannot be said in this form is refused, and the refusals are the proof on which a reset stands: a module without imports, without a
//! start function, without an instruction that changes a table or a segment, with one memory and at most one global that is ever written, has
//! no other place to keep anything in. Who restores the memory and that integer has restored the instance.
//!
//! The charges add two integers, what is left of the fuel and when to look at the clock. They are numbers of the flat module alone: no
//! instruction of the component can name them, so a program cannot reach them, and the host sets both before each request. And they add a
//! table that can have no elements. To grow it is the one way in which code without imports can make the engine ask the host something; the
//! answer is that it does not grow, or the end of the run.

mod emit;
mod fuel;
#[cfg(test)]
mod fuel_tests;
mod graph;
mod module;
mod reach;
#[cfg(test)]
mod tests;

/// Name under which [`Flat::code`] exports the memory.
pub(crate) const MEMORY: &str = "memory";
/// Name of the one global that is ever written: in all that compilers make, the stack pointer.
pub(crate) const STACK_POINTER: &str = "stack pointer";
/// Name of the i64 that is left of a run's fuel. Below zero, the run has trapped.
pub(crate) const FUEL: &str = "fuel";
/// Name of the i64 at which the host is next asked about its clock.
pub(crate) const LOOK_AT: &str = "look at";
/// Functions of CPython's C interface that the host calls, wherever in the component they are.
pub(crate) const C_FUNCTIONS: [&str; 6] = [
    "PyBytes_FromStringAndSize",
    "PyGILState_Ensure",
    "PyImport_ImportModule",
    "PyLong_FromUnsignedLong",
    "PyObject_GetAttrString",
    "PyObject_Vectorcall",
];

/// A flattened component.
#[derive(Debug)]
pub(crate) struct Flat {
    /// One core module. Exports: the memory, the integers, the component's functions and [`C_FUNCTIONS`], by their names.
    pub code: Vec<u8>,
    /// What the memory holds at the start: the data segments, in place. The code has neither data nor a size for the memory: who makes an
    /// instance provides both.
    pub memory: Vec<u8>,
}

/// Why a component cannot be flattened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    /// Not a component, or a damaged one.
    #[error("not a readable component: {0}")]
    Unreadable(#[from] wasmparser::Error),
    /// An index that leads nowhere.
    #[error("not a valid component: {0} that does not exist")]
    Dangling(&'static str),
    /// It asks for something from outside.
    #[error("it imports {0}")]
    Import(String),
    /// State, or a way to change it, beyond one memory and one integer.
    #[error("its state would be more than one memory and one integer: {0}")]
    State(String),
    /// A part of WebAssembly that the flattener does not know.
    #[error("it uses {0}, which cannot be flattened")]
    Unknown(String),
}

type Result<T> = std::result::Result<T, Refusal>;

/// Flatten a component, or say why that would not be the same thing.
pub(crate) fn flatten(component: &[u8]) -> Result<Flat> {
    // What follows relies on types and indices that agree.
    wasmparser::Validator::new().validate_all(component)?;
    let graph = graph::Graph::of(component)?;
    let reached = reach::Reached::from(&graph)?;
    emit::emit(&graph, &reached)
}

/// `items[index]` of a space that an untrusted index points into.
fn at<T: Copy>(items: &[T], index: u32, what: &'static str) -> Result<T> {
    items.get(index as usize).copied().ok_or(Refusal::Dangling(what))
}
