//! One program, its calls, one interpreter: from sources to outcomes.

use std::time::Duration;

use crate::running::{Guest, Session, Step, Stop};
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

/// Run a job's calls in order.
pub(crate) fn run(guest: &Guest, job: &Job, limits: &Limits, policy: Policy) -> Result<Vec<Outcome>, Error> {
    if let Err(reason) = admit("program", &job.program, limits, |source| policy::check_program(source, policy)) {
        return Ok(vec![Outcome::refused(reason); job.calls.len()]);
    }
    let mut prepared: Option<Prepared> = None;
    let mut outcomes = Vec::with_capacity(job.calls.len());
    for call in &job.calls {
        if let Err(reason) = admit("call", call, limits, |source| policy::check_call(source, policy)) {
            outcomes.push(Outcome::refused(reason));
            continue;
        }
        let ready = match prepared.take() {
            Some(ready) => ready,
            None => Prepared::start(guest, &job.program, limits)?,
        };
        let (outcome, left) = ready.call(call, limits)?;
        outcomes.push(outcome);
        prepared = left;
    }
    Ok(outcomes)
}

fn admit(what: &str, source: &str, limits: &Limits, check: impl Fn(&str) -> Result<(), policy::Rejection>) -> Result<(), String> {
    if source.len() > limits.source_bytes {
        return Err(format!("{what}: {} bytes of source, {} are allowed", source.len(), limits.source_bytes));
    }
    check(source).map_err(|rejection| format!("{what}, {rejection}"))
}

/// A program in an interpreter, and what it took to compile it.
struct Prepared {
    /// `Err`: the outcome of every call, since the program did not get that far.
    session: Result<Session, Outcome>,
    fuel: u64,
    wall: Duration,
}

impl Prepared {
    fn start(guest: &Guest, program: &str, limits: &Limits) -> Result<Self, Error> {
        let mut session = guest.start(limits)?;
        let step = session.prepare(program.as_bytes(), limits.fuel, limits.wall)?;
        let failure = match &step.answer {
            Err(stop) => Some(stopped(stop, limits)),
            Ok(answer) => match wire::prepared(answer) {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some((Kind::Exception, error)),
                Err(problem) => Some((Kind::Crash, problem)),
            },
        };
        let session = match failure {
            None => Ok(session),
            Some((kind, error)) => Err(outcome(kind, Some(error), &step)),
        };
        Ok(Self { session, fuel: step.fuel, wall: step.wall })
    }

    /// The outcome, and the interpreter unless the call has ended it.
    fn call(self, call: &str, limits: &Limits) -> Result<(Outcome, Option<Self>), Error> {
        let mut session = match &self.session {
            Err(outcome) => return Ok((outcome.clone(), Some(self))),
            Ok(_) => self.session,
        };
        let Ok(running) = &mut session else { return Err(Error::Worker("no interpreter".to_owned())) };
        let fuel = limits.fuel.saturating_sub(self.fuel);
        // validate() keeps it within 32 bits.
        let output_bytes = u32::try_from(limits.output_bytes).unwrap_or(u32::MAX);
        let step = running.call(call.as_bytes(), output_bytes, fuel, limits.wall.saturating_sub(self.wall))?;
        let mut outcome = finished(&step, limits);
        outcome.fuel += self.fuel;
        outcome.wall += self.wall;
        let usable = step.answer.is_ok();
        Ok((outcome, usable.then_some(Self { session, ..self })))
    }
}

fn outcome(kind: Kind, error: Option<String>, step: &Step) -> Outcome {
    Outcome { kind, value: None, error, stdout: String::new(), fuel: step.fuel, wall: step.wall, memory_bytes: step.memory }
}

fn finished(step: &Step, limits: &Limits) -> Outcome {
    let answer = match &step.answer {
        Ok(answer) => answer,
        Err(stop) => {
            let (kind, error) = stopped(stop, limits);
            return outcome(kind, Some(error), step);
        }
    };
    let (end, stdout) = match wire::called(answer, limits.output_bytes) {
        Ok(read) => read,
        Err(problem) => return outcome(Kind::Crash, Some(problem), step),
    };
    let allowed = limits.output_bytes;
    let (kind, value, error) = match end {
        End::Value(value) => match value.to_string() {
            literal if literal.len() <= allowed => (Kind::Ok, Some(literal), None),
            literal => (Kind::Output, None, Some(format!("returned {} bytes, {allowed} are allowed", literal.len()))),
        },
        End::Exception(error) => (Kind::Exception, None, Some(error)),
        End::NotLiteral(what) => (Kind::NotLiteral, None, Some(format!("not a literal value: {what}"))),
        End::Printed(bytes) => (Kind::Output, None, Some(format!("printed {bytes} bytes, {allowed} are allowed"))),
        End::Returned => (Kind::Output, None, Some(format!("returned more than the {allowed} bytes that are allowed"))),
    };
    Outcome { value, stdout, ..outcome(kind, error, step) }
}

fn stopped(stop: &Stop, limits: &Limits) -> (Kind, String) {
    match stop {
        Stop::Fuel => (Kind::Fuel, format!("used all of its {} fuel", limits.fuel)),
        Stop::Timeout => (Kind::Timeout, format!("still running after {} ms", limits.wall.as_millis())),
        Stop::Memory(wanted) => (Kind::Memory, format!("asked for {wanted} bytes of memory, {} are allowed", limits.memory_bytes)),
        Stop::Crash(trap) => (Kind::Crash, format!("the interpreter stopped: {trap}")),
    }
}
