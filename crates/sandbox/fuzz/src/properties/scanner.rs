//! The tag scanner finds what one id at a time finds, however the ids arrive.

use arbitrary::Arbitrary;

use crate::scanner::{Stream, Tags, count_inside, spans};

const MOST_IDS: usize = 1_024;

/// Ids, and how they are cut.
#[derive(Arbitrary, Debug)]
pub struct Input {
    /// A few different ids, each so many times: tags are frequent, and blocks without any are long.
    runs: Vec<(u8, u8)>,
    kinds: u8,
    open: u8,
    close: u8,
    start_inside: bool,
    /// Lengths of rows, and of pieces.
    cuts: Vec<u8>,
    /// Offsets as they come, mostly wrong.
    offsets: Vec<i8>,
}

/// Spans, rows, pieces and offsets.
pub fn hold(input: &Input) {
    let kinds = i64::from(input.kinds % 8) + 1;
    let id = |letter: u8| i64::from(letter) % kinds;
    let ids: Vec<i64> =
        input.runs.iter().flat_map(|&(letter, count)| std::iter::repeat_n(id(letter), usize::from(count))).take(MOST_IDS).collect();
    let tags = Tags { open: id(input.open), close: id(input.close), start_inside: input.start_inside };
    let expected = reference(&ids, tags);
    assert_eq!(found(&ids, tags), expected);
    let narrow: Vec<i32> = ids.iter().map(|&id| id as i32).collect();
    assert_eq!(found(&narrow, Tags { open: tags.open as i32, close: tags.close as i32, start_inside: tags.start_inside }), expected);

    let mut offsets = vec![0];
    for &cut in &input.cuts {
        let last = offsets[offsets.len() - 1];
        offsets.push((last + i64::from(cut)).min(ids.len() as i64));
    }
    offsets.push(ids.len() as i64);
    let rows = offsets.windows(2).map(|pair| &ids[pair[0] as usize..pair[1] as usize]);
    let counts = rows.clone().map(|row| total(&reference(row, tags)) as i64).collect();
    assert_eq!(count_inside(&ids, &offsets, tags), Ok(counts));

    let states = states(&ids, tags);
    let mut stream = Stream::new(tags);
    let mut fed = 0;
    for piece in rows {
        stream.feed(piece);
        fed += piece.len();
        assert_eq!((stream.counted, stream.inside()), states[fed]);
    }
    assert_eq!(stream.counted, total(&expected));

    let loose: Vec<i64> = input.offsets.iter().map(|&offset| offset.into()).collect();
    let cuts = loose.first() == Some(&0) && loose.last() == Some(&(ids.len() as i64)) && loose.windows(2).all(|pair| pair[0] <= pair[1]);
    assert_eq!(count_inside(&ids, &loose, tags).is_ok(), cuts);
}

type Triple = (usize, usize, bool);

fn found<T: Copy + PartialEq>(ids: &[T], tags: Tags<T>) -> Vec<Triple> {
    spans(ids, tags).map(|span| (span.start, span.stop, span.closed)).collect()
}

fn total(spans: &[Triple]) -> usize {
    spans.iter().map(|(start, stop, _)| stop - start).sum()
}

/// One id at a time.
fn reference(ids: &[i64], tags: Tags<i64>) -> Vec<Triple> {
    let mut found = Vec::new();
    let mut begun = tags.start_inside.then_some(0);
    for (index, &id) in ids.iter().enumerate() {
        match begun {
            None if id == tags.open => begun = Some(index + 1),
            Some(start) if id == tags.close => {
                found.push((start, index, true));
                begun = None;
            }
            _ => {}
        }
    }
    found.extend(begun.map(|start| (start, ids.len(), false)));
    found
}

/// Before each id and behind the last: how many were inside so far, and whether the next is, unless it closes.
fn states(ids: &[i64], tags: Tags<i64>) -> Vec<(usize, bool)> {
    let mut states = vec![(0, tags.start_inside)];
    for &id in ids {
        let (count, inside) = states[states.len() - 1];
        states.push(match inside {
            true if id == tags.close => (count, false),
            true => (count + 1, true),
            false => (count, id == tags.open),
        });
    }
    states
}
