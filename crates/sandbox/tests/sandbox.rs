//! The crate as its users see it: real images, real programs, both ways of running.

#![allow(clippy::expect_used, reason = "a helper's failure is the test's")]

use std::num::NonZero;
use std::time::Duration;

use tina_sandbox::{Error, Job, Kind, Limits, Outcome, Policy, Sandbox, Way};

const WAYS: [Way; 2] = [Way::Reset, Way::Fresh];

/// One worker, so that programs follow one another in one instance; each reset is compared with the image.
fn sandbox(way: Way, limits: Limits) -> Sandbox {
    let sandbox = Sandbox::new(limits, Policy::Open, NonZero::new(1)).expect("limits that can be used");
    sandbox.way(way).verify_every(NonZero::<u64>::MIN)
}

fn job(program: &str, calls: &[&str]) -> Job {
    Job { program: program.to_owned(), calls: calls.iter().map(ToString::to_string).collect() }
}

/// All of an outcome that must not depend on the way: neither time does, nor memory that an instance has from before.
fn lasting(outcomes: Vec<Vec<Outcome>>) -> Vec<Outcome> {
    outcomes.into_iter().flatten().map(|one| Outcome { wall: Duration::ZERO, memory_bytes: 0, ..one }).collect()
}

fn jobs() -> Vec<Job> {
    vec![
        job("def f(n):\n    print(n)\n    return {n: [n] * 3}", &["f(1)", "f('a')", "f(None)"]),
        job("seen = []\ndef f(n):\n    seen.append(n)\n    return seen", &["f(1)", "f(2)", "f(3)"]),
        job("import builtins\nbuiltins.len = None\nx = bytearray(3 << 20)", &["len", "x[0]"]),
        job("def f():\n    return len('abc')", &["f()", "f(", "1 / 0", "lambda: 0"]),
        job("def f():\n    while True: pass", &["f()", "1"]),
        job("x = []\nwhile True: x.append(bytes(1 << 20))", &["1", "2"]),
        job("import posix\nposix.abort()", &["1"]),
        job("def f(n): return n if n < 2 else f(n - 1) + f(n - 2)", &["f(15)", "f(10)", "f(15)"]),
        job("this is no program", &["1", "2"]),
        job("", &[]),
    ]
}

#[test]
fn both_ways_come_to_the_same_and_repeat_to_the_unit_of_fuel() {
    let limits = Limits { fuel: 100_000_000, memory_bytes: 96 << 20, ..Limits::default() };
    let [reset, fresh] = WAYS.map(|way| sandbox(way, limits));
    let expected = lasting(fresh.run_calls(&jobs(), None).expect("fresh"));
    for _ in 0..3 {
        assert_eq!(lasting(reset.run_calls(&jobs(), None).expect("reset")), expected);
    }
    let kinds: Vec<Kind> = expected.iter().map(|one| one.kind).collect();
    use Kind::{Crash, Exception, Fuel, Memory, NotLiteral, Ok, Rejected};
    let of_each = [
        vec![Ok; 3],
        vec![Ok; 3],
        vec![Ok, Ok],
        vec![Ok, Rejected, Exception, NotLiteral],
        vec![Fuel, Ok],
        vec![Memory; 2],
        vec![Crash],
        vec![Ok; 3],
        vec![Rejected; 2],
    ];
    assert_eq!(kinds, of_each.concat());
}

#[test]
fn each_call_starts_where_the_program_left_off() {
    for way in WAYS {
        let outcomes = sandbox(way, Limits::default()).run_calls(&jobs()[1..2], None).expect("it runs");
        let values: Vec<_> = outcomes[0].iter().map(|one| one.value.as_deref()).collect();
        assert_eq!(values, [Some("[1]"), Some("[2]"), Some("[3]")]);
    }
}

/// A call with literals only takes a shorter way into the guest than the same call in parentheses.
#[test]
fn a_call_means_the_same_in_either_form() {
    let program = "def f(*given):\n    kept = [type(one).__name__ for one in given]\n    same = [a is b for a in given for b in given]\n\
                   \x20   return given, kept, same\ndef fail(n):\n    raise ValueError(n)\nhidden = len\n\
                   def deepest(low):\n    try:\n        return deepest(low + 1)\n    except RecursionError:\n        return low\n\
                   class Loud:\n    def __del__(self):\n        print('gone')\ndef loud(n): return [Loud()]";
    let arguments = [
        "",
        "1, -1, 0, 1024, 1025, 1025, -6, -6, 2147483647, 2147483648, -2147483648, -2147483649, 2**3",
        "32767, 32768, 1073741823, 1073741824, -1073741824, 10**3, 123456789012345678901234567890, -123456789012345678901234567890",
        "1.5, 1.5, -0.0, 0.0, 1e300, 5e-324, -1e999, 1j, True, False, None",
        "'', 'a', 'word', 'word', 'two words', 'two words', 'ä', 'ä', '日本', '\\x00', '\\ud800', 'a' 'b', r'\\n', f'x', \"it's\"",
        "b'', b'x', b'xy', b'xy', b'\\xff'",
        "[], [1, [2, [3]]], (), (), (1,), (1, (2,)), (1, (2,)), (2,), ([1], 'x'), ([1], 'x'), (1.0,), (True,), (0.0,), (-0.0,)",
        "{}, {'b': 1, 'a': 2, 'b': 3}, {1: 'x', True: 'y'}, {2: 1, 1: 2}, {1.0: 2}, {(1, 2): [3]}, {1, 2}, set()",
        "*[1, 2]",
        "float('inf'), range(3), Fraction(1, 2), Decimal('1.0')",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        "nan",
        "1, n=2",
        " # nothing\n 1 , # more\n 2 , ",
    ];
    let items = "(9, 8), ".repeat(40);
    let long =
        format!("'{}', '{}', [{}], [{items}], ({items}), {}", "x".repeat(300), "x ".repeat(200), "7, ".repeat(300), "8, ".repeat(300));
    let mut calls: Vec<String> =
        arguments.into_iter().map(str::to_owned).chain([long]).map(|arguments| format!("f({arguments})")).collect();
    calls.extend(
        [
            "fail('x')",
            "f",
            "f(1)(2)",
            "f(1)[0]",
            "missing(1)",
            "len([1, 2])",
            "hidden('abc')",
            "not(1)",
            "f (1)",
            "f(1) ",
            "deepest(0)",
            "loud(1)",
        ]
        .map(str::to_owned),
    );
    let plain: Vec<&str> = calls.iter().map(String::as_str).collect();
    let wrapped: Vec<String> = calls.iter().map(|call| format!("({call})")).collect();
    let wrapped: Vec<&str> = wrapped.iter().map(String::as_str).collect();
    for way in WAYS {
        let outcomes = sandbox(way, Limits::default()).run_calls(&[job(program, &plain), job(program, &wrapped)], None).expect("it runs");
        for ((call, one), other) in calls.iter().zip(&outcomes[0]).zip(&outcomes[1]) {
            let said = |outcome: &Outcome| (outcome.kind, outcome.value.clone(), outcome.error.clone(), outcome.stdout.clone());
            assert_eq!(said(one), said(other), "{call}");
        }
    }
}

#[test]
fn pages_that_are_seldom_written_come_back_as_they_were() {
    let sandbox = sandbox(Way::Reset, Limits::default());
    let rare = job("x = [bytes(1 << 14) for _ in range(50)]\ndef f(): return len(x)", &["f()", "f()"]);
    let mut jobs = vec![rare.clone()];
    jobs.extend(vec![job("def f(n): return n", &["f(1)"]); 300]);
    jobs.push(rare);
    let outcomes = sandbox.run_calls(&jobs, None).expect("every reset is compared");
    assert!(outcomes.iter().flatten().all(Outcome::is_ok));
    let fuel: Vec<u64> = [&outcomes[0], &outcomes[301]].map(|two| two[0].fuel).into();
    assert_eq!(fuel[0], fuel[1]);
}

#[test]
fn what_differs_between_the_images_is_found() {
    for way in WAYS {
        let sandbox = sandbox(way, Limits::default());
        // Of five words the order is the same on both images of one build in a thousand.
        let outcome = sandbox.check("", "list({'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight'})").expect("it runs");
        assert_eq!(outcome.kind, Kind::Nondeterministic, "{outcome:?}");
        assert_eq!(sandbox.check("", "sorted({'one', 'two'})").expect("it runs").value.as_deref(), Some("['one', 'two']"));
    }
}

#[test]
fn a_stalled_program_costs_its_own_time() {
    let limits = Limits { fuel: u64::MAX, wall: Duration::from_millis(200), ..Limits::default() };
    for way in WAYS {
        let outcomes = sandbox(way, limits).run_calls(&[job("", &["[1 for _ in iter(int, 1)]", "1 + 1"])], None).expect("it runs");
        let [stalled, next] = &outcomes[0][..] else { panic!("two calls, two outcomes: {outcomes:?}") };
        assert_eq!((stalled.kind, next.value.as_deref()), (Kind::Timeout, Some("2")));
        assert!(stalled.wall < Duration::from_secs(30), "{stalled:?}");
    }
}

#[test]
fn limits_under_which_nothing_runs_are_refused() {
    let limits = Limits { memory_bytes: 1 << 20, ..Limits::default() };
    assert!(matches!(Sandbox::new(limits, Policy::Open, None), Err(Error::Limits(_))));
}
