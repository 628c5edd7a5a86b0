//! See `loadgen::fuzzed::answers`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| loadgen::fuzzed::answers(bytes));
