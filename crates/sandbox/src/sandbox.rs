//! The interface: programs and calls in, outcomes out.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::machine::Machine;
use crate::program::Job;
use crate::running::Plan;
use crate::{Error, Image, Kind, Limits, Outcome, Policy, Way, cache, pool, program};

/// How often a reset is verified unless something else is asked for: rarely enough to cost nothing, often enough to be found out.
const VERIFY_EVERY: NonZero<u64> = NonZero::new(5_000).expect("it is not zero");

/// Runs programs, each isolated from the host and from all others.
#[derive(Debug)]
pub struct Sandbox {
    limits: Limits,
    policy: Policy,
    workers: usize,
    plan: Plan,
    programs_run: AtomicU64,
}

/// What this sandbox is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// The WebAssembly engine and its version.
    pub engine: &'static str,
    /// The version of CPython in the images.
    pub python: &'static str,
    /// The version of the tool that built them.
    pub componentize_py: &'static str,
    /// How interpreters are brought into the state in which a program starts.
    pub way: Way,
    /// Digests of the two images.
    pub images: [&'static str; 2],
    /// Bytes of one image, as WebAssembly.
    pub image_bytes: usize,
    /// Where machine code is kept.
    pub cache: String,
    /// Bytes of machine code there.
    pub cache_bytes: u64,
    /// Threads that a batch runs on.
    pub workers: usize,
}

impl Sandbox {
    /// A sandbox with these limits for each run. `workers` of `None` means one for each core.
    pub fn new(limits: Limits, policy: Policy, workers: Option<NonZero<usize>>) -> Result<Self, Error> {
        limits.validate()?;
        let workers = workers.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
        let plan = Plan { way: Way::best(), verify_every: VERIFY_EVERY };
        Ok(Self { limits, policy, workers, plan, programs_run: AtomicU64::new(0) })
    }

    /// The same, in another way than the best that this system has.
    #[must_use]
    pub fn way(mut self, way: Way) -> Self {
        self.plan.way = way;
        self
    }

    /// The same, with a reset in so many compared with the image, every byte of it: [`Error::Reset`] where they differ. 1 is for tests; a
    /// comparison takes some milliseconds.
    #[must_use]
    pub fn verify_every(mut self, resets: NonZero<u64>) -> Self {
        self.plan.verify_every = resets;
        self
    }

    /// Run one program and one call.
    pub fn run(&self, program: &str, call: &str) -> Result<Outcome, Error> {
        single(self.run_calls(&[Job { program: program.to_owned(), calls: vec![call.to_owned()] }], None)?)
    }

    /// As [`Sandbox::run`], on both images.
    pub fn check(&self, program: &str, call: &str) -> Result<Outcome, Error> {
        single(self.check_calls(&[Job { program: program.to_owned(), calls: vec![call.to_owned()] }], None)?)
    }

    /// Run jobs on all workers; order kept. A program is defined once, and each of its calls starts from the state that this has left.
    pub fn run_calls(&self, jobs: &[Job], policy: Option<Policy>) -> Result<Vec<Vec<Outcome>>, Error> {
        let machine = Machine::shared()?;
        let guest = machine.guest(Image::First)?;
        pool::in_parallel(self.workers, jobs.len(), |index| {
            let outcomes = program::run(&guest, &jobs[index], &self.limits, policy.unwrap_or(self.policy), self.plan)?;
            self.count(&outcomes);
            Ok(outcomes)
        })
    }

    /// As [`Sandbox::run_calls`], a second time on the second image: whatever depends on hash seeds or on addresses ends as
    /// [`Kind::Nondeterministic`].
    pub fn check_calls(&self, jobs: &[Job], policy: Option<Policy>) -> Result<Vec<Vec<Outcome>>, Error> {
        let machine = Machine::shared()?;
        let guests = [machine.guest(Image::First)?, machine.guest(Image::Second)?];
        let runs = pool::in_parallel(self.workers, 2 * jobs.len(), |index| {
            let (job, policy) = (&jobs[index / 2], policy.unwrap_or(self.policy));
            let outcomes = program::run(&guests[index % 2], job, &self.limits, policy, self.plan)?;
            self.count(&outcomes);
            Ok(outcomes)
        })?;
        let mut runs = runs.into_iter();
        let mut checked = Vec::with_capacity(jobs.len());
        while let (Some(first), Some(second)) = (runs.next(), runs.next()) {
            checked.push(first.into_iter().zip(second).map(|(first, second)| agreed(first, second)).collect());
        }
        Ok(checked)
    }

    /// Calls run so far, those of a check twice; what the policy refused is not run.
    pub fn programs_run(&self) -> u64 {
        self.programs_run.load(Ordering::Relaxed)
    }

    /// Make everything ready that the first run would otherwise wait for: both images, compiled if need be.
    pub fn warm() -> Result<(), Error> {
        let machine = Machine::shared()?;
        for image in [Image::First, Image::Second] {
            machine.guest(image)?;
        }
        Ok(())
    }

    /// What this sandbox is made of.
    pub fn info(&self) -> Result<Info, Error> {
        Ok(Info {
            engine: concat!("wasmtime ", "48.0.8"),
            python: env!("TINA_CPYTHON_VERSION"),
            componentize_py: env!("TINA_COMPONENTIZE_PY_VERSION"),
            way: self.plan.way,
            images: [Image::First.digest(), Image::Second.digest()],
            image_bytes: Image::First.bytes(),
            cache: cache::folder()?.display().to_string(),
            cache_bytes: cache::size()?,
            workers: self.workers,
        })
    }

    fn count(&self, outcomes: &[Outcome]) {
        let run = outcomes.iter().filter(|outcome| outcome.kind != Kind::Rejected).count();
        self.programs_run.fetch_add(run as u64, Ordering::Relaxed);
    }
}

fn single(outcomes: Vec<Vec<Outcome>>) -> Result<Outcome, Error> {
    outcomes.into_iter().flatten().next().ok_or_else(|| Error::Worker("no outcome".to_owned()))
}

/// One outcome of two runs of the same call.
fn agreed(first: Outcome, second: Outcome) -> Outcome {
    if first.kind == second.kind && first.value == second.value && first.stdout == second.stdout {
        return first;
    }
    // A limit that only one run reached says that the program is near it, not that it is nondeterministic.
    if first.kind.is_limit() {
        return first;
    }
    if second.kind.is_limit() {
        return second;
    }
    let (what, left, right) = if first.kind == second.kind && first.value == second.value {
        ("what is printed", format!("{:?}", first.stdout), format!("{:?}", second.stdout))
    } else {
        ("the result", shown(&first), shown(&second))
    };
    let error = format!("{what} depends on hash seed or addresses: {} and {}", short(&left), short(&right));
    Outcome { kind: Kind::Nondeterministic, value: None, error: Some(error), ..first }
}

fn shown(outcome: &Outcome) -> String {
    let text = outcome.value.as_ref().or(outcome.error.as_ref());
    text.cloned().unwrap_or_else(|| outcome.kind.name().to_owned())
}

fn short(text: &str) -> String {
    let mut letters = text.chars();
    let start: String = letters.by_ref().take(200).collect();
    if letters.next().is_some() { start + "..." } else { start }
}
