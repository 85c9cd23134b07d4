//! Whatever a guest answers is read or refused, and a value that was read is one that a literal spells.

use super::literals::spelled;
use crate::wire::{End, read};

/// The default of `Limits::output_bytes`.
const OUTPUT_BYTES: usize = 64 << 10;

/// An answer, under two limits.
pub fn hold(answer: &[u8]) {
    if let Ok((End::Value(value), _)) = read(answer, OUTPUT_BYTES) {
        spelled(&value);
    }
    if let Ok((End::Value(_), _)) = read(answer, 1) {
        let printed = u32::from_le_bytes([answer[1], answer[2], answer[3], answer[4]]) as usize;
        assert!(answer.len() - 5 - printed < 32, "a value was read that cannot be as short as allowed");
    }
}
