//! What ends the program without a run, and the exit code that it has.

use std::io::Write as _;
use std::process::ExitCode;

/// Exit code of a bad scenario or configuration.
const EXIT_CONFIGURATION: u8 = 104;

/// Why there is no run.
#[derive(Debug)]
pub(crate) enum Problem {
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
        let (code, error) = match self {
            Self::Configuration(error) => (ExitCode::from(EXIT_CONFIGURATION), error),
            Self::Failure(error) => (ExitCode::FAILURE, error),
        };
        // Nobody is left to tell where standard error is closed as well.
        let _ = writeln!(std::io::stderr(), "error: {error:#}");
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

impl From<scenarios::Diagnostics> for Problem {
    fn from(error: scenarios::Diagnostics) -> Self {
        Self::configuration(error)
    }
}

impl From<scenarios::Diagnostic> for Problem {
    fn from(error: scenarios::Diagnostic) -> Self {
        Self::configuration(error)
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
