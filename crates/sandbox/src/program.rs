//! One program, its calls, one interpreter: from sources to outcomes.

use std::time::Duration;

use crate::running::{Guest, Plan, Session, Step, Stop};
use crate::wire::{self, End};
use crate::{Error, Kind, Limits, Outcome, Policy, policy};

/// A program and the expressions to evaluate after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Python source of a module.
    pub program: String,
    /// Python source of one expression each, such as `f(3)`.
    pub calls: Vec<String>,
}

/// Run a job's calls, each from the state that the program's definition left.
pub(crate) fn run(guest: &Guest, job: &Job, limits: &Limits, policy: Policy, plan: Plan) -> Result<Vec<Outcome>, Error> {
    if let Err(reason) = admit("program", &job.program, limits, |source| policy::check_program(source, policy)) {
        return Ok(vec![Outcome::refused(reason); job.calls.len()]);
    }
    let mut prepared: Option<Prepared<'_>> = None;
    let mut outcomes = Vec::with_capacity(job.calls.len());
    for (index, call) in job.calls.iter().enumerate() {
        if let Err(reason) = admit("call", call, limits, |source| policy::check_call(source, policy)) {
            outcomes.push(Outcome::refused(reason));
            continue;
        }
        let mut ready = match prepared.take() {
            Some(ready) => ready,
            None => match Prepared::start(guest, &job.program, limits, plan)? {
                Ok(ready) => ready,
                // So it ends for every call.
                Err(outcome) => {
                    outcomes.extend(job.calls[index..].iter().map(|_| outcome.clone()));
                    break;
                }
            },
        };
        let more = index + 1 < job.calls.len();
        if more {
            ready.mark()?;
        }
        outcomes.push(ready.call(call, limits)?);
        if more && ready.rewind()? {
            prepared = Some(ready);
        } else {
            ready.session.finish()?;
        }
    }
    if let Some(ready) = prepared {
        ready.session.finish()?;
    }
    Ok(outcomes)
}

fn admit(what: &str, source: &str, limits: &Limits, check: impl Fn(&str) -> Result<(), policy::Rejection>) -> Result<(), String> {
    if source.len() > limits.source_bytes {
        return Err(format!("{what}: {} bytes of source, {} are allowed", source.len(), limits.source_bytes));
    }
    check(source).map_err(|rejection| format!("{what}, {rejection}"))
}

/// A program in an interpreter, and what it took to define it.
struct Prepared<'a> {
    session: Session<'a>,
    marked: bool,
    fuel: u64,
    wall: Duration,
}

impl<'a> Prepared<'a> {
    /// `Err`: the outcome, where the program did not get as far as to be called.
    fn start(guest: &'a Guest, program: &str, limits: &Limits, plan: Plan) -> Result<Result<Self, Outcome>, Error> {
        let mut session = guest.start(limits, plan)?;
        let step = session.prepare(program.as_bytes(), output_bytes(limits), limits.fuel, limits.wall)?;
        match finished(&step, limits) {
            None => Ok(Ok(Self { session, marked: false, fuel: step.fuel, wall: step.wall })),
            Some(outcome) => {
                session.finish()?;
                Ok(Err(outcome))
            }
        }
    }

    fn mark(&mut self) -> Result<(), Error> {
        if !self.marked {
            self.marked = self.session.mark()?;
        }
        Ok(())
    }

    fn rewind(&mut self) -> Result<bool, Error> {
        Ok(self.marked && self.session.rewind()?)
    }

    fn call(&mut self, call: &str, limits: &Limits) -> Result<Outcome, Error> {
        let fuel = limits.fuel.saturating_sub(self.fuel);
        let step = self.session.call(call, fuel, limits.wall.saturating_sub(self.wall))?;
        let crash = || outcome(Kind::Crash, Some("the interpreter gave the answer to another request".to_owned()), &step);
        let mut outcome = finished(&step, limits).unwrap_or_else(crash);
        outcome.fuel += self.fuel;
        outcome.wall += self.wall;
        Ok(outcome)
    }
}

/// `validate()` keeps it within 32 bits.
fn output_bytes(limits: &Limits) -> u32 {
    u32::try_from(limits.output_bytes).unwrap_or(u32::MAX)
}

fn outcome(kind: Kind, error: Option<String>, step: &Step) -> Outcome {
    Outcome { kind, value: None, error, stdout: String::new(), fuel: step.fuel, wall: step.wall, memory_bytes: step.memory }
}

/// How a step ended the run; `None` where a program has been defined and waits to be called.
fn finished(step: &Step, limits: &Limits) -> Option<Outcome> {
    let answer = match &step.answer {
        Ok(answer) => answer,
        Err(stop) => {
            let (kind, error) = stopped(stop, limits);
            return Some(outcome(kind, Some(error), step));
        }
    };
    let (end, stdout) = match wire::read(answer, limits.output_bytes) {
        Ok(read) => read,
        Err(problem) => return Some(outcome(Kind::Crash, Some(problem), step)),
    };
    let allowed = limits.output_bytes;
    let (kind, value, error) = match end {
        End::Defined => return None,
        End::Value(value) => match value.to_string() {
            literal if literal.len() <= allowed => (Kind::Ok, Some(literal), None),
            literal => (Kind::Output, None, Some(format!("returned {} bytes, {allowed} are allowed", literal.len()))),
        },
        End::Exception(error) => (Kind::Exception, None, Some(error)),
        End::NotLiteral(what) => (Kind::NotLiteral, None, Some(format!("not a literal value: {what}"))),
        End::Printed(bytes) => (Kind::Output, None, Some(format!("printed {bytes} bytes, {allowed} are allowed"))),
        End::Returned => (Kind::Output, None, Some(format!("returned more than the {allowed} bytes that are allowed"))),
    };
    Some(Outcome { value, stdout, ..outcome(kind, error, step) })
}

fn stopped(stop: &Stop, limits: &Limits) -> (Kind, String) {
    match stop {
        Stop::Fuel => (Kind::Fuel, format!("used all of its {} fuel", limits.fuel)),
        Stop::Timeout => (Kind::Timeout, format!("still running after {} ms", limits.wall.as_millis())),
        Stop::Memory(wanted) => (Kind::Memory, format!("asked for {wanted} bytes of memory, {} are allowed", limits.memory_bytes)),
        Stop::Crash(trap) => (Kind::Crash, format!("the interpreter stopped: {trap}")),
    }
}
