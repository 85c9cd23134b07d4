//! The scanner over arrays.

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::ids::Ids;
use crate::scanner::{self, Tags};

/// Thoughts of one sequence as (start, stop, closed), tags not included.
#[pyfunction]
#[pyo3(signature = (ids, open_id, close_id, start_inside=false))]
pub fn find_spans(py: Python<'_>, ids: &Bound<'_, PyAny>, open_id: i64, close_id: i64, start_inside: bool) -> PyResult<Vec<(usize, usize, bool)>> {
    let array = Ids::of(ids, "ids")?;
    let tags = Tags { open: open_id, close: close_id };
    let spans = array.read(py, 0..array.len(), |ids| scanner::find_spans(ids, tags, start_inside))?;
    Ok(spans.into_iter().map(|span| (span.start, span.stop, span.closed)).collect())
}

/// Think tokens of each of the sequences that lie end to end in one array; `offsets` has one more entry than there are sequences.
#[pyfunction]
#[pyo3(signature = (flat_ids, offsets, open_id, close_id, start_inside=false))]
pub fn count_think_tokens(
    py: Python<'_>,
    flat_ids: &Bound<'_, PyAny>,
    offsets: &Bound<'_, PyAny>,
    open_id: i64,
    close_id: i64,
    start_inside: bool,
) -> PyResult<Vec<usize>> {
    let array = Ids::of(flat_ids, "flat_ids")?;
    let offsets = Ids::of(offsets, "offsets")?;
    let tags = Tags { open: open_id, close: close_id };
    let bounds: Vec<i64> = offsets.read(py, 0..offsets.len(), |offsets| offsets.collect())?;
    bounds
        .windows(2)
        .map(|pair| {
            let part = place(pair[0]).zip(place(pair[1])).filter(|(start, stop)| start <= stop && *stop <= array.len());
            let (start, stop) = part.ok_or_else(|| {
                PyValueError::new_err(format!("offsets {} and {} do not bound a part of {} ids", pair[0], pair[1], array.len()))
            })?;
            array.read(py, start..stop, |ids| scanner::count_think_tokens(ids, tags, start_inside))
        })
        .collect()
}

fn place(offset: i64) -> Option<usize> {
    usize::try_from(offset).ok()
}
