//! See `reference::fuzzed::esi`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reference::fuzzed::esi(bytes));
