//! The `sim` program.

mod arguments;
mod replications;
mod run;
mod summary;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match arguments::Arguments::parse().carry_out() {
        Ok(code) => ExitCode::from(code),
        Err(problem) => problem.report(),
    }
}
