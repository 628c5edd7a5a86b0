//! What comparisons with real servers share. Cross-crate tests and benches live beside this file.

pub mod innodb;
mod trace;
pub mod varnish;
