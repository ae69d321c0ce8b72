//! Any bytes into `bivouac::render::fuzz_entry::preview_file`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bivouac::render::fuzz_entry::preview_file(data));
