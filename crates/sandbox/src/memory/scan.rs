//! Which pages of a private mapping have been written: asked of the kernel (`PAGEMAP_SCAN`, Linux 6.7).

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, ioctl, opcode};

/// A page of the file itself: read, or never touched.
const FILE: u64 = 1 << 2;
const PRESENT: u64 = 1 << 3;
/// A written page may be in swap.
const SWAPPED: u64 = 1 << 4;
/// A page of zeros that was only read.
const ZERO: u64 = 1 << 5;
const PAGEMAP_SCAN: Opcode = opcode::read_write::<Request>(b'f', 16);
/// Ranges that one request can answer; more take another.
const ROOM: usize = 1024;

/// `struct pm_scan_arg` of linux/fs.h.
#[repr(C)]
struct Request {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    answer: u64,
    answer_room: u64,
    most_pages: u64,
    inverted: u64,
    all_of: u64,
    any_of: u64,
    returned: u64,
}

/// `struct page_region` of linux/fs.h.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Found {
    start: u64,
    end: u64,
    categories: u64,
}

/// Page faults of this thread since it began.
#[cfg(not(target_os = "linux"))]
pub(super) fn faults() -> io::Result<u64> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Page faults of this thread since it began.
#[cfg(target_os = "linux")]
pub(super) fn faults() -> io::Result<u64> {
    // SAFETY: a structure of numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills in the structure.
    if unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(usage.ru_minflt.cast_unsigned() + usage.ru_majflt.cast_unsigned())
}

/// Asks the kernel. Belongs to one worker: it keeps its buffers.
pub(crate) struct Scanner {
    pagemap: File,
    found: Vec<Found>,
}

impl Scanner {
    /// Fails where the kernel does not know the question.
    pub fn new() -> io::Result<Self> {
        let mut scanner = Self { pagemap: File::open("/proc/self/pagemap")?, found: vec![Found::default(); ROOM] };
        let probe = [0_u8; 1];
        scanner.ask(probe.as_ptr() as u64 / super::PAGE as u64 * super::PAGE as u64, super::PAGE as u64)?;
        Ok(scanner)
    }

    /// Ranges within a part of `memory`, in whole pages and in order, that are no longer the file's.
    pub(super) fn dirty(&mut self, memory: &[u8], part: Range<usize>, ranges: &mut Vec<Range<usize>>) -> io::Result<()> {
        let base = memory.as_ptr() as u64;
        let (mut start, end) = (base + part.start as u64, base + part.end as u64);
        ranges.clear();
        while start < end {
            let (count, walked) = self.ask(start, end - start)?;
            ranges.extend(self.found[..count].iter().map(|found| (found.start - base) as usize..(found.end - base) as usize));
            if walked <= start {
                return Err(io::Error::other("the kernel's walk of the pages does not end"));
            }
            start = walked;
        }
        Ok(())
    }

    fn ask(&mut self, start: u64, bytes: u64) -> io::Result<(usize, u64)> {
        let mut request = Request {
            size: size_of::<Request>() as u64,
            flags: 0,
            start,
            end: start + bytes,
            walk_end: 0,
            answer: self.found.as_mut_ptr() as u64,
            answer_room: self.found.len() as u64,
            most_pages: 0,
            inverted: FILE | ZERO,
            all_of: FILE | ZERO,
            any_of: PRESENT | SWAPPED,
            returned: 0,
        };
        // SAFETY: the kernel reads the request, and writes to it and to the room that it names.
        let count = unsafe { ioctl(&self.pagemap, Ask(&mut request))? };
        Ok((count, request.walk_end))
    }
}

struct Ask<'a>(&'a mut Request);

// SAFETY: this is the structure that belongs to the request's number; the answer is a count of ranges.
unsafe impl Ioctl for Ask<'_> {
    type Output = usize;

    const IS_MUTATING: bool = true;

    fn opcode(&self) -> Opcode {
        PAGEMAP_SCAN
    }

    fn as_ptr(&mut self) -> *mut c_void {
        std::ptr::from_mut(self.0).cast()
    }

    unsafe fn output_from_ptr(count: IoctlOutput, _request: *mut c_void) -> rustix::io::Result<usize> {
        usize::try_from(count).map_err(|_| rustix::io::Errno::INVAL)
    }
}
