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
/// Of the kind of the published corpus' tasks, and longer than most: of them 98 in 100 take less time.
const ORDINARY: (&str, &str) = (
    "from collections import Counter\ndef f(numbers: list[int], k: int) -> dict:\n    counts = Counter(n % k for n in numbers)\n    \
     best = sorted(counts.items(), key=lambda item: (-item[1], item[0]))\n    groups = {}\n    for remainder, count in best:\n        \
     groups[f'{remainder} of {k}'] = [n for n in numbers if n % k == remainder][:count]\n    \
     return {'groups': groups, 'most': best[0][1], 'total': sum(numbers)}",
    "f(list(range(40)), 7)",
);

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
        for (name, program) in [("nothing", NOTHING), ("trivial", TRIVIAL), ("ordinary", ORDINARY)] {
            let jobs = batch(program);
            group.bench_function(format!("{name}, {}", way.name()), |bencher| {
                bencher.iter(|| black_box(sandbox.run_calls(&jobs, None).unwrap()));
            });
        }
    }
    let two = sandbox(2, Way::best());
    let jobs = batch(ORDINARY);
    group.bench_function("ordinary, two threads", |bencher| bencher.iter(|| black_box(two.run_calls(&jobs, None).unwrap())));
    group.finish();
}

fn calls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("call of a prepared program");
    group.throughput(Throughput::Elements(BATCH as u64));
    let sandbox = sandbox(1, Way::best());
    for (name, (program, call)) in [("trivial", TRIVIAL), ("ordinary", ORDINARY)] {
        let job = [Job { program: program.to_owned(), calls: vec![call.to_owned(); BATCH] }];
        group.bench_function(name, |bencher| bencher.iter(|| black_box(sandbox.run_calls(&job, None).unwrap())));
    }
    group.finish();
}

fn checks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("check");
    group.throughput(Throughput::Elements(BATCH as u64));
    let sandbox = sandbox(1, Way::best());
    let jobs = batch(ORDINARY);
    group.bench_function("ordinary", |bencher| bencher.iter(|| black_box(sandbox.check_calls(&jobs, None).unwrap())));
    group.finish();
}

criterion_group! {
    name = all;
    // A batch takes some tens of milliseconds.
    config = Criterion::default().sample_size(30);
    targets = programs, calls, checks
}
criterion_main!(all);
