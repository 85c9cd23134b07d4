//! The two guest images that `build.rs` packed into the library.

use std::io::Read;

use sha2::{Digest, Sha256};

use crate::Error;

struct Packed {
    bytes: usize,
    digest: &'static str,
}

static PACKED: [Packed; 2] = include!(concat!(env!("OUT_DIR"), "/images.rs"));
static STREAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/images.zst"));
/// As in `build.rs`: a window over both images.
const WINDOW_LOG: u32 = 26;

/// One of the two interpreters. They differ in hash seed and addresses, in nothing that a deterministic program can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Image {
    /// Runs every program.
    First,
    /// Runs a program again, when it is checked.
    Second,
}

impl Image {
    /// Hexadecimal SHA-256: fuel and hash order belong to it.
    pub fn digest(self) -> &'static str {
        PACKED[self as usize].digest
    }

    /// Size of the WebAssembly component.
    pub fn bytes(self) -> usize {
        PACKED[self as usize].bytes
    }

    pub(crate) fn unpack(self) -> Result<Vec<u8>, Error> {
        let damaged = |error: std::io::Error| Error::Image(error.to_string());
        let mut stream = zstd::Decoder::new(STREAM).map_err(damaged)?;
        stream.window_log_max(WINDOW_LOG).map_err(damaged)?;
        let mut image = Vec::new();
        for packed in &PACKED[..=self as usize] {
            image.clear();
            stream.by_ref().take(packed.bytes as u64).read_to_end(&mut image).map_err(damaged)?;
        }
        if hex(&Sha256::digest(&image)) == self.digest() { Ok(image) } else { Err(Error::Image("its digest is wrong".to_owned())) }
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
