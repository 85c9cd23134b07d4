//! Texts as literals.

#![no_main]

use tina_sandbox_fuzz::properties::literals;

libfuzzer_sys::fuzz_target!(|text: &str| literals::hold(text));
