//! Small modules in text form: what they are charged, and that nothing without an end goes free.

use wasmtime::{Config, Engine, Instance, Linker, Module, ResourceLimiter, Store, Val};

use super::{FUEL, LOOK_AT, MEMORY, flatten};

/// Counts how often the host is asked about its clock; the last time it ends the run.
#[derive(Default)]
struct Clock {
    looks: u32,
    last: u32,
}

impl ResourceLimiter for Clock {
    fn memory_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }

    fn table_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if maximum == Some(0) && desired > 0 {
            self.looks += 1;
            if self.looks == self.last {
                wasmtime::bail!("out of time");
            }
        }
        Ok(true)
    }
}

/// One module, its function `run`, and a store that counts.
struct Metered {
    store: Store<Clock>,
    instance: Instance,
}

impl Metered {
    fn new(functions: &str) -> Self {
        let text = format!(
            r#"(component (core module $m (memory 2) {functions}) (core instance $i (instantiate $m))
                (func (export "run") (param "n" u32) (result u32) (canon lift (core func $i "run"))))"#
        );
        let flat = flatten(&wat::parse_str(text).unwrap()).unwrap();
        let mut config = Config::new();
        config.wasm_branch_hinting(true);
        let engine = Engine::new(&config).unwrap();
        let mut store = Store::new(&engine, Clock::default());
        store.limiter(|clock| clock);
        let module = Module::new(&engine, &flat.code).unwrap();
        let instance = Linker::new(&engine).instantiate(&mut store, &module).unwrap();
        instance.get_memory(&mut store, MEMORY).unwrap().grow(&mut store, 2).unwrap();
        Self { store, instance }
    }

    /// What comes back, if anything, and what is left of the fuel.
    fn run(&mut self, argument: u32, fuel: i64) -> (Option<u32>, i64) {
        for name in [FUEL, LOOK_AT] {
            self.instance.get_global(&mut self.store, name).unwrap().set(&mut self.store, Val::I64(fuel)).unwrap();
        }
        let run = self.instance.get_typed_func::<u32, u32>(&mut self.store, "run").unwrap();
        let result = run.call(&mut self.store, argument).ok();
        (result, self.instance.get_global(&mut self.store, FUEL).unwrap().get(&mut self.store).i64().unwrap())
    }

    fn used(&mut self, argument: u32) -> i64 {
        let (result, left) = self.run(argument, 1 << 40);
        assert!(result.is_some());
        (1 << 40) - left
    }
}

const SUM: &str = r#"(func (export "run") (param i32) (result i32) (local i32)
    (loop $next
        (local.set 1 (i32.add (local.get 1) (local.get 0)))
        (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
        (br_if $next (local.get 0)))
    (local.get 1))"#;

#[test]
fn every_turn_of_a_loop_takes_the_same() {
    let mut sum = Metered::new(SUM);
    let (one, two) = (sum.used(1), sum.used(2));
    // Ten instructions, and one for the charge.
    assert_eq!(two - one, 11);
    assert_eq!(sum.used(1001) - one, 1000 * (two - one));
    assert_eq!(sum.used(1001), sum.used(1001));
}

#[test]
fn fuel_ends_to_the_unit() {
    let mut sum = Metered::new(SUM);
    let used = sum.used(500);
    assert_eq!(sum.run(500, used), (Some(500 * 501 / 2), 0));
    let (result, left) = sum.run(500, used - 1);
    assert!(result.is_none() && left < 0, "{left}");
    assert!(sum.run(500, 0).0.is_none());
}

#[test]
fn nothing_without_an_end_goes_free() {
    let endless = [
        "(loop $l (br $l))",
        "(loop $l (br_if $l (i32.const 1)))",
        "(loop $l (br_table $l $l (local.get 0)))",
        "(block $out (loop $l (br_table $out $l (i32.const 1))))",
        "(loop $l (block (br_if 0 (i32.const 1))) (if (i32.const 1) (then (br $l))))",
        "(loop $l (if (i32.const 0) (then) (else (br $l))))",
        "(loop $l (loop $m (br_if $l (i32.const 1)) (br $m)))",
        "(loop $l (call $small) (br $l))",
        "(loop $l (call_indirect (i32.const 0)) (br $l))",
        "(loop $l (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)) (br $l))",
        "(return_call $run (local.get 0))",
        "(return_call $there (local.get 0))",
    ];
    for body in endless {
        let mut metered = Metered::new(&format!(
            r#"(table 1 funcref) (elem (i32.const 0) $small) (func $small (drop (i32.const 1)))
            (func $there (param i32) (result i32) (return_call $run (local.get 0)))
            (func $run (export "run") (param i32) (result i32) {body} (local.get 0))"#
        ));
        let (result, left) = metered.run(1, 1_000_000);
        assert!(result.is_none() && left < 0 && left > -1000, "{body}: {result:?}, {left}");
    }
}

#[test]
fn recursion_is_charged_however_it_goes() {
    // Each calls the next twice: 2^30 calls at a depth of 30.
    for call in ["(call $run", "(call_indirect (type $t)", "(call $other"] {
        let end = if call.contains("indirect") { "(i32.const 0))" } else { ")" };
        let mut metered = Metered::new(&format!(
            r#"(type $t (func (param i32) (result i32))) (table 1 funcref) (elem (i32.const 0) $run)
            (func $other (type $t) (call $run (local.get 0)))
            (func $run (export "run") (type $t)
                (if (result i32) (local.get 0)
                    (then (i32.add {call} (i32.sub (local.get 0) (i32.const 1)) {end} {call} (i32.sub (local.get 0) (i32.const 1)) {end}))
                    (else (i32.const 1))))"#
        ));
        assert_eq!(metered.run(5, 1_000_000).0, Some(32));
        let (result, left) = metered.run(30, 1_000_000);
        assert!(result.is_none() && left < 0, "{call}: {result:?}, {left}");
    }
}

#[test]
fn small_functions_are_paid_for_where_they_are_called() {
    let text = |calls: &str| {
        format!(
            r#"(func $inner (result i32) (i32.add (i32.const 1) (i32.const 2))) (func $outer (result i32) (call $inner))
            (func (export "run") (param i32) (result i32) (loop) {calls} (local.get 0))"#
        )
    };
    let [none, one, two] =
        ["", "(drop (call $outer))", "(drop (call $outer)) (drop (call $outer))"].map(|calls| Metered::new(&text(calls)).used(0));
    // Three instructions and two calls.
    assert_eq!((one - none, two - none), (5, 10));
}

#[test]
fn long_code_behind_a_branch_is_paid_for_when_it_is_executed() {
    let long = "(local.set 0 (i32.add (local.get 0) (i32.const 1)))".repeat(100);
    let mut metered = Metered::new(&format!(
        r#"(func (export "run") (param i32) (result i32) (if (local.get 0) (then {long}) (else (local.set 0 (i32.const 7)))) (local.get 0))"#
    ));
    assert_eq!(metered.used(1) - metered.used(0), 400);
    // Also behind what cannot be reached, which changes nothing.
    let mut dead = Metered::new(&format!(r#"(func (export "run") (param i32) (result i32) (return (local.get 0)) {long} unreachable)"#));
    assert_eq!(dead.run(3, 1000).0, Some(3));
}

#[test]
fn bulk_instructions_are_charged_by_their_size() {
    for operation in ["memory.fill (i32.const 0) (i32.const 0)", "memory.copy (i32.const 0) (i32.const 65536)"] {
        let mut metered =
            Metered::new(&format!(r#"(func (export "run") (param i32) (result i32) ({operation} (local.get 0)) (local.get 0))"#));
        let nothing = metered.used(0);
        assert_eq!(metered.used(65536) - nothing, 65536 / 8);
        // It is paid before it is done, and a size that no memory has costs what it says.
        let (result, left) = metered.run(u32::MAX, 1_000_000);
        assert!(result.is_none() && left < -500_000_000, "{operation}: {left}");
    }
}

#[test]
fn the_host_is_asked_about_its_clock_from_time_to_time() {
    let mut metered = Metered::new(
        r#"(func $work (param i32) (loop $l (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
        (func (export "run") (param i32) (result i32)
            (loop $l (call $work (i32.const 1000)) (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (local.get 0))"#,
    );
    let used = metered.used(10_000);
    let looks = i64::from(metered.store.data().looks);
    assert!(looks >= used / (5 << 20) && looks <= used / (4 << 20) + 1, "{looks} looks, {used} fuel");
    *metered.store.data_mut() = Clock { looks: 0, last: 3 };
    let (result, left) = metered.run(10_000, 1 << 40);
    assert!(result.is_none() && left > 0 && metered.store.data().looks == 3);
}

#[test]
fn a_loop_within_a_loop_is_enough_to_look_at_the_clock() {
    let mut metered = Metered::new(
        r#"(func (export "run") (param i32) (result i32) (local i32)
            (loop $outer
                (local.set 1 (i32.const 1000))
                (loop $inner (br_if $inner (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
                (br_if $outer (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (local.get 0))"#,
    );
    assert!(metered.used(10_000) > 3 * (4 << 20));
    assert!(metered.store.data().looks >= 3);
}
