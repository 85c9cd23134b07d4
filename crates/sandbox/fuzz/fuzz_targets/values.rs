//! Values to the wire and back, to text and back.

#![no_main]

use tina_sandbox_fuzz::properties::values;

libfuzzer_sys::fuzz_target!(|value: values::Drawn| values::hold(&value));
