//! Scenarios that are compiled in.

use std::path::Path;

/// Whether a file has the name of a scenario: `.toml`, and not `.calibration.toml`, which is what scenarios include.
pub fn is_scenario(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.ends_with(".toml") && !name.ends_with(".calibration.toml")
}

/// The first scenario to run: a small shop whose one node dies in mid-run. Its source is `library/quickstart.toml`.
pub const QUICKSTART: &str = include_str!("../library/quickstart.toml");
