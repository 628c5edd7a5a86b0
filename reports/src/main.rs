//! The binary `report`: draws, compares and sums up runs.

mod cli;

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match cli::Arguments::parse().run(&mut std::io::stdout().lock()) {
        Ok(code) => ExitCode::from(code),
        Err(error) if cli::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Where even standard error is gone, nobody can be told.
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::from(scenarios::exit::BAD_SCENARIO)
        }
    }
}
