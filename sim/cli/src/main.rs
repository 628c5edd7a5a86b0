//! The `sim` program.

mod arguments;
mod changes;
mod compare;
mod replications;
mod run;
mod scorecard;
mod serve;
mod summary;
mod tracing;
mod verify;
mod warmup;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match arguments::Arguments::parse().carry_out() {
        Ok(code) => ExitCode::from(code),
        Err(problem) => problem.report(),
    }
}
