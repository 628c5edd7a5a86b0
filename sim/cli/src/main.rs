//! The `sim` program.

mod arguments;
mod breaking;
mod calibrate;
mod capacity;
mod changes;
mod compare;
mod executor;
mod plan;
mod replications;
mod run;
mod scorecard;
mod serve;
mod summary;
mod tracing;
mod trials;
mod twin;
mod verify;
mod warmup;
mod whatif;
#[cfg(feature = "nats")]
mod workers;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match arguments::Arguments::parse().carry_out() {
        Ok(code) => ExitCode::from(code),
        Err(problem) => problem.report(),
    }
}
