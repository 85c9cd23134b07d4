//! The memory of an interpreter: a private mapping of its image, and the way back to it.
//!
//! The image is a file. An instance maps it copy-on-write, so starting one copies nothing, pages that are only read are shared by all
//! instances and processes, and what an instance has changed is exactly the set of its private pages: the kernel knows them ([`scan`]).
//! Copying those back from the image, or from a [`Snapshot`] taken on the way, restores the memory to the byte.

#![allow(unsafe_code, reason = "mappings are what this module is for; nothing unsafe leaves it")]

mod mapping;
mod scan;

use std::ops::Range;

pub(crate) use mapping::{Image, Maps, starting_from};
pub(crate) use scan::{Scanner, Written};

/// Bytes of a page of the host. Everything here counts in them.
pub(crate) const PAGE: usize = 4096;

/// Pages that differ from the image, with what they hold: a state to which a memory can return.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// For each page of the image, one more than its place in `bytes`; 0 where it is the image's own.
    places: Vec<u32>,
    bytes: Vec<u8>,
}

impl Snapshot {
    /// What `memory` holds in the dirty ranges.
    pub fn take(memory: &[u8], dirty: &[Range<usize>]) -> Self {
        let mut places = vec![0; memory.len() / PAGE];
        let mut bytes = Vec::with_capacity(dirty.iter().map(Range::len).sum());
        let mut pages = 0;
        for range in dirty {
            for place in &mut places[range.start / PAGE..range.end / PAGE] {
                pages += 1;
                *place = pages;
            }
            bytes.extend_from_slice(&memory[range.clone()]);
        }
        Self { places, bytes }
    }

    /// Write back what the dirty ranges of `memory` held: where this snapshot says so, else what `image` does.
    pub fn restore(&self, memory: &mut [u8], dirty: &[Range<usize>], image: &[u8]) {
        for range in dirty {
            for page in range.start / PAGE..range.end / PAGE {
                let bytes = page * PAGE..(page + 1) * PAGE;
                let was = self.page(page).unwrap_or(&image[bytes.clone()]);
                let now = &mut memory[bytes];
                // Most pages that any program has written, this one has not: comparing takes less than writing them again.
                if now != was {
                    now.copy_from_slice(was);
                }
            }
        }
    }

    /// Whether `memory` is in this state, every byte of it; where it is not, the first address.
    pub fn difference(&self, memory: &[u8], image: &[u8]) -> Option<usize> {
        if memory.len() != image.len() {
            return Some(memory.len().min(image.len()));
        }
        let pages = memory.chunks(PAGE).zip(image.chunks(PAGE)).enumerate();
        pages.filter(|(page, (now, was))| now != &self.page(*page).unwrap_or(was)).map(|(page, _)| page * PAGE).next()
    }

    fn page(&self, page: usize) -> Option<&[u8]> {
        let place = self.places.get(page).copied().unwrap_or(0).checked_sub(1)? as usize;
        Some(&self.bytes[place * PAGE..(place + 1) * PAGE])
    }
}
