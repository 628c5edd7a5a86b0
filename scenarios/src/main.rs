//! The `scenario` program.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(cli::Arguments::parse(), &mut std::io::stdout().lock()) {
        Ok(code) => code,
        Err(error) => {
            // Nobody is left to tell where standard error is closed as well.
            let _ =
                std::io::Write::write_all(&mut std::io::stderr(), format!("error: {error:#}\n").as_bytes());
            ExitCode::FAILURE
        }
    }
}
