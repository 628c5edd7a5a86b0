//! From a running producer to the files of a run's directory.
//!
//! Everything appended goes to the journal at once; the end writes the other files under temporary names, renames them
//! and removes the journal, so that a directory always holds a whole record or a readable journal.

mod csv_tables;
pub(crate) mod document;
mod hdr_log;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use scenarios::Scenario;

use crate::error::Error;
use crate::facts::ScenarioFacts;
use crate::frame::Frame;
use crate::journal::Journal;
use crate::outcome::World;
use crate::provenance::Provenance;
use crate::record::{Gathered, RunRecord, Status, Validity};
use crate::recorder::Delta;
use crate::sample::Sample;
use crate::tally::Tallies;

/// The record.
pub const RECORD: &str = "run.json";
/// What there is of it until the run ends.
pub const JOURNAL: &str = "run.journal";
/// The scenario as it was run.
pub const SCENARIO: &str = "scenario.toml";
/// Latency histograms by class and interval, for HdrHistogram's tools.
pub const HDR_LOG: &str = "latency.hlog";
/// Requests by interval and class.
pub const INTERVALS: &str = "intervals.csv";
/// Components by interval, instance and metric.
pub const COMPONENTS: &str = "components.csv";

/// Writes the record of a run while it goes on.
#[derive(Debug)]
pub struct RunWriter {
    directory: PathBuf,
    journal: Journal,
    world: World,
    scenario: ScenarioFacts,
    frame: Frame,
    tallies: Tallies,
    gathered: Gathered,
    provenance: Provenance,
    started: Instant,
}

impl RunWriter {
    /// Starts a record in a directory, which is made where it is missing.
    ///
    /// # Errors
    /// If the directory or its journal cannot be written.
    pub fn create(
        directory: impl AsRef<Path>,
        scenario: &Scenario,
        world: World,
        provenance: Provenance,
    ) -> Result<Self, Error> {
        let (facts, frame) = (ScenarioFacts::new(scenario), Frame::new(scenario));
        Self::start(directory.as_ref(), facts, frame, world, provenance)
    }

    pub(crate) fn start(
        directory: &Path,
        scenario: ScenarioFacts,
        frame: Frame,
        world: World,
        provenance: Provenance,
    ) -> Result<Self, Error> {
        fs::create_dir_all(directory)
            .map_err(|source| Error::Write { path: directory.to_owned(), source })?;
        write_file(&directory.join(SCENARIO), |to| to.write_all(scenario.text.as_bytes()))?;
        let journal = Journal::create(&directory.join(JOURNAL), world, &scenario, &frame, &provenance)?;
        let tallies = Tallies::new(&frame);
        Ok(Self {
            directory: directory.to_owned(),
            journal,
            world,
            scenario,
            frame,
            tallies,
            gathered: Gathered::default(),
            provenance,
            started: Instant::now(),
        })
    }

    /// The run's directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The run's frame.
    pub fn frame(&self) -> &Frame {
        &self.frame
    }

    /// Adds what was recorded since the last time, and flushes it to the journal.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn append(&mut self, delta: &Delta, samples: &[Sample]) -> Result<(), Error> {
        self.journal.append(&self.scenario, delta, samples, self.started.elapsed())?;
        self.tallies.merge(&delta.tallies);
        for sample in samples {
            self.gathered.add(sample, self.frame.intervals());
        }
        Ok(())
    }

    /// Ends the record: judges the thresholds, writes all files, removes the journal.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn finish(mut self, status: Status, validity: Validity) -> Result<RunRecord, Error> {
        self.provenance.took = self.started.elapsed();
        let series = self.gathered.into_series();
        let record =
            RunRecord::new(self.world, self.scenario, self.frame, self.tallies, series, self.provenance)
                .judged(status, validity);
        write_files(&self.directory, &record)?;
        let journal = self.directory.join(JOURNAL);
        fs::remove_file(&journal).map_err(|source| Error::Write { path: journal, source })?;
        Ok(record)
    }
}

/// Writes the files of a finished record into its directory; the record itself comes last.
pub(crate) fn write_files(directory: &Path, record: &RunRecord) -> Result<(), Error> {
    write_file(&directory.join(HDR_LOG), |to| hdr_log::write(record, to))?;
    write_file(&directory.join(INTERVALS), |to| csv_tables::intervals(record, to))?;
    write_file(&directory.join(COMPONENTS), |to| csv_tables::components(record, to))?;
    write_file(&directory.join(RECORD), |to| document::write(record, to))
}

/// Writes a file under a temporary name and renames it, so that nobody ever sees half of it.
fn write_file(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<()>) -> Result<(), Error> {
    let failed = |source| Error::Write { path: path.to_owned(), source };
    let temporary = {
        let mut name = path.as_os_str().to_owned();
        name.push(".tmp");
        PathBuf::from(name)
    };
    let mut to = BufWriter::new(File::create(&temporary).map_err(failed)?);
    write(&mut to).and_then(|()| to.flush()).map_err(failed)?;
    to.get_ref().sync_all().map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)
}
