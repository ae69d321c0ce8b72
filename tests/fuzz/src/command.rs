//! Any bytes into `bivouac::domain::command::fuzz_entry`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bivouac::domain::command::fuzz_entry(data));
