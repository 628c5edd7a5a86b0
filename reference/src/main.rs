//! The binary `reference`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match reference::process::run_if_child() {
        Some(code) => code,
        None => reference::cli::main(),
    }
}
