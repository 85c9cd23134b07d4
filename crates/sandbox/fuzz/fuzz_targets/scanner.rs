//! Token ids, whole and in pieces.

#![no_main]

use tina_sandbox_fuzz::properties::scanner;

libfuzzer_sys::fuzz_target!(|input: scanner::Input| scanner::hold(&input));
