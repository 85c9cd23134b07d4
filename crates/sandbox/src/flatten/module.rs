//! One core module, read section by section, and the value of its constant expressions.

use wasmparser::{
    ConstExpr, Data, Element, Export, FuncType, FunctionBody, Global, Import, MemoryType, Operator, Parser, Payload, TableInit, TableType,
};

use super::{Refusal, Result, at};

/// The sections of a core module.
#[derive(Default)]
pub(super) struct Module<'a> {
    pub types: Vec<FuncType>,
    pub imports: Vec<Import<'a>>,
    /// Type of each function that the module defines.
    pub functions: Vec<u32>,
    pub tables: Vec<TableType>,
    pub memories: Vec<MemoryType>,
    pub globals: Vec<Global<'a>>,
    pub exports: Vec<Export<'a>>,
    pub elements: Vec<Element<'a>>,
    pub bodies: Vec<FunctionBody<'a>>,
    pub data: Vec<Data<'a>>,
}

impl<'a> Module<'a> {
    pub fn read(bytes: &'a [u8]) -> Result<Self> {
        let mut module = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::TypeSection(types) => {
                    for group in types {
                        let mut kinds = group?.into_types();
                        match (kinds.next().map(|kind| kind.composite_type.inner), kinds.next()) {
                            (Some(wasmparser::CompositeInnerType::Func(function)), None) => module.types.push(function),
                            _ => return Err(Refusal::Unknown("a type that is not a function's".to_owned())),
                        }
                    }
                }
                Payload::ImportSection(imports) => module.imports = all(imports.into_imports())?,
                Payload::FunctionSection(functions) => module.functions = all(functions)?,
                Payload::TableSection(tables) => {
                    for table in tables {
                        let table = table?;
                        if !matches!(table.init, TableInit::RefNull) {
                            return Err(Refusal::Unknown("a table with an initial value".to_owned()));
                        }
                        module.tables.push(table.ty);
                    }
                }
                Payload::MemorySection(memories) => module.memories = all(memories)?,
                Payload::GlobalSection(globals) => module.globals = all(globals)?,
                Payload::ExportSection(exports) => module.exports = all(exports)?,
                Payload::ElementSection(elements) => module.elements = all(elements)?,
                Payload::DataSection(data) => module.data = all(data)?,
                Payload::CodeSectionEntry(body) => module.bodies.push(body),
                Payload::StartSection { .. } => return Err(Refusal::State("a start function runs before any call".to_owned())),
                Payload::TagSection(_) => return Err(Refusal::Unknown("exceptions".to_owned())),
                Payload::Version { .. }
                | Payload::CodeSectionStart { .. }
                | Payload::DataCountSection { .. }
                | Payload::CustomSection(_)
                | Payload::End(_) => {}
                other => return Err(Refusal::Unknown(format!("a section that core modules do not have: {other:?}"))),
            }
        }
        if module.functions.len() == module.bodies.len() { Ok(module) } else { Err(Refusal::Dangling("the body of a function")) }
    }
}

pub(super) fn all<T>(items: impl IntoIterator<Item = wasmparser::Result<T>>) -> Result<Vec<T>> {
    Ok(items.into_iter().collect::<std::result::Result<_, _>>()?)
}

/// A number that is known before anything runs. Floats as their bits: a NaN stays what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Constant {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
}

/// The value of a constant expression; `globals` are those that the module can see, with the values they start with.
pub(super) fn evaluate(expression: &ConstExpr<'_>, globals: &[Constant]) -> Result<Constant> {
    let mut stack = Vec::new();
    for operator in expression.get_operators_reader() {
        let value = match operator? {
            Operator::I32Const { value } => Constant::I32(value),
            Operator::I64Const { value } => Constant::I64(value),
            Operator::F32Const { value } => Constant::F32(value.bits()),
            Operator::F64Const { value } => Constant::F64(value.bits()),
            Operator::GlobalGet { global_index } => at(globals, global_index, "a global")?,
            Operator::I32Add => match (stack.pop(), stack.pop()) {
                (Some(Constant::I32(two)), Some(Constant::I32(one))) => Constant::I32(one.wrapping_add(two)),
                _ => return Err(Refusal::Dangling("an operand")),
            },
            Operator::End => break,
            other => return Err(Refusal::Unknown(format!("{other:?} in a constant"))),
        };
        stack.push(value);
    }
    stack.pop().ok_or(Refusal::Dangling("the value of a constant"))
}

/// As [`evaluate`], of an address or a place in a table.
pub(super) fn offset(expression: &ConstExpr<'_>, globals: &[Constant]) -> Result<u32> {
    match evaluate(expression, globals)? {
        Constant::I32(value) => Ok(value.cast_unsigned()),
        _ => Err(Refusal::Unknown("64-bit addresses".to_owned())),
    }
}
