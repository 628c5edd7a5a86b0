//! The `loadgen` program.

mod arguments;
mod capacity;
mod doctor;
mod measure;
mod metrics;
mod play;
mod prepare;
mod problem;
mod progress;
mod stack;
mod summary;
#[cfg(feature = "nats")]
mod together;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    // The reference stack's processes are this very program, started again.
    if let Some(code) = reference::process::run_if_child() {
        return code;
    }
    match arguments::Arguments::parse().carry_out() {
        Ok(code) => ExitCode::from(code),
        Err(problem) => problem.report(),
    }
}
