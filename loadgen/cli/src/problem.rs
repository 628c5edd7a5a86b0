//! What a failed run of the engine means for the program.

use loadgen::Error;
use programs::Problem;

/// A target or a limit is the command's; anything else is not.
pub(crate) fn of_loadgen(error: Error) -> Problem {
    match error {
        Error::Scenario(problems) => problems.into(),
        Error::Target(_)
        | Error::Limit(_)
        | Error::Unreachable { .. }
        | Error::Handshake { .. }
        | Error::Unfit { .. }
        | Error::Addresses { .. }
        | Error::Agent { .. }
        | Error::Threads { .. } => Problem::configuration(error),
        _ => Problem::Failure(error.into()),
    }
}
