//! Cross-crate tests and benches live beside this file.
