//! The pages that an instance has written, and their way back.
//!
//! The kernel's walk over 50 MB takes as long as a small program. But a page becomes private by a fault of the thread that writes to it, and
//! the kernel counts each thread's faults: where the count has not moved, the answer has not either. Once an instance has run some programs,
//! the next seldom writes where none of them did.
//!
//! And no fault makes more than one page private. So the parts of the memory where most new pages were found are asked about first, and the
//! walk ends as soon as there are as many new pages as there were faults.
//!
//! Every private page is compared at every reset, so one that is seldom written is given back to the file: its next write is a fault again.

use std::io;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

use super::{PAGE, Scanner, Snapshot, scan};

/// After so many resets without a difference a page is given back.
const PATIENCE: u8 = 60;
/// Bytes of a part that the kernel is asked about at once.
const PART: usize = 1 << 20;

/// The pages that an instance has written so far.
#[derive(Debug, Default)]
pub(crate) struct Written {
    parts: Vec<Part>,
    /// Numbers of the parts, those with the most news first.
    order: Vec<usize>,
    faults: u64,
    /// Of each page, how many resets have found it as the image has it since one has not.
    quiet: Vec<u8>,
    /// Since pages were last given back.
    resets: u32,
}

/// One of the parts that the memory is asked about in.
#[derive(Debug, Default)]
struct Part {
    /// In whole pages of the memory, and in order.
    private: Vec<Range<usize>>,
    /// New pages found here so far.
    news: usize,
}

impl Part {
    fn bytes(&self) -> usize {
        self.private.iter().map(Range::len).sum()
    }
}

impl Written {
    /// Before this thread runs the instance.
    pub fn watch(&mut self) -> io::Result<()> {
        self.faults = scan::faults()?;
        Ok(())
    }

    /// After this thread has run it: `memory` is the instance's.
    pub fn update(&mut self, memory: &[u8], scanner: &mut Scanner) -> io::Result<()> {
        let mut unexplained = usize::try_from(scan::faults()? - self.faults).unwrap_or(usize::MAX);
        if unexplained == 0 {
            return Ok(());
        }
        if self.parts.is_empty() {
            let parts = memory.len().div_ceil(PART);
            self.parts.resize_with(parts, Part::default);
            self.order.extend(0..parts);
            // Of what was before, nothing is known.
            unexplained = usize::MAX;
        }
        for &number in &self.order {
            let part = &mut self.parts[number];
            let before = part.bytes();
            scanner.dirty(memory, number * PART..memory.len().min((number + 1) * PART), &mut part.private)?;
            let new = part.bytes().saturating_sub(before) / PAGE;
            part.news += new;
            unexplained = unexplained.saturating_sub(new);
            if unexplained == 0 {
                break;
            }
        }
        self.order.sort_by_key(|&number| std::cmp::Reverse(self.parts[number].news));
        self.watch()
    }

    /// What the memory holds, as of the last update.
    pub fn snapshot(&self, memory: &[u8], image: &[u8]) -> Snapshot {
        Snapshot::take(memory, self.parts.iter().flat_map(|part| part.private.iter().cloned()), image)
    }

    /// Return the memory, as of the last update, to what a snapshot says, else to what the image does.
    pub fn restore(&mut self, memory: &mut [u8], to: &Snapshot, image: &[u8]) -> io::Result<()> {
        self.quiet.resize(image.len() / PAGE, 0);
        // Only returns to the image count: the calls of one program are much alike, and leave alone what defining the next one writes.
        let own = u8::from(to.is_empty());
        for range in self.parts.iter().flat_map(|part| &part.private) {
            for page in range.start / PAGE..range.end / PAGE {
                let bytes = page * PAGE..(page + 1) * PAGE;
                let was = to.page(page).unwrap_or(&image[bytes.clone()]);
                let now = &mut memory[bytes];
                // Most pages that any program has written, this one has not: comparing takes less than writing them again.
                if now == was {
                    self.quiet[page] = self.quiet[page].saturating_add(own);
                } else {
                    now.copy_from_slice(was);
                    self.quiet[page] = 0;
                }
            }
        }
        self.resets = self.resets.saturating_add(own.into());
        // Not from the middle of a program, whose own state the pages may hold.
        if to.is_empty() && self.resets >= PATIENCE.into() {
            self.resets = 0;
            self.give_back(memory)?;
        }
        Ok(())
    }

    pub fn bytes(&self) -> usize {
        self.parts.iter().map(Part::bytes).sum()
    }

    /// Pages that hold what the file holds, and have for long, need not be private.
    fn give_back(&mut self, memory: &mut [u8]) -> io::Result<()> {
        for part in &mut self.parts {
            let mut kept: Vec<Range<usize>> = Vec::with_capacity(part.private.len());
            for range in &part.private {
                let mut start = range.start;
                while start < range.end {
                    let idle = |at: usize| self.quiet[at / PAGE] >= PATIENCE;
                    let back = idle(start);
                    let end = (start..range.end).step_by(PAGE).find(|&at| idle(at) != back).unwrap_or(range.end);
                    if back {
                        let pages = memory[start..end].as_mut_ptr().cast();
                        // SAFETY: these pages are a private mapping of the image's file, and equal to it: dropping them changes no byte.
                        unsafe { madvise(pages, end - start, Advice::LinuxDontNeed)? };
                        // Reading one is then no fault, and writing to one a single fault.
                        // SAFETY: the pages are mapped as before, and none of them is changed.
                        unsafe { madvise(pages, end - start, Advice::LinuxPopulateRead)? };
                    } else {
                        kept.push(start..end);
                    }
                    start = end;
                }
            }
            part.private = kept;
        }
        Ok(())
    }
}
