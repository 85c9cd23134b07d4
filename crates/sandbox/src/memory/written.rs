//! The pages that an instance has written, and their way back.
//!
//! The kernel's walk over 50 MB takes as long as a small program. But a page becomes private by a fault of the thread that writes to it, and
//! the kernel counts each thread's faults: where the count has not moved, the answer has not either. Once an instance has run some programs,
//! the next seldom writes where none of them did.
//!
//! Every private page is compared at every reset, so one that is seldom written is given back to the file: its next write is a fault again.

use std::io;
use std::ops::Range;

use rustix::mm::{Advice, madvise};

use super::{PAGE, Scanner, Snapshot, scan};

/// After so many resets without a difference a page is given back.
const PATIENCE: u8 = 250;

/// The pages that an instance has written so far.
#[derive(Debug, Default)]
pub(crate) struct Written {
    ranges: Vec<Range<usize>>,
    faults: u64,
    /// Of each page, how many resets have found it as it should be since one has not.
    quiet: Vec<u8>,
    /// Since pages were last given back.
    resets: u32,
}

impl Written {
    /// Before this thread runs the instance.
    pub fn watch(&mut self) -> io::Result<()> {
        self.faults = scan::faults()?;
        Ok(())
    }

    /// After this thread has run it: `memory` is the instance's.
    pub fn update(&mut self, memory: &[u8], scanner: &mut Scanner) -> io::Result<()> {
        if scan::faults()? != self.faults {
            scanner.dirty(memory, &mut self.ranges)?;
            self.watch()?;
        }
        Ok(())
    }

    /// What the memory holds, as of the last update.
    pub fn snapshot(&self, memory: &[u8], image: &[u8]) -> Snapshot {
        Snapshot::take(memory, &self.ranges, image)
    }

    /// Return the memory, as of the last update, to what a snapshot says, else to what the image does.
    pub fn restore(&mut self, memory: &mut [u8], to: &Snapshot, image: &[u8]) -> io::Result<()> {
        self.quiet.resize(image.len() / PAGE, 0);
        for range in &self.ranges {
            for page in range.start / PAGE..range.end / PAGE {
                let bytes = page * PAGE..(page + 1) * PAGE;
                let was = to.page(page).unwrap_or(&image[bytes.clone()]);
                let now = &mut memory[bytes];
                // Most pages that any program has written, this one has not: comparing takes less than writing them again.
                if now == was {
                    self.quiet[page] = self.quiet[page].saturating_add(1);
                } else {
                    now.copy_from_slice(was);
                    self.quiet[page] = 0;
                }
            }
        }
        self.resets = self.resets.saturating_add(1);
        // Not from the middle of a program, whose own state the pages may hold.
        if to.is_empty() && self.resets >= PATIENCE.into() {
            self.resets = 0;
            self.give_back(memory)?;
        }
        Ok(())
    }

    pub fn bytes(&self) -> usize {
        self.ranges.iter().map(Range::len).sum()
    }

    /// Pages that hold what the file holds, and have for long, need not be private.
    fn give_back(&mut self, memory: &mut [u8]) -> io::Result<()> {
        let mut kept: Vec<Range<usize>> = Vec::with_capacity(self.ranges.len());
        for range in &self.ranges {
            let mut start = range.start;
            while start < range.end {
                let idle = |at: usize| self.quiet[at / PAGE] >= PATIENCE;
                let back = idle(start);
                let end = (start..range.end).step_by(PAGE).find(|&at| idle(at) != back).unwrap_or(range.end);
                if back {
                    // SAFETY: these pages are a private mapping of the image's file, and equal to it: dropping them changes no byte.
                    unsafe { madvise(memory[start..end].as_mut_ptr().cast(), end - start, Advice::LinuxDontNeed)? };
                } else {
                    kept.push(start..end);
                }
                start = end;
            }
        }
        self.ranges = kept;
        Ok(())
    }
}
