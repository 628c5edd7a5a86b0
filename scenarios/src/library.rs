//! Scenarios that are compiled in.

/// The first scenario to run: a small shop whose one node dies in mid-run. Its source is `library/quickstart.toml`.
pub const QUICKSTART: &str = include_str!("../library/quickstart.toml");
