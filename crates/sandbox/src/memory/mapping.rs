//! Mappings of an image: one to read from, and a private one for each instance.

use std::cell::RefCell;
use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::ptr::{NonNull, null_mut};
use std::sync::Arc;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};
use wasmtime::{LinearMemory, MemoryCreator, MemoryType};

/// The memory that interpreters start from: a file that nobody writes any more.
#[derive(Debug)]
pub(crate) struct Image {
    file: File,
    pages: Region,
}

impl Image {
    /// Map a file.
    pub fn open(file: File) -> io::Result<Self> {
        let bytes = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { mmap(null_mut(), bytes, ProtFlags::READ, MapFlags::PRIVATE, &file, 0)? };
        Ok(Self { pages: Region::of(start, bytes)?, file })
    }

    /// What the memory holds.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: mapped to read as long as `self` lives; the file is written before its name is known, and never again.
        unsafe { std::slice::from_raw_parts(self.pages.start.as_ptr().cast(), self.pages.bytes) }
    }
}

/// Some mapped addresses, which end with this.
#[derive(Debug)]
struct Region {
    start: NonNull<c_void>,
    bytes: usize,
}

// SAFETY: an address range is no more bound to a thread than a number is; who may touch what it holds is settled where it is used.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    fn of(start: *mut c_void, bytes: usize) -> io::Result<Self> {
        NonNull::new(start).map(|start| Self { start, bytes }).ok_or_else(|| io::Error::other("mapped at no address"))
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: the range is ours, and whoever borrowed from it is gone.
        let unmapped = unsafe { munmap(self.start.as_ptr(), self.bytes) };
        debug_assert!(unmapped.is_ok());
    }
}

thread_local! {
    /// What the instance that this thread is making starts from. The engine asks for memory, but cannot say for whom.
    static NEXT: RefCell<Option<Arc<Image>>> = const { RefCell::new(None) };
}

/// Make an instance whose memory starts from `image`.
pub(crate) fn starting_from<T>(image: &Arc<Image>, make: impl FnOnce() -> T) -> T {
    NEXT.set(Some(Arc::clone(image)));
    let made = make();
    NEXT.set(None);
    made
}

/// Gives each instance its own private mapping of an image.
#[derive(Debug)]
pub(crate) struct Maps;

// SAFETY: as `LinearMemory` below.
unsafe impl MemoryCreator for Maps {
    fn new_memory(
        &self,
        _kind: MemoryType,
        _minimum: usize,
        _maximum: Option<usize>,
        reserved: Option<usize>,
        guard: usize,
    ) -> Result<Box<dyn LinearMemory>, String> {
        // The size that counts is the image's: it may have grown beyond the module's minimum when it was made.
        let reserved = reserved.ok_or("the engine reserves no addresses for memory")?;
        let image = NEXT.take().ok_or("an instance is made from no image")?;
        Private::map(image, reserved, guard).map(|memory| Box::new(memory) as Box<dyn LinearMemory>).map_err(|error| error.to_string())
    }
}

/// An instance's memory: the image's pages until it writes to them.
struct Private {
    region: Region,
    accessible: usize,
    reserved: usize,
    _image: Arc<Image>,
}

impl Private {
    fn map(image: Arc<Image>, reserved: usize, guard: usize) -> io::Result<Self> {
        let bytes = image.pages.bytes;
        if bytes == 0 || !bytes.is_multiple_of(super::PAGE) || bytes > reserved {
            return Err(io::Error::other(format!("an image of {bytes} bytes is not one of the engine's memories")));
        }
        // SAFETY: a new mapping at an address of the kernel's choice; without access, so that what is not mapped below traps.
        let start = unsafe { mmap_anonymous(null_mut(), reserved + guard, ProtFlags::empty(), MapFlags::PRIVATE | MapFlags::NORESERVE)? };
        let region = Region::of(start, reserved + guard)?;
        // SAFETY: within the region that was just made.
        unsafe { mmap(start, bytes, ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::FIXED, &image.file, 0)? };
        Ok(Self { region, accessible: bytes, reserved, _image: image })
    }
}

// SAFETY: the region is reserved as asked, its guard stays without access, and it never moves.
unsafe impl LinearMemory for Private {
    fn byte_size(&self) -> usize {
        self.accessible
    }

    fn byte_capacity(&self) -> usize {
        self.reserved
    }

    fn grow_to(&mut self, bytes: usize) -> wasmtime::Result<()> {
        if bytes > self.reserved {
            wasmtime::bail!("{bytes} bytes of memory are more than the engine has reserved");
        }
        if bytes > self.accessible {
            // SAFETY: within the region, beyond what is accessible so far.
            unsafe {
                let end = self.region.start.as_ptr().byte_add(self.accessible);
                mprotect(end, bytes - self.accessible, MprotectFlags::READ | MprotectFlags::WRITE)?;
            }
            self.accessible = bytes;
        }
        Ok(())
    }

    fn as_ptr(&self) -> *mut u8 {
        self.region.start.as_ptr().cast()
    }
}
