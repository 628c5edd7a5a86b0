//! What ends the program without a run, and the exit code that it has.

use std::io::Write as _;
use std::process::ExitCode;

use scenarios::{Diagnostic, Diagnostics, exit};

/// Why there is no run.
#[derive(Debug)]
pub enum Problem {
    /// The scenario has these problems.
    Scenario(Diagnostics),
    /// The scenario or the command asks for what cannot be.
    Configuration(anyhow::Error),
    /// Something else went wrong.
    Failure(anyhow::Error),
}

impl Problem {
    /// A problem of the scenario or of the command.
    pub fn configuration(error: impl Into<anyhow::Error>) -> Self {
        Self::Configuration(error.into())
    }

    /// Prints the chain of causes.
    pub fn report(&self) -> ExitCode {
        let (code, message) = match self {
            Self::Scenario(problems) => (ExitCode::from(exit::BAD_SCENARIO), problems.to_string()),
            Self::Configuration(error) => (ExitCode::from(exit::BAD_SCENARIO), format!("error: {error:#}")),
            Self::Failure(error) => (ExitCode::from(exit::FAILURE), format!("error: {error:#}")),
        };
        // Nobody is left to tell where standard error is closed as well.
        let _ = writeln!(std::io::stderr(), "{message}");
        code
    }
}

impl From<anyhow::Error> for Problem {
    fn from(error: anyhow::Error) -> Self {
        Self::Failure(error)
    }
}

impl From<std::io::Error> for Problem {
    fn from(error: std::io::Error) -> Self {
        Self::Failure(error.into())
    }
}

impl From<results::Error> for Problem {
    fn from(error: results::Error) -> Self {
        Self::Failure(error.into())
    }
}

impl From<Diagnostics> for Problem {
    fn from(problems: Diagnostics) -> Self {
        Self::Scenario(problems)
    }
}

impl From<Diagnostic> for Problem {
    fn from(problem: Diagnostic) -> Self {
        Self::Scenario(problem.into())
    }
}
