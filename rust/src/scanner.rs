//! Spans between two tags in a sequence of token ids, and how many ids they hold.
//!
//! A tag is an id, never text: a model that quotes `</think>` in letters has not closed anything. Tags do not nest: inside a span the
//! opening id is an id like any other, outside of one the closing id is.

/// The ids between an opening tag and its closing tag, both excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Index of the first id inside.
    pub start: usize,
    /// Index behind the last id inside.
    pub stop: usize,
    /// Whether a closing tag follows; otherwise the sequence ends inside the span.
    pub closed: bool,
}

/// The two ids, and where a sequence begins.
#[derive(Clone, Copy, Debug)]
pub struct Tags<T> {
    /// The id that opens a span.
    pub open: T,
    /// The id that closes it.
    pub close: T,
    /// Whether a sequence begins inside a span, because the prompt has opened it.
    pub start_inside: bool,
}

/// Ids compared at once.
const LANES: usize = 64;

/// The spans of one sequence, in order.
pub fn spans<T: Copy + PartialEq>(ids: &[T], tags: Tags<T>) -> Spans<'_, T> {
    Spans { ids, tags, at: 0, inside: tags.start_inside }
}

/// Ids inside spans, for each of the sequences that lie one after the other in `ids` and begin at `offsets[..n - 1]`.
///
/// # Errors
///
/// If the offsets do not rise from 0 to the number of ids.
pub fn count_inside<T: Copy + PartialEq>(ids: &[T], offsets: &[i64], tags: Tags<T>) -> Result<Vec<i64>, OffsetsError> {
    let ends = (offsets.first(), offsets.last());
    if ends != (Some(&0), Some(&(ids.len() as i64))) || !offsets.is_sorted() {
        return Err(OffsetsError);
    }
    let row = |pair: &[i64]| spans(&ids[pair[0] as usize..pair[1] as usize], tags).map(|span| (span.stop - span.start) as i64).sum();
    Ok(offsets.windows(2).map(row).collect())
}

/// Offsets that do not cut the ids into rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetsError;

impl std::fmt::Display for OffsetsError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("offsets must begin with 0, not fall, and end with the number of ids")
    }
}

/// Iterator of [`spans`].
#[derive(Clone, Debug)]
pub struct Spans<'a, T> {
    ids: &'a [T],
    tags: Tags<T>,
    at: usize,
    inside: bool,
}

impl<T: Copy + PartialEq> Iterator for Spans<'_, T> {
    type Item = Span;

    fn next(&mut self) -> Option<Span> {
        if !self.inside {
            self.at += find(&self.ids[self.at..], self.tags.open)? + 1;
        }
        let start = self.at;
        let found = find(&self.ids[start..], self.tags.close);
        let stop = found.map_or(self.ids.len(), |length| start + length);
        self.at = (stop + 1).min(self.ids.len());
        self.inside = false;
        Some(Span { start, stop, closed: found.is_some() })
    }
}

/// A sequence that arrives in pieces: what [`spans`] would count in all of them, put together.
#[derive(Clone, Debug)]
pub struct Stream<T> {
    tags: Tags<T>,
    /// Ids inside spans so far.
    pub counted: usize,
}

impl<T: Copy + PartialEq> Stream<T> {
    /// Nothing has arrived.
    pub fn new(tags: Tags<T>) -> Self {
        Self { tags, counted: 0 }
    }

    /// Whether the next id lies inside a span, unless it closes it.
    pub fn inside(&self) -> bool {
        self.tags.start_inside
    }

    /// The next piece.
    pub fn feed(&mut self, ids: &[T]) {
        let mut scan = spans(ids, self.tags);
        let mut open = false;
        for span in scan.by_ref() {
            self.counted += span.stop - span.start;
            open = !span.closed;
        }
        self.tags.start_inside = open;
    }
}

/// Whole blocks first, without a branch for each id: this is what makes the compiler use vector instructions.
fn find<T: Copy + PartialEq>(ids: &[T], wanted: T) -> Option<usize> {
    let blocks = ids.chunks_exact(LANES);
    let whole = ids.len() - blocks.remainder().len();
    let skipped = blocks.take_while(|block| !block.iter().fold(false, |found, id| found | (*id == wanted))).count() * LANES;
    let rest = &ids[skipped.min(whole)..];
    rest.iter().position(|id| *id == wanted).map(|position| skipped + position)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTSIDE: Tags<i32> = Tags { open: 1, close: 2, start_inside: false };
    const INSIDE: Tags<i32> = Tags { start_inside: true, ..OUTSIDE };

    fn triples(ids: &[i32], tags: Tags<i32>) -> Vec<(usize, usize, bool)> {
        spans(ids, tags).map(|span| (span.start, span.stop, span.closed)).collect()
    }

    #[test]
    fn a_span_excludes_its_tags() {
        assert_eq!(triples(&[7, 1, 8, 9, 2, 7], OUTSIDE), [(2, 4, true)]);
    }

    #[test]
    fn a_thinking_completion_begins_inside() {
        assert_eq!(triples(&[8, 9, 2, 7], INSIDE), [(0, 2, true)]);
        assert_eq!(triples(&[8, 9], INSIDE), [(0, 2, false)]);
        assert_eq!(triples(&[], INSIDE), [(0, 0, false)]);
    }

    #[test]
    fn tags_do_not_nest() {
        assert_eq!(triples(&[1, 1, 8, 2, 2, 1, 2], OUTSIDE), [(1, 3, true), (6, 6, true)]);
    }

    #[test]
    fn an_open_span_runs_to_the_end() {
        assert_eq!(triples(&[1], OUTSIDE), [(1, 1, false)]);
        assert_eq!(triples(&[3, 1, 5], OUTSIDE), [(2, 3, false)]);
    }

    #[test]
    fn rows_are_counted_apart() {
        let ids = [8, 9, 2, 7, 8, 2, 1, 8, 8];
        assert_eq!(count_inside(&ids, &[0, 4, 4, 9], INSIDE), Ok(vec![2, 0, 3]));
    }

    #[test]
    fn pieces_count_as_the_whole() {
        let ids = [8, 9, 2, 7, 1, 1, 8, 2, 1, 8, 8];
        for tags in [OUTSIDE, INSIDE] {
            let whole: usize = spans(&ids, tags).map(|span| span.stop - span.start).sum();
            for size in 1..=ids.len() {
                let mut stream = Stream::new(tags);
                ids.chunks(size).for_each(|piece| stream.feed(piece));
                assert_eq!((stream.counted, stream.inside()), (whole, true));
            }
        }
        let mut stream = Stream::new(INSIDE);
        stream.feed(&[]);
        assert!(stream.inside());
        stream.feed(&[8, 2]);
        assert_eq!((stream.counted, stream.inside()), (1, false));
    }

    #[test]
    fn offsets_have_to_cut_the_ids_into_rows() {
        for offsets in [&[][..], &[0], &[0, 3, 2, 4], &[1, 4], &[0, 5]] {
            assert_eq!(count_inside(&[1, 2, 3, 4], offsets, INSIDE), Err(OffsetsError));
        }
    }

    /// One id at a time, with nothing clever.
    fn reference(ids: &[i32], tags: Tags<i32>) -> Vec<(usize, usize, bool)> {
        let mut found = Vec::new();
        let mut start = tags.start_inside.then_some(0);
        for (index, id) in ids.iter().enumerate() {
            match start {
                None if *id == tags.open => start = Some(index + 1),
                Some(begun) if *id == tags.close => {
                    found.push((begun, index, true));
                    start = None;
                }
                _ => {}
            }
        }
        found.extend(start.map(|begun| (begun, ids.len(), false)));
        found
    }

    #[test]
    fn random_ids_scan_as_one_by_one() {
        // A small linear congruential generator: the test repeats itself exactly.
        let mut state = 12_345_u64;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for _ in 0..2_000 {
            let kinds = 3 + random(100);
            let ids: Vec<i32> = (0..random(400)).map(|_| random(kinds) as i32).collect();
            for tags in [OUTSIDE, INSIDE] {
                assert_eq!(triples(&ids, tags), reference(&ids, tags));
            }
        }
    }
}
