//! Writes what was reached as one module.

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, ElementSection, Elements, ExportKind, ExportSection, FunctionSection, GlobalSection, GlobalType, Ieee32,
    Ieee64, Instruction, MemorySection, MemoryType, Module, TableSection, TypeSection, ValType,
};
use wasmparser::{DataKind, Operator};

use super::graph::{Graph, Placed};
use super::module::{Constant, offset};
use super::reach::Reached;
use super::{Flat, MEMORY, Refusal, Result, STACK_POINTER, at};

const PAGE: u64 = 64 << 10;
/// Far more than an interpreter needs; a damaged size should not ask for all there is.
const MOST_MEMORY: u64 = 1 << 30;

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
    module.section(&types);
    let mut functions = FunctionSection::new();
    for &number in &reached.functions {
        functions.function(graph.functions[number as usize].kind);
    }
    module.section(&functions);
    let mut tables = TableSection::new();
    for &table in &graph.tables {
        tables.table(same.table_type(table).map_err(unwritable)?);
    }
    module.section(&tables);
    let mut memories = MemorySection::new();
    // Without a size: that is the image's, whatever it came to. Two images that differ in size only have the same code.
    memories.memory(MemoryType { minimum: 0, ..same.memory_type(memory_type).map_err(unwritable)? });
    module.section(&memories);
    let mut exports = ExportSection::new();
    exports.export(MEMORY, ExportKind::Memory, 0);
    if let Some(written) = reached.written {
        let mut globals = GlobalSection::new();
        globals.global(GlobalType { val_type: ValType::I32, mutable: true, shared: false }, &constant(graph.globals[written as usize].1));
        module.section(&globals);
        exports.export(STACK_POINTER, ExportKind::Global, 0);
    }
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
    let mut code = CodeSection::new();
    for &number in &reached.functions {
        let function = &graph.functions[number as usize];
        let placed = &graph.placed[function.placed];
        let mut numbers = Numbers { placed, ..same };
        numbers.parse_function_body(&mut code, placed.module.bodies[function.body].clone()).map_err(unwritable)?;
    }
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
        if self.reached.written == Some(number) { Ok(0) } else { Err(Error::UserError(Refusal::Dangling("a global"))) }
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
