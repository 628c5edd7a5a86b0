//! See `reference::fuzzed::framing`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reference::fuzzed::framing(bytes));
