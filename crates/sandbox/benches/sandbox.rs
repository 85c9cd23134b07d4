//! `cargo bench -p tina-sandbox`: what a program, a call and a check take, in both ways of running.
//!
//! Through the public interface, so in batches: a batch starts its threads once, as a caller's would.

#![allow(clippy::unwrap_used, reason = "a benchmark that cannot run should say so and stop")]

use std::hint::black_box;
use std::num::NonZero;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tina_sandbox::{Job, Limits, Policy, Sandbox, Way};

const BATCH: usize = 64;
const NOTHING: (&str, &str) = ("", "None");
const TRIVIAL: (&str, &str) = ("def f(n):\n    return n * 2", "f(21)");
/// Takes as much fuel as the median program of the published corpus.
const MEDIAN: (&str, &str) = (
    "def f(numbers: list[int], k: int) -> dict:\n    kept = sorted(n for n in numbers if n % k)\n    totals = {}\n    \
     for number in kept:\n        totals[number % k] = totals.get(number % k, 0) + number\n    \
     return {'kept': kept, 'totals': totals}",
    "f([9, 4, 7, 1, 12, 3], 3)",
);
/// What preparing it takes: its call is `NOTHING`'s.
const MEDIAN_PREPARED: (&str, &str) = (MEDIAN.0, NOTHING.1);

fn sandbox(workers: usize, way: Way) -> Sandbox {
    Sandbox::new(Limits::default(), Policy::Standard, NonZero::new(workers)).unwrap().way(way)
}

fn batch((program, call): (&str, &str)) -> Vec<Job> {
    vec![Job { program: program.to_owned(), calls: vec![call.to_owned()] }; BATCH]
}

fn programs(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("program");
    group.throughput(Throughput::Elements(BATCH as u64));
    for way in [Way::best(), Way::Fresh] {
        let sandbox = sandbox(1, way);
        let programs = [("nothing", NOTHING), ("trivial", TRIVIAL), ("median, prepared only", MEDIAN_PREPARED), ("median", MEDIAN)];
        for (name, program) in programs {
            let jobs = batch(program);
            group.bench_function(format!("{name}, {}", way.name()), |bencher| {
                bencher.iter(|| black_box(sandbox.run_calls(&jobs, None).unwrap()));
            });
        }
    }
    let two = sandbox(2, Way::best());
    let jobs = batch(MEDIAN);
    group.bench_function("median, two threads", |bencher| bencher.iter(|| black_box(two.run_calls(&jobs, None).unwrap())));
    group.finish();
}

fn calls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("call of a prepared program");
    group.throughput(Throughput::Elements(BATCH as u64));
    let sandbox = sandbox(1, Way::best());
    for (name, (program, call)) in [("trivial", TRIVIAL), ("median", MEDIAN)] {
        let job = [Job { program: program.to_owned(), calls: vec![call.to_owned(); BATCH] }];
        group.bench_function(name, |bencher| bencher.iter(|| black_box(sandbox.run_calls(&job, None).unwrap())));
    }
    group.finish();
}

fn checks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check");
    group.throughput(Throughput::Elements(BATCH as u64));
    let sandbox = sandbox(1, Way::best());
    let jobs = batch(MEDIAN);
    group.bench_function("median", |bencher| bencher.iter(|| black_box(sandbox.check_calls(&jobs, None).unwrap())));
    group.finish();
}

criterion_group! {
    name = all;
    // A batch takes some tens of milliseconds.
    config = Criterion::default().sample_size(30);
    targets = programs, calls, checks
}
criterion_main!(all);
