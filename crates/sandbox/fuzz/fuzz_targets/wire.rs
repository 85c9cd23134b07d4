//! Bytes as the guest's answer.

#![no_main]

use tina_sandbox_fuzz::properties::wire;

libfuzzer_sys::fuzz_target!(|data: &[u8]| wire::hold(data));
