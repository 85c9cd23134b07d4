//! Sources against the policies.

#![no_main]

use tina_sandbox_fuzz::properties::policy;

libfuzzer_sys::fuzz_target!(|data: &[u8]| policy::hold(data));
