//! A component is refused, or comes out as one valid module with nothing but a memory and an integer to keep state in.

use wasmparser::{Operator, Parser, Payload, ValType, Validator};

use crate::flatten::{Flat, MEMORY, STACK_POINTER, flatten};

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
    for payload in Parser::new(0).parse_all(&flat.code) {
        match payload.expect("it is valid") {
            Payload::ImportSection(imports) => assert_eq!(imports.count(), 0, "it imports"),
            Payload::StartSection { .. } => panic!("it has a start function"),
            Payload::DataSection(data) => assert_eq!(data.count(), 0, "it has data of its own"),
            Payload::MemorySection(memories) => assert_eq!(memories.count(), 1),
            Payload::GlobalSection(globals) => {
                assert_eq!(globals.count(), 1, "it has more state than one integer");
                globals.into_iter().for_each(|global| assert_eq!(global.expect("it is valid").ty.content_type, ValType::I32));
            }
            Payload::ExportSection(exports) => {
                let names: Vec<_> = exports.into_iter().map(|export| export.expect("it is valid").name).collect();
                assert_eq!(names.iter().filter(|name| **name == MEMORY).count(), 1);
                assert!(names.iter().filter(|name| **name == STACK_POINTER).count() <= 1);
            }
            Payload::CodeSectionEntry(body) => {
                for operator in body.get_operators_reader().expect("it is valid") {
                    keeps_nothing(&operator.expect("it is valid"));
                }
            }
            _ => {}
        }
    }
}

/// Instructions that write elsewhere than into memory or the one global begin with these names.
fn keeps_nothing(operator: &Operator<'_>) {
    let name = format!("{operator:?}");
    let changes = ["TableSet", "TableGrow", "TableFill", "TableCopy", "TableInit", "TableAtomic", "ElemDrop", "MemoryInit", "DataDrop"];
    assert!(!changes.iter().any(|change| name.starts_with(change)), "the instruction {name} is left");
}
