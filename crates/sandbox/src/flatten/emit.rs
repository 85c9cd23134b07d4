//! Writes what was reached as one module.

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    BlockType, BranchHint, BranchHints, CodeSection, ConstExpr, ElementSection, Elements, ExportKind, ExportSection, Function,
    FunctionSection, GlobalSection, GlobalType, HeapType, Ieee32, Ieee64, Instruction, MemorySection, MemoryType, Module, RefType,
    TableSection, TableType, TypeSection, ValType,
};
use wasmparser::{DataKind, Operator};

use super::fuel::{self, BULK_SHIFT, Charge, Check, Small};
use super::graph::{Graph, Placed};
use super::module::{Constant, offset};
use super::reach::Reached;
use super::{FUEL, Flat, LOOK_AT, MEMORY, Refusal, Result, STACK_POINTER, at};

const PAGE: u64 = 64 << 10;
/// Far more than an interpreter needs; a damaged size should not ask for all there is.
const MOST_MEMORY: u64 = 1 << 30;
/// Numbers of globals. The first two are for charges only.
const FUEL_LEFT: u32 = 0;
const LOOK_BELOW: u32 = 1;
const POINTER: u32 = 2;
/// Fuel between two looks at the host's clock: a millisecond, about.
const LOOK_EVERY: i64 = 4 << 20;

pub(super) fn emit(graph: &Graph<'_>, reached: &Reached) -> Result<Flat> {
    let [memory_type] = graph.memories[..] else {
        return Err(Refusal::State(format!("it has {} memories", graph.memories.len())));
    };
    if memory_type.memory64 || memory_type.shared || memory_type.page_size_log2.is_some() {
        return Err(Refusal::Unknown("a memory that is shared, of 64 bits or of unusual pages".to_owned()));
    }
    if memory_type.initial.saturating_mul(PAGE) > MOST_MEMORY {
        return Err(Refusal::Unknown(format!("{} pages of memory at the start", memory_type.initial)));
    }
    let mut same = Numbers { graph, reached, placed: &Placed::default() };
    let mut module = Module::new();
    let mut types = TypeSection::new();
    for kind in &graph.types {
        types.ty().func_type(&same.func_type(kind.clone()).map_err(unwritable)?);
    }
    let (look_type, look) = (types.len(), reached.functions.len() as u32);
    types.ty().function([], []);
    module.section(&types);
    let mut functions = FunctionSection::new();
    for &number in &reached.functions {
        functions.function(graph.functions[number as usize].kind);
    }
    functions.function(look_type);
    module.section(&functions);
    let mut tables = TableSection::new();
    for &table in &graph.tables {
        tables.table(same.table_type(table).map_err(unwritable)?);
    }
    let clock = tables.len();
    tables.table(TableType { element_type: RefType::FUNCREF, table64: false, minimum: 0, maximum: Some(0), shared: false });
    module.section(&tables);
    let mut memories = MemorySection::new();
    // Without a size: that is the image's, whatever it came to. Two images that differ in size only have the same code.
    memories.memory(MemoryType { minimum: 0, ..same.memory_type(memory_type).map_err(unwritable)? });
    module.section(&memories);
    let mut exports = ExportSection::new();
    exports.export(MEMORY, ExportKind::Memory, 0);
    let mut globals = GlobalSection::new();
    for (name, number) in [(FUEL, FUEL_LEFT), (LOOK_AT, LOOK_BELOW)] {
        globals.global(GlobalType { val_type: ValType::I64, mutable: true, shared: false }, &ConstExpr::i64_const(0));
        exports.export(name, ExportKind::Global, number);
    }
    if let Some(written) = reached.written {
        globals.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, &constant(graph.globals[written as usize].1));
        exports.export(STACK_POINTER, ExportKind::Global, POINTER);
    }
    module.section(&globals);
    for (name, function) in &graph.exports {
        exports.export(name, ExportKind::Func, reached.places[function]);
    }
    module.section(&exports);
    let mut elements = ElementSection::new();
    for segment in &reached.elements {
        let functions: Vec<u32> = segment.functions.iter().map(|function| reached.places[function]).collect();
        elements.active(Some(segment.table), &ConstExpr::i32_const(segment.offset.cast_signed()), Elements::Functions(functions.into()));
    }
    module.section(&elements);
    let (mut code, mut hints) = (CodeSection::new(), BranchHints::new());
    let small = Small::of(graph, reached)?;
    for (place, &number) in reached.functions.iter().enumerate() {
        let mut body = Body::new(Numbers { placed: &graph.placed[graph.functions[number as usize].placed], ..same }, number, look)?;
        body.write(&small.charges(graph, number)?)?;
        code.function(&body.function);
        if !body.hints.is_empty() {
            hints.function_hints(place as u32, body.hints);
        }
    }
    code.function(&looking(clock));
    module.section(&hints);
    module.section(&code);
    Ok(Flat { code: module.finish(), memory: memory(graph, (memory_type.initial * PAGE) as usize)? })
}

/// The memory with all data segments in place.
fn memory(graph: &Graph<'_>, bytes: usize) -> Result<Vec<u8>> {
    let mut memory = vec![0; bytes];
    for placed in &graph.placed {
        for data in &placed.module.data {
            // A passive segment is for instructions that are refused.
            let DataKind::Active { offset_expr, .. } = &data.kind else { continue };
            let start = offset(offset_expr, &placed.constants)? as usize;
            let room = start.checked_add(data.data.len()).and_then(|end| memory.get_mut(start..end));
            room.ok_or(Refusal::Dangling("memory for data"))?.copy_from_slice(data.data);
        }
    }
    Ok(memory)
}

/// The function that charges call when fuel has come below [`LOOK_BELOW`].
fn looking(clock: u32) -> Function {
    let mut function = Function::new([]);
    let mut code = function.instructions();
    code.global_get(FUEL_LEFT).i64_const(0).i64_lt_s().if_(BlockType::Empty).unreachable().end();
    // Never below zero: there fuel ends.
    code.global_get(FUEL_LEFT).i64_const(LOOK_EVERY).i64_sub().global_set(LOOK_BELOW);
    code.global_get(LOOK_BELOW).i64_const(0).i64_lt_s().if_(BlockType::Empty).i64_const(0).global_set(LOOK_BELOW).end();
    // The table can have no elements, so this changes nothing ever. But the engine asks the host first.
    code.ref_null(HeapType::FUNC).i32_const(1).table_grow(clock).drop().end();
    function
}

/// A function's body, with charges.
struct Body<'a> {
    numbers: Numbers<'a>,
    number: u32,
    look: u32,
    function: Function,
    hints: Vec<BranchHint>,
    /// Locals of the charges: fuel, and a bulk instruction's bytes.
    left: u32,
    bytes: u32,
}

impl<'a> Body<'a> {
    fn new(numbers: Numbers<'a>, number: u32, look: u32) -> Result<Self> {
        let kind = numbers.graph.functions[number as usize];
        let parameters = numbers.graph.types[kind.kind as usize].params().len();
        let mut locals = Vec::new();
        for local in numbers.placed.module.bodies[kind.body].get_locals_reader()? {
            let (count, kind) = local?;
            locals.push((count, { numbers }.val_type(kind).map_err(unwritable)?));
        }
        let left = locals.iter().fold(parameters as u32, |sum, (count, _)| sum.saturating_add(*count));
        locals.extend([(1, ValType::I64), (1, ValType::I32)]);
        let function = Function::new(locals);
        Ok(Self { numbers, number, look, function, hints: Vec::new(), left, bytes: left.saturating_add(1) })
    }

    fn write(&mut self, charges: &[Charge]) -> Result<()> {
        let body = &self.numbers.placed.module.bodies[self.numbers.graph.functions[self.number as usize].body];
        let mut charges = charges.iter().peekable();
        for (place, operator) in body.get_operators_reader()?.into_iter().enumerate() {
            let operator = operator?;
            while let Some(charge) = charges.next_if(|charge| charge.before == place) {
                self.function.instructions().global_get(FUEL_LEFT).i64_const(charge.weight.into());
                self.take(charge.check);
            }
            if fuel::is_bulk(&operator) {
                self.function.instructions().local_tee(self.bytes).global_get(FUEL_LEFT);
                self.function.instructions().local_get(self.bytes).i64_extend_i32_u().i64_const(BULK_SHIFT).i64_shr_u();
                self.take(Check::Fuel);
            }
            self.function.instruction(&self.numbers.instruction(operator).map_err(unwritable)?);
        }
        Ok(())
    }

    /// On the stack: fuel, and how much to take of it.
    fn take(&mut self, check: Check) {
        let mut code = self.function.instructions();
        code.i64_sub();
        match check {
            Check::Nothing => {
                code.global_set(FUEL_LEFT);
                return;
            }
            Check::Fuel => code.local_tee(self.left).global_set(FUEL_LEFT).local_get(self.left).i64_const(0),
            Check::Clock => code.local_tee(self.left).global_set(FUEL_LEFT).local_get(self.left).global_get(LOOK_BELOW),
        };
        code.i64_lt_s();
        self.hints.push(BranchHint { branch_func_offset: self.function.byte_len() as u32, branch_hint_value: 0 });
        let mut code = self.function.instructions();
        code.if_(BlockType::Empty);
        match check {
            Check::Clock => code.call(self.look),
            _ => code.unreachable(),
        };
        code.end();
    }
}

fn constant(value: Constant) -> ConstExpr {
    match value {
        Constant::I32(value) => ConstExpr::i32_const(value),
        Constant::I64(value) => ConstExpr::i64_const(value),
        Constant::F32(bits) => ConstExpr::f32_const(Ieee32::new(bits)),
        Constant::F64(bits) => ConstExpr::f64_const(Ieee64::new(bits)),
    }
}

fn unwritable(error: Error<Refusal>) -> Refusal {
    match error {
        Error::UserError(refusal) => refusal,
        Error::ParseError(error) => Refusal::Unreadable(error),
        other => Refusal::Unknown(other.to_string()),
    }
}

type Encoded<T> = std::result::Result<T, Error<Refusal>>;

/// Translates a placed module's indices into the flat module's.
#[derive(Clone, Copy)]
struct Numbers<'a> {
    graph: &'a Graph<'a>,
    reached: &'a Reached,
    placed: &'a Placed<'a>,
}

impl Numbers<'_> {
    fn number(numbers: &[u32], index: u32, what: &'static str) -> Encoded<u32> {
        at(numbers, index, what).map_err(Error::UserError)
    }
}

impl Reencode for Numbers<'_> {
    type Error = Refusal;

    fn type_index(&mut self, index: u32) -> Encoded<u32> {
        Self::number(&self.placed.types, index, "a type")
    }

    fn function_index(&mut self, index: u32) -> Encoded<u32> {
        let number = Self::number(&self.placed.functions, index, "a function")?;
        self.reached.places.get(&number).copied().ok_or(Error::UserError(Refusal::Dangling("a function")))
    }

    fn table_index(&mut self, index: u32) -> Encoded<u32> {
        Self::number(&self.placed.tables, index, "a table")
    }

    fn memory_index(&mut self, index: u32) -> Encoded<u32> {
        Self::number(&self.placed.memories, index, "a memory")
    }

    fn global_index(&mut self, index: u32) -> Encoded<u32> {
        // Only the one that is written is left: `instruction` has replaced all others.
        let number = Self::number(&self.placed.globals, index, "a global")?;
        if self.reached.written == Some(number) { Ok(POINTER) } else { Err(Error::UserError(Refusal::Dangling("a global"))) }
    }

    fn instruction<'b>(&mut self, operator: Operator<'b>) -> Encoded<Instruction<'b>> {
        if let Operator::GlobalGet { global_index } = operator {
            let number = Self::number(&self.placed.globals, global_index, "a global")?;
            if self.reached.written != Some(number) {
                return Ok(match self.graph.globals[number as usize].1 {
                    Constant::I32(value) => Instruction::I32Const(value),
                    Constant::I64(value) => Instruction::I64Const(value),
                    Constant::F32(bits) => Instruction::F32Const(Ieee32::new(bits)),
                    Constant::F64(bits) => Instruction::F64Const(Ieee64::new(bits)),
                });
            }
        }
        utils::instruction(self, operator)
    }
}
