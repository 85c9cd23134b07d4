//! Binds the scanner: token ids are read where they lie, through the buffer protocol.

use pyo3::buffer::{Element, PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

use crate::scanner::{self, Stream, Tags};

/// `(start, stop, closed)` of each span of one sequence of ids.
#[pyfunction]
#[pyo3(signature = (ids, open_id, close_id, start_inside))]
pub fn find_spans(ids: &Bound<'_, PyAny>, open_id: i64, close_id: i64, start_inside: bool) -> PyResult<Vec<(usize, usize, bool)>> {
    fn scan<T: Id>(ids: &[T], tags: Tags<T>) -> Vec<(usize, usize, bool)> {
        scanner::spans(ids, tags).map(|span| (span.start, span.stop, span.closed)).collect()
    }
    let buffer = PyUntypedBuffer::get(ids)?;
    if let Ok(typed) = buffer.as_typed::<i32>() {
        return Ok(scan(contiguous(typed)?, tags(open_id, close_id, start_inside)?));
    }
    Ok(scan(contiguous(wide(&buffer)?)?, tags(open_id, close_id, start_inside)?))
}

/// How many ids lie inside spans, for each row of a ragged batch.
#[pyfunction]
#[pyo3(signature = (ids, offsets, open_id, close_id, start_inside))]
pub fn count_think_tokens(
    ids: &Bound<'_, PyAny>,
    offsets: &Bound<'_, PyAny>,
    open_id: i64,
    close_id: i64,
    start_inside: bool,
) -> PyResult<Vec<i64>> {
    let offsets = PyUntypedBuffer::get(offsets)?;
    let wide_offsets: Vec<i64>;
    let offsets = match offsets.as_typed::<i32>() {
        Ok(narrow) => {
            wide_offsets = contiguous(narrow)?.iter().copied().map(i64::from).collect();
            &wide_offsets
        }
        Err(_) => contiguous(wide(&offsets)?)?,
    };
    let buffer = PyUntypedBuffer::get(ids)?;
    let counts = if let Ok(typed) = buffer.as_typed::<i32>() {
        scanner::count_inside(contiguous(typed)?, offsets, tags(open_id, close_id, start_inside)?)
    } else {
        scanner::count_inside(contiguous(wide(&buffer)?)?, offsets, tags(open_id, close_id, start_inside)?)
    };
    counts.map_err(|error| PyValueError::new_err(error.to_string()))
}

/// Think tokens of a sequence that arrives in pieces.
#[pyclass(module = "tina_azr._native")]
pub struct TagStream(Stream<i64>);

#[pymethods]
impl TagStream {
    #[new]
    fn new(open_id: i64, close_id: i64, start_inside: bool) -> Self {
        Self(Stream::new(Tags { open: open_id, close: close_id, start_inside }))
    }

    /// The next ids. Returns how many lie inside spans so far.
    fn feed(&mut self, ids: &Bound<'_, PyAny>) -> PyResult<usize> {
        let buffer = PyUntypedBuffer::get(ids)?;
        if let Ok(narrow) = buffer.as_typed::<i32>() {
            // Pieces are short: a decode step, or a line.
            let wide: Vec<i64> = contiguous(narrow)?.iter().copied().map(i64::from).collect();
            self.0.feed(&wide);
        } else {
            self.0.feed(contiguous(wide(&buffer)?)?);
        }
        Ok(self.0.counted)
    }

    /// Whether the next id lies inside a span, unless it closes it.
    #[getter]
    fn inside(&self) -> bool {
        self.0.inside()
    }

    /// Ids inside spans so far.
    #[getter]
    fn think_tokens(&self) -> usize {
        self.0.counted
    }
}

trait Id: Element + PartialEq + TryFrom<i64> {}

impl Id for i32 {}
impl Id for i64 {}

fn wide(buffer: &PyUntypedBuffer) -> PyResult<&PyBuffer<i64>> {
    buffer.as_typed::<i64>().map_err(|_| PyTypeError::new_err("token ids and offsets must be an array of int32 or int64"))
}

fn tags<T: Id>(open: i64, close: i64, start_inside: bool) -> PyResult<Tags<T>> {
    let id = |id: i64| T::try_from(id).map_err(|_| PyValueError::new_err(format!("{id} is no id of an int32 array")));
    Ok(Tags { open: id(open)?, close: id(close)?, start_inside })
}

#[expect(unsafe_code, reason = "zero-copy: the buffer protocol hands out a pointer")]
fn contiguous<T: Id>(buffer: &PyBuffer<T>) -> PyResult<&[T]> {
    if buffer.dimensions() != 1 {
        return Err(PyTypeError::new_err(format!("one dimension is wanted, not {}", buffer.dimensions())));
    }
    if buffer.item_count() == 0 {
        return Ok(&[]);
    }
    let pointer = buffer.as_slice_ptr().ok_or_else(|| PyTypeError::new_err("the array must be contiguous"))?;
    // SAFETY: the pointer is aligned and spans `item_count` elements of T (`as_typed` has checked), and the exporter keeps them in place
    // until the buffer is released. Python code cannot write to them meanwhile: the interpreter is held.
    Ok(unsafe { pointer.as_ref() })
}
