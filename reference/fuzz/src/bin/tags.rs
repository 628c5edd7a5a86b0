//! See `reference::fuzzed::tags`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reference::fuzzed::tags(bytes));
