//! The reader of what comes from outside, for the fuzz target: it does not panic, whatever the bytes.

/// Answers of a server, judged.
pub fn answers(bytes: &[u8]) {
    crate::http::fuzzed::answers(bytes);
}
