//! A component is refused, or comes out as one valid module with nothing but a memory and an integer to keep state in, and two integers for
//! charges, which no instruction but those of charges names.

use wasmparser::{Operator, Parser, Payload, ValType, Validator};

use crate::flatten::{FUEL, Flat, LOOK_AT, MEMORY, STACK_POINTER, flatten};

/// Numbers of the globals that only charges name, and of the bits of a bulk instruction's size that are free.
const FUEL_LEFT: u32 = 0;
const LOOK_BELOW: u32 = 1;
const BULK_SHIFT: i64 = 3;

/// A component in binary form, or in text form.
pub fn hold(data: &[u8]) {
    if let Ok(component) = wat::parse_bytes(data) {
        holds_for(&component);
    }
}

/// The binary form of a text, if it is one and there is room.
pub fn binary(text: &[u8], most: usize) -> Option<Vec<u8>> {
    let binary = wat::parse_bytes(text).ok()?.into_owned();
    (text.starts_with(b"(") && binary.len() <= most).then_some(binary)
}

/// A component in binary form.
pub fn holds_for(component: &[u8]) {
    let Ok(flat) = flatten(component) else { return };
    Validator::new().validate_all(component).unwrap_or_else(|error| panic!("an invalid component is flattened: {error}"));
    is_flat(&flat);
    let again = flatten(component).unwrap_or_else(|refusal| panic!("flattened once, and then refused: {refusal}"));
    assert!(again.code == flat.code && again.memory == flat.memory, "a component is flattened in two ways");
}

fn is_flat(flat: &Flat) {
    Validator::new().validate_all(&flat.code).unwrap_or_else(|error| panic!("the flat module is not valid: {error}"));
    assert!(flat.memory.len().is_multiple_of(64 << 10), "{} bytes are no pages", flat.memory.len());
    let (mut bodies, mut clock) = (Vec::new(), 0);
    for payload in Parser::new(0).parse_all(&flat.code) {
        match payload.expect("it is valid") {
            Payload::ImportSection(imports) => assert_eq!(imports.count(), 0, "it imports"),
            Payload::StartSection { .. } => panic!("it has a start function"),
            Payload::DataSection(data) => assert_eq!(data.count(), 0, "it has data of its own"),
            Payload::MemorySection(memories) => assert_eq!(memories.count(), 1),
            Payload::TableSection(tables) => {
                clock = tables.count() - 1;
                let last = tables.into_iter().last().expect("one is the clock's").expect("it is valid").ty;
                assert_eq!((last.initial, last.maximum), (0, Some(0)), "the table that stands for the clock can have elements");
            }
            Payload::GlobalSection(globals) => {
                let kinds: Vec<_> = globals.into_iter().map(|global| global.expect("it is valid").ty.content_type).collect();
                let [ValType::I64, ValType::I64, own @ ..] = &kinds[..] else { panic!("its charges have no integers") };
                assert!(matches!(own, [] | [ValType::I32]), "it has more state than one integer");
            }
            Payload::ExportSection(exports) => {
                let names: Vec<_> = exports.into_iter().map(|export| export.expect("it is valid").name).collect();
                let count = |name: &str| names.iter().filter(|other| **other == name).count();
                assert_eq!([MEMORY, FUEL, LOOK_AT].map(count), [1, 1, 1]);
                assert!(count(STACK_POINTER) <= 1);
            }
            Payload::CodeSectionEntry(body) => {
                let operators = body.get_operators_reader().expect("it is valid").into_iter();
                bodies.push(operators.collect::<Result<Vec<_>, _>>().expect("it is valid"));
            }
            _ => {}
        }
    }
    let looking = bodies.pop().expect("one looks at the clock");
    let look = u32::try_from(bodies.len()).expect("it is valid");
    for body in &bodies {
        body.iter().for_each(keeps_nothing);
        leaves_charges_alone(body, look);
    }
    let grown: Vec<_> = looking.iter().filter(|operator| changes(operator)).collect();
    assert!(matches!(grown[..], [Operator::TableGrow { table }] if *table == clock), "the look at the clock changes something");
}

fn keeps_nothing(operator: &Operator<'_>) {
    assert!(!changes(operator), "the instruction {operator:?} is left");
}

/// Instructions that write elsewhere than into memory or a global begin with these names.
fn changes(operator: &Operator<'_>) -> bool {
    let name = format!("{operator:?}");
    let changes = ["TableSet", "TableGrow", "TableFill", "TableCopy", "TableInit", "TableAtomic", "ElemDrop", "MemoryInit", "DataDrop"];
    changes.iter().any(|change| name.starts_with(change))
}

/// The charges' integers, and the function that looks at the clock, are named in charges only, and those never add fuel.
fn leaves_charges_alone(body: &[Operator<'_>], look: u32) {
    use Operator::{
        Call, End, GlobalGet, GlobalSet, I64Const, I64ExtendI32U, I64LtS, I64ShrU, I64Sub, If, LocalGet, LocalTee, Unreachable,
    };
    let mut rest = body;
    while let Some((first, after)) = rest.split_first() {
        rest = match first {
            GlobalGet { global_index: FUEL_LEFT } => {
                let taken = match after {
                    [I64Const { value: 0.. }, I64Sub, taken @ ..] => taken,
                    [LocalGet { .. }, I64ExtendI32U, I64Const { value: BULK_SHIFT }, I64ShrU, I64Sub, taken @ ..] => taken,
                    _ => panic!("fuel is read outside of a charge"),
                };
                match taken {
                    [GlobalSet { global_index: FUEL_LEFT }, rest @ ..] => rest,
                    [
                        LocalTee { .. },
                        GlobalSet { global_index: FUEL_LEFT },
                        LocalGet { .. },
                        I64Const { value: 0 } | GlobalGet { global_index: LOOK_BELOW },
                        I64LtS,
                        If { .. },
                        Unreachable | Call { .. },
                        End,
                        rest @ ..,
                    ] => rest,
                    _ => panic!("fuel is read, and not what is left of it kept"),
                }
            }
            GlobalGet { global_index: LOOK_BELOW } | GlobalSet { global_index: FUEL_LEFT | LOOK_BELOW } => {
                panic!("a charge's integer is named outside of a charge")
            }
            Call { function_index } if *function_index == look => panic!("the clock is looked at outside of a charge"),
            _ => after,
        };
    }
}
