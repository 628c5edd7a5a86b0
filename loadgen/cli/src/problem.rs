//! What ends the program without a run, and the exit code that it has.

use std::io::Write as _;
use std::process::ExitCode;

use scenarios::{Diagnostic, Diagnostics};

/// Exit code of a bad scenario or configuration.
const EXIT_CONFIGURATION: u8 = 104;

/// Why there is no run.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The scenario has these problems.
    Scenario(Diagnostics),
    /// The scenario or the command asks for what cannot be.
    Configuration(anyhow::Error),
    /// Something else went wrong.
    Failure(anyhow::Error),
}

impl Problem {
    pub(crate) fn configuration(error: impl Into<anyhow::Error>) -> Self {
        Self::Configuration(error.into())
    }

    /// Prints the chain of causes.
    pub(crate) fn report(&self) -> ExitCode {
        let (code, message) = match self {
            Self::Scenario(problems) => (ExitCode::from(EXIT_CONFIGURATION), problems.to_string()),
            Self::Configuration(error) => (ExitCode::from(EXIT_CONFIGURATION), format!("error: {error:#}")),
            Self::Failure(error) => (ExitCode::FAILURE, format!("error: {error:#}")),
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

impl From<loadgen::Error> for Problem {
    fn from(error: loadgen::Error) -> Self {
        use loadgen::Error;
        match error {
            Error::Target(_) | Error::Limit(_) | Error::Unreachable { .. } | Error::Threads { .. } => {
                Self::configuration(error)
            }
            _ => Self::Failure(error.into()),
        }
    }
}
