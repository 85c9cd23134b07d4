//! Binds `tina_sandbox`: types are translated, the interpreter is released around every run.

use std::num::NonZero;
use std::time::Duration;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use tina_sandbox::{Error, Job, Limits, Outcome, Policy, Value, Way, parse_arguments};

pyo3::import_exception!(tina_azr.errors, SandboxError);

/// Large enough for all workers to be busy most of the time.
const JOBS_BETWEEN_SIGNALS: usize = 256;

/// Kind, value, error, stdout, fuel, milliseconds, bytes of memory.
type Row = (&'static str, Option<String>, Option<String>, String, u64, f64, usize);

/// A sandbox with its limits; `tina_azr.sandbox.Sandbox` is what to use.
#[pyclass(frozen, module = "tina_azr._native")]
pub struct Sandbox(tina_sandbox::Sandbox);

#[pymethods]
impl Sandbox {
    #[new]
    #[pyo3(signature = (*, fuel, wall_ms, memory_bytes, output_bytes, source_bytes, policy, workers, way, verify_every))]
    #[expect(clippy::too_many_arguments, reason = "all by name")]
    fn new(
        fuel: u64,
        wall_ms: u64,
        memory_bytes: usize,
        output_bytes: usize,
        source_bytes: usize,
        policy: &str,
        workers: Option<usize>,
        way: Option<&str>,
        verify_every: u64,
    ) -> PyResult<Self> {
        let limits = Limits { fuel, wall: Duration::from_millis(wall_ms), memory_bytes, output_bytes, source_bytes };
        let workers = workers.map(|count| NonZero::new(count).ok_or_else(|| PyValueError::new_err("a sandbox needs at least one worker")));
        let verify_every =
            NonZero::new(verify_every).ok_or_else(|| PyValueError::new_err("verify_every is 1 at least, which is always"))?;
        let sandbox = tina_sandbox::Sandbox::new(limits, named(policy)?, workers.transpose()?).map_err(raised)?.verify_every(verify_every);
        Ok(Self(match way {
            None => sandbox,
            Some("reset") => sandbox.way(Way::Reset),
            Some("fresh") => sandbox.way(Way::Fresh),
            Some(other) => return Err(PyValueError::new_err(format!("no way of running is called {other:?}: reset or fresh"))),
        }))
    }

    /// For each (program, calls): a row for each call.
    fn run_calls(&self, py: Python<'_>, jobs: Vec<(String, Vec<String>)>, policy: Option<&str>) -> PyResult<Vec<Vec<Row>>> {
        let policy = policy.map(named).transpose()?;
        in_parts(py, jobs, |jobs| self.0.run_calls(jobs, policy))
    }

    /// The same on both images.
    fn check_calls(&self, py: Python<'_>, jobs: Vec<(String, Vec<String>)>, policy: Option<&str>) -> PyResult<Vec<Vec<Row>>> {
        let policy = policy.map(named).transpose()?;
        in_parts(py, jobs, |jobs| self.0.check_calls(jobs, policy))
    }

    /// Calls run so far.
    #[getter]
    fn programs_run(&self) -> u64 {
        self.0.programs_run()
    }

    /// What it is made of.
    fn info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let info = self.0.info().map_err(raised)?;
        let facts = PyDict::new(py);
        facts.set_item("engine", info.engine)?;
        facts.set_item("python", info.python)?;
        facts.set_item("componentize_py", info.componentize_py)?;
        facts.set_item("way", info.way.name())?;
        facts.set_item("image", info.images[0])?;
        facts.set_item("second_image", info.images[1])?;
        facts.set_item("image_bytes", info.image_bytes)?;
        facts.set_item("cache", info.cache)?;
        facts.set_item("cache_bytes", info.cache_bytes)?;
        facts.set_item("workers", info.workers)?;
        Ok(facts)
    }
}

/// Prepare and load both images, if that has not been done.
#[pyfunction]
pub fn warm(py: Python<'_>) -> PyResult<()> {
    py.detach(tina_sandbox::Sandbox::warm).map_err(raised)
}

/// Canonical form of each text read as one literal, or None.
#[pyfunction]
pub fn literals(py: Python<'_>, texts: Vec<String>) -> Vec<Option<String>> {
    py.detach(|| texts.iter().map(|text| Value::parse(text).map(|value| value.to_string())).collect())
}

/// Canonical form of each text read as the arguments of a call, or None.
#[pyfunction]
pub fn argument_lists(py: Python<'_>, texts: Vec<String>) -> Vec<Option<String>> {
    let spell = |values: Vec<Value>| values.iter().map(Value::to_string).collect::<Vec<_>>().join(", ");
    py.detach(|| texts.iter().map(|text| parse_arguments(text).map(spell)).collect())
}

fn named(policy: &str) -> PyResult<Policy> {
    match policy {
        "strict" => Ok(Policy::Strict),
        "standard" => Ok(Policy::Standard),
        "open" => Ok(Policy::Open),
        _ => Err(PyValueError::new_err(format!("no policy is called {policy:?}: strict, standard or open"))),
    }
}

/// Without the interpreter, which gets to see a Ctrl-C between two parts.
fn in_parts(
    py: Python<'_>,
    jobs: Vec<(String, Vec<String>)>,
    run: impl Fn(&[Job]) -> Result<Vec<Vec<Outcome>>, Error> + Sync,
) -> PyResult<Vec<Vec<Row>>> {
    let jobs: Vec<Job> = jobs.into_iter().map(|(program, calls)| Job { program, calls }).collect();
    let mut rows = Vec::with_capacity(jobs.len());
    for part in jobs.chunks(JOBS_BETWEEN_SIGNALS) {
        py.check_signals()?;
        let outcomes = py.detach(|| run(part)).map_err(raised)?;
        rows.extend(outcomes.into_iter().map(|outcomes| outcomes.into_iter().map(row).collect()));
    }
    Ok(rows)
}

fn row(outcome: Outcome) -> Row {
    let milliseconds = outcome.wall.as_secs_f64() * 1e3;
    (outcome.kind.name(), outcome.value, outcome.error, outcome.stdout, outcome.fuel, milliseconds, outcome.memory_bytes)
}

fn raised(error: Error) -> PyErr {
    match error {
        Error::Limits(_) => PyValueError::new_err(error.to_string()),
        _ => SandboxError::new_err(error.to_string()),
    }
}
