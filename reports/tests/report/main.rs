//! What readers see of runs.

mod browser;
mod chromium;
mod compare;
mod gate;
mod loads;
mod page;
mod palette;
#[cfg(feature = "png")]
mod pictures;
mod serve;
mod served;
#[path = "../../results/tests/record/synthetic.rs"]
mod synthetic;
mod terminal;
mod twin;

use results::RunRecord;
use synthetic::Play;

/// The record of a made-up run.
fn run(text: &str, play: Play) -> RunRecord {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    synthetic::record(directory.path(), &synthetic::scenario(text), play)
}
