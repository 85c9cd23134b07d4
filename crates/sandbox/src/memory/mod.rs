//! The memory of an interpreter: a private mapping of its image, and the way back to it.
//!
//! The image is a file. An instance maps it copy-on-write, so starting one copies nothing, pages that are only read are shared by all
//! instances and processes, and what an instance has changed is exactly the set of its private pages: the kernel knows them ([`scan`]).
//! Copying those back from the image, or from a [`Snapshot`] taken on the way, restores the memory to the byte.

#![allow(unsafe_code, reason = "mappings are what this module is for; nothing unsafe leaves it")]

mod mapping;
mod scan;
mod written;

use std::ops::Range;

pub(crate) use mapping::{Image, Maps, starting_from};
pub(crate) use scan::Scanner;
pub(crate) use written::Written;

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
    /// What `memory` holds in the dirty ranges, where that is not what `image` does.
    pub fn take(memory: &[u8], dirty: impl Iterator<Item = Range<usize>>, image: &[u8]) -> Self {
        let mut places = vec![0; memory.len() / PAGE];
        let mut bytes = Vec::new();
        let mut pages = 0;
        for page in dirty.flat_map(|range| range.start / PAGE..range.end / PAGE) {
            let now = &memory[page * PAGE..(page + 1) * PAGE];
            if now != &image[page * PAGE..(page + 1) * PAGE] {
                pages += 1;
                places[page] = pages;
                bytes.extend_from_slice(now);
            }
        }
        Self { places, bytes }
    }

    /// Whether this is the image itself.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
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
