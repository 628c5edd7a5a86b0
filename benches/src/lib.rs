//! What comparisons share, with real servers and of one mode with another. Cross-crate tests and benches live beside this file.

pub mod innodb;
pub mod programs;
pub mod sampling;
mod trace;
pub mod varnish;
