//! Components, as bytes and as text, through the flattener.

#![no_main]

use tina_sandbox_fuzz::properties::flatten;

libfuzzer_sys::fuzz_target!(|data: &[u8]| flatten::hold(data));

// A text becomes bytes now and then: changes to bytes reach what those to text do not, and the other way round.
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let binary = if seed.is_multiple_of(4) { flatten::binary(&data[..size], max_size) } else { None };
    if let Some(binary) = &binary {
        data[..binary.len()].copy_from_slice(binary);
    }
    libfuzzer_sys::fuzzer_mutate(data, binary.map_or(size, |binary| binary.len()), max_size)
});
