//! Small components in text form: what they compute flat, and what is refused.

use wasmtime::{Engine, Instance, Module, Store, Val};

use super::{FUEL, Flat, LOOK_AT, MEMORY, Refusal, STACK_POINTER, flatten};

/// Two modules: the first has memory, stack pointer and a table, the second uses them, as libraries of one program do.
const LINKED: &str = r#"(component
    (core module $libc
        (memory (export "memory") 2)
        (global $base (export "base") i32 (i32.const 1024))
        (global $pointer (export "pointer") (mut i32) (i32.const 65536))
        (global (export "half") f64 (f64.const 0.5))
        (table (export "table") 8 funcref)
        (func $unused (result i32) i32.const 99)
        (func $double (param i32) (result i32) local.get 0 i32.const 2 i32.mul)
        (func (export "double") (param i32) (result i32) local.get 0 call $double)
        (data (i32.const 16) "libc"))
    (core instance $libc (instantiate $libc))
    (core module $program
        (type $unary (func (param i32) (result i32)))
        (import "libc" "memory" (memory 2))
        (import "libc" "base" (global $base i32))
        (import "libc" "pointer" (global $pointer (mut i32)))
        (import "libc" "half" (global $half f64))
        (import "libc" "table" (table 8 funcref))
        (import "libc" "double" (func $double (type $unary)))
        (global $here i32 (i32.add (global.get $base) (i32.const 100)))
        (func $triple (type $unary) local.get 0 i32.const 3 i32.mul)
        (elem (i32.const 3) func $triple $double)
        (data (offset (global.get $here)) "program")
        (func (export "run") (param i32) (result i32)
            ;; The stack pointer is moved down for good; half of ten by way of a float.
            (global.set $pointer (i32.sub (global.get $pointer) (i32.const 16)))
            (i32.add
                (i32.add
                    (call_indirect (type $unary) (local.get 0) (i32.const 3))
                    (call_indirect (type $unary) (local.get 0) (i32.const 4)))
                (i32.add
                    (i32.load8_u (global.get $here))
                    (i32.trunc_f64_s (f64.mul (global.get $half) (f64.const 10)))))))
    (core instance $program (instantiate $program (with "libc" (instance $libc))))
    (func (export "run") (param "n" u32) (result u32) (canon lift (core func $program "run"))))"#;

fn flat(text: &str) -> Result<Flat, Refusal> {
    flatten(&wat::parse_str(text).unwrap())
}

/// A component of one module whose function `run` is exported.
fn single(module: &str) -> String {
    format!(
        r#"(component (core module $m {module}) (core instance $i (instantiate $m))
            (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))"#
    )
}

fn refusal(module: &str) -> String {
    flat(&single(module)).unwrap_err().to_string()
}

#[test]
fn linked_modules_compute_what_they_did() {
    let flat = flat(LINKED).unwrap();
    let engine = Engine::default();
    let module = Module::new(&engine, &flat.code).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let memory = instance.get_memory(&mut store, MEMORY).unwrap();
    memory.grow(&mut store, 2).unwrap();
    memory.write(&mut store, 0, &flat.memory).unwrap();
    instance.get_global(&mut store, FUEL).unwrap().set(&mut store, Val::I64(1000)).unwrap();
    let run = instance.get_typed_func::<u32, u32>(&mut store, "run").unwrap();
    assert_eq!(run.call(&mut store, 7).unwrap(), 7 * 3 + 7 * 2 + u32::from(b'p') + 5);
    let pointer = instance.get_global(&mut store, STACK_POINTER).unwrap();
    assert_eq!(pointer.get(&mut store).i32(), Some(65536 - 16));
}

#[test]
fn data_lies_in_the_memory_and_not_in_the_code() {
    let flat = flat(LINKED).unwrap();
    assert_eq!(flat.memory.len(), 2 * 65536);
    assert_eq!(&flat.memory[16..20], b"libc");
    assert_eq!(&flat.memory[1124..1131], b"program");
    assert!(!flat.code.windows(7).any(|window| window == b"program"));
}

#[test]
fn what_cannot_run_is_dropped_and_nothing_is_imported() {
    let flat = flat(LINKED).unwrap();
    let module = Module::new(&Engine::default(), &flat.code).unwrap();
    assert_eq!(module.imports().len(), 0);
    let mut names: Vec<_> = module.exports().map(|export| export.name().to_owned()).collect();
    names.sort();
    assert_eq!(names, [FUEL, LOOK_AT, MEMORY, "run", STACK_POINTER]);
    // `run`, `$triple`, and `double` with what it calls, and what looks at the clock; `$unused` is gone.
    let bodies = wasmparser::Parser::new(0).parse_all(&flat.code);
    assert_eq!(bodies.filter(|payload| matches!(payload, Ok(wasmparser::Payload::CodeSectionEntry(_)))).count(), 5);
}

#[test]
fn imports_from_outside_are_refused() {
    let text = r#"(component (import "clock" (func $clock (result u64))) (core module $m (memory 1)))"#;
    assert_eq!(flat(text).unwrap_err().to_string(), "it imports clock");
}

#[test]
fn a_start_function_is_refused() {
    let said = refusal(r#"(memory 1) (func $s) (start $s) (func (export "run") (param i32) (result i32) local.get 0)"#);
    assert!(said.contains("start function"), "{said}");
}

#[test]
fn every_instruction_that_changes_a_table_or_a_segment_is_refused() {
    for instruction in [
        "(table.set (i32.const 0) (ref.null func))",
        "(drop (table.grow (ref.null func) (i32.const 1)))",
        "(table.fill (i32.const 0) (ref.null func) (i32.const 1))",
        "(table.copy (i32.const 0) (i32.const 1) (i32.const 1))",
        "(table.init $e (i32.const 0) (i32.const 0) (i32.const 1))",
        "(elem.drop $e)",
        "(memory.init $d (i32.const 0) (i32.const 0) (i32.const 1))",
        "(data.drop $d)",
    ] {
        let said = refusal(&format!(
            r#"(memory 1) (table 2 funcref) (func $f) (elem $e func $f) (data $d "x")
            (func (export "run") (param i32) (result i32) {instruction} local.get 0)"#
        ));
        assert!(said.contains("changes a table or a segment"), "{instruction}: {said}");
    }
}

#[test]
fn such_an_instruction_may_stand_where_nothing_leads_to() {
    let module = r#"(memory 1) (table 2 funcref) (func (table.set (i32.const 0) (ref.null func)))
        (func (export "run") (param i32) (result i32) local.get 0)"#;
    flat(&single(module)).unwrap();
}

#[test]
fn a_second_written_global_is_refused() {
    let said = refusal(
        r#"(memory 1) (global $a (mut i32) (i32.const 1)) (global $b (mut i32) (i32.const 1))
        (func (export "run") (param i32) (result i32) (global.set $a (local.get 0)) (global.set $b (local.get 0)) local.get 0)"#,
    );
    assert!(said.contains("a second global is written"), "{said}");
    let said = refusal(
        r#"(memory 1) (global $a (mut i64) (i64.const 1))
        (func (export "run") (param i32) (result i32) (global.set $a (i64.const 2)) local.get 0)"#,
    );
    assert!(said.contains("not an i32"), "{said}");
}

#[test]
fn a_mutable_global_that_nobody_writes_becomes_a_constant() {
    let module = r#"(memory 1) (global $a (mut i64) (i64.const 5)) (global $b (mut i32) (i32.const 1))
        (func (export "run") (param i32) (result i32) (i32.wrap_i64 (global.get $a)))"#;
    let flat = flat(&single(module)).unwrap();
    let exported: Vec<_> = Module::new(&Engine::default(), &flat.code).unwrap().exports().map(|export| export.name().to_owned()).collect();
    assert_eq!(exported, [MEMORY, FUEL, LOOK_AT, "run"]);
    let engine = Engine::default();
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &Module::new(&engine, &flat.code).unwrap(), &[]).unwrap();
    instance.get_global(&mut store, FUEL).unwrap().set(&mut store, Val::I64(1000)).unwrap();
    let mut results = [Val::I32(0)];
    instance.get_func(&mut store, "run").unwrap().call(&mut store, &[Val::I32(0)], &mut results).unwrap();
    assert_eq!(results[0].i32(), Some(5));
}

#[test]
fn other_numbers_of_memories_than_one_are_refused() {
    let function = r#"(func (export "run") (param i32) (result i32) local.get 0)"#;
    assert!(refusal(function).contains("0 memories"));
    assert!(refusal(&format!("(memory 1) (memory 1) {function}")).contains("2 memories"));
    assert!(refusal(&format!("(memory i64 1) {function}")).contains("64 bits"));
}

#[test]
fn data_beyond_the_memory_is_refused() {
    let said = refusal(r#"(memory 1) (data (i32.const 65535) "xy") (func (export "run") (param i32) (result i32) local.get 0)"#);
    assert!(said.contains("memory for data"), "{said}");
}

#[test]
fn modules_and_functions_have_to_be_valid() {
    let said = refusal(r#"(memory 1) (func (export "run") (param i32) (result i32) i64.const 0)"#);
    assert!(said.contains("type mismatch"), "{said}");
    let said = refusal(r#"(memory 1) (func (export "run") (param i64) (result i32) i32.const 0)"#);
    assert!(said.contains("parameter types"), "{said}");
}

#[test]
fn an_export_that_is_called_as_one_of_ours_is_refused() {
    for name in [MEMORY, FUEL] {
        let text = single(r#"(memory 1) (func (export "run") (param i32) (result i32) local.get 0)"#);
        let said = flat(&text.replace(r#"(func (export "run") (param "n""#, &format!(r#"(func (export "{name}") (param "n""#)));
        assert!(said.unwrap_err().to_string().contains("an export of the name"), "{name}");
    }
}

#[test]
fn damaged_components_are_refused_and_nothing_panics() {
    let whole = wat::parse_str(LINKED).unwrap();
    for end in 0..whole.len() {
        // Cut within the last sections it may still be one: then of fewer exports.
        let _ = flatten(&whole[..end]);
    }
    assert!(flatten(&whole[..40]).is_err());
    assert!(flatten(b"").is_err());
    let mut state = 1_u32;
    for _ in 0..20_000 {
        let mut bytes = whole.clone();
        for _ in 0..2 {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let place = state as usize % bytes.len();
            bytes[place] ^= 1 << (state >> 29);
        }
        let _ = flatten(&bytes);
    }
}

#[test]
fn both_images_have_the_same_code() {
    let [first, second] = [crate::Image::First, crate::Image::Second].map(|image| flatten(&image.unpack().unwrap()).unwrap());
    assert!(first.code == second.code);
    assert!(first.memory != second.memory);
}
