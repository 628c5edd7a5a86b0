//! An agent's part of a run, on a thread of its own: what it records goes to whoever carries words.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use jiff::Timestamp;
use loadgen::gather::Ending;
use loadgen::{Error, Job, run_told};
use results::{Piece, Provenance, RunRecord, World, run_directory};
use tokio::sync::mpsc::UnboundedSender;

use super::allowed::Accepted;
use super::offset::Offset;
use super::words::Word;
use crate::play::TOOL;

/// A part that is being played.
#[derive(Debug)]
pub(super) struct Part {
    thread: JoinHandle<Result<RunRecord, Error>>,
    stop: Arc<AtomicBool>,
    directory: PathBuf,
}

impl Part {
    /// Plays what was accepted from a time of the coordinator's clock on, and tells of every second.
    pub(super) fn start(
        accepted: Accepted,
        (at_nanos, offset): (i64, Offset),
        out: &Path,
        words: UnboundedSender<Word>,
    ) -> Result<Self, Error> {
        let directory = run_directory(out, &accepted.scenario, World::Loadgen)?;
        let stop = Arc::new(AtomicBool::new(false));
        let (own_stop, own_directory) = (Arc::clone(&stop), directory.clone());
        let play = move || play(accepted, (at_nanos, offset), &own_directory, &own_stop, &words);
        let thread = thread::Builder::new().name("part".to_owned()).spawn(play);
        let thread = thread.map_err(|source| Error::Engine { source })?;
        Ok(Self { thread, stop, directory })
    }

    /// Ends it early.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.thread.is_finished()
    }

    /// Where its record is.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// How it ended.
    pub(super) fn end(self) -> Result<Ending, Error> {
        let record = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if record.is_err() {
            // A part that never began leaves an empty directory; another one stays.
            let _ = std::fs::remove_dir(&self.directory);
        }
        record.map(|record| Ending::of(&record))
    }
}

fn play(
    accepted: Accepted,
    (at_nanos, offset): (i64, Offset),
    directory: &Path,
    stop: &AtomicBool,
    words: &UnboundedSender<Word>,
) -> Result<RunRecord, Error> {
    let Accepted { scenario, entries, mut options } = accepted;
    let at = i128::from(at_nanos);
    let start = Timestamp::from_nanosecond(offset.here(at)).unwrap_or(Timestamp::UNIX_EPOCH);
    options.start = Some(start);
    let provenance = Provenance::here(TOOL);
    let job = Job { scenario: &scenario, entries: &entries, options, directory, provenance, stop };
    let classes: Vec<String> = scenario.requests.iter().map(|class| class.name.clone()).collect();
    run_told(
        job,
        &mut |second| {
            let piece = Box::new(Piece::new(second.delta, second.samples, &classes));
            let skew = offset.there(second.zero_of_day_nanos.into()) - at;
            let start_skew_s = skew as f64 / 1e9;
            // Whoever carries words may have given up; then the part is stopped by its flag.
            let _ = words.send(Word::Second { piece, pulse: second.pulse.into(), start_skew_s });
        },
        &mut |_| {},
    )
}
