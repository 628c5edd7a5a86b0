//! See `reference::fuzzed::cache_control`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reference::fuzzed::cache_control(bytes));
