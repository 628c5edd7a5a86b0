//! What this machine can do as a generator, for people.

use std::io::{self, Write as _};

use programs::Problem;

use crate::problem;

/// Looks, and prints; the exit code.
pub(crate) fn examine() -> Result<u8, Problem> {
    let findings = loadgen::doctor::examine(&std::env::temp_dir()).map_err(problem::of_loadgen)?;
    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{}  {}", if finding.good { "good" } else { "    " }, finding.what)?;
        if let Some(hint) = &finding.hint {
            writeln!(out, "      hint: {hint}")?;
        }
    }
    Ok(scenarios::exit::GOOD)
}
