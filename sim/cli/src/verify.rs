//! The table of exact and simulated values.

use std::io::{self, Write as _};
use std::sync::Mutex;

use programs::{Problem, Progress};
use sim::verify::{Effort, verify};

use crate::arguments::VerifyArguments;

/// Some row differs: the simulator is wrong.
const EXIT_DIFFERS: u8 = 1;

/// Simulates all systems and prints the table; the exit code.
pub(crate) fn run(arguments: &VerifyArguments) -> Result<u8, Problem> {
    let effort = if arguments.quick { Effort::Quick } else { Effort::Full };
    let threads = match arguments.threads {
        Some(threads) => threads,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let progress = Mutex::new(Progress::new(!arguments.quiet));
    let found = verify(effort, threads, &|done, total| {
        let mut progress = progress.lock().expect("showing progress does not panic");
        progress.show(done as f64 / total as f64, || format!("{done} of {total} replications"));
    });
    let progress = progress.into_inner().expect("showing progress does not panic");
    progress.end();
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "{found}\n{} million requests in {:.1} s on {threads} threads; all intervals hold together with 99%, each \
         with {:.3}%.",
        found.requests / 1_000_000,
        progress.elapsed().as_secs_f64(),
        100.0 * (1.0 - found.significance),
    )?;
    Ok(if found.agrees() { 0 } else { EXIT_DIFFERS })
}
