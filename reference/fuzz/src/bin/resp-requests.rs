//! See `reference::fuzzed::resp_requests`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| reference::fuzzed::resp_requests(bytes));
