//! See `reference::fuzzed::resp_replies`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reference::fuzzed::resp_replies(bytes));
