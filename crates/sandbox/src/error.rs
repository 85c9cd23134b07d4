//! The sandbox's own failures. A program that fails is never one of these: it is an [`Outcome`](crate::Outcome).

use std::io;
use std::path::PathBuf;

/// The sandbox itself failed: there is no result, and nothing follows about the program.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Limits under which nothing can run.
    #[error("these limits cannot be used: {0}")]
    Limits(String),
    /// The image that was built into the library does not unpack to what was packed.
    #[error("the guest image built into this library is damaged ({0}): install it again")]
    Image(String),
    /// The folder for machine code cannot be used.
    #[error("the machine-code cache at {} cannot be used: {source}; name another folder with TINA_AZR_CACHE", path.display())]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is nowhere to put the cache.
    #[error("no folder for the machine-code cache: neither TINA_AZR_CACHE nor XDG_CACHE_HOME nor HOME is set")]
    NoCacheFolder,
    /// The WebAssembly engine failed outside a program.
    #[error("the WebAssembly engine failed while {doing}: {message}")]
    Engine {
        /// What was being done.
        doing: &'static str,
        /// The engine's own words.
        message: String,
    },
    /// An instance did not return to where it should start from: nothing that it ran can be trusted.
    #[error(
        "the sandbox's memory differs from its image at address {0:#x} after a reset: please report this; `Way::Fresh` does without resets"
    )]
    Reset(usize),
    /// The kernel was asked which pages were written, and failed.
    #[error("the kernel does not say which pages were written: {0}")]
    Scan(io::Error),
    /// A worker thread could not be started, or panicked.
    #[error("a worker of the sandbox failed: {0}")]
    Worker(String),
}

impl Error {
    pub(crate) fn engine(doing: &'static str) -> impl FnOnce(wasmtime::Error) -> Self {
        move |error| Self::Engine { doing, message: format!("{error:#}") }
    }
}
