//! From a running producer to the files of a run's directory.
//!
//! Everything appended goes to the journal at once; the end writes the other files under temporary names, renames them
//! and removes the journal, so that a directory always holds a whole record or a readable journal.

pub(crate) mod counts;
mod csv_tables;
pub(crate) mod document;
mod hdr_log;
mod sections;
mod spill;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use scenarios::Scenario;

use crate::agents::Agent;
use crate::error::Error;
use crate::evidence::Evidence;
use crate::facts::ScenarioFacts;
use crate::frame::Frame;
use crate::journal::Journal;
use crate::outcome::World;
use crate::pool::Pool;
use crate::provenance::Provenance;
use crate::record::{RunRecord, Status, Validity};
use crate::recorder::Delta;
use crate::replications::Replications;
use crate::sample::Sample;
use crate::segments::Segment;
use spill::Spill;

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
    pool: Pool,
    spill: Spill,
    scaled: Option<Replications>,
    evidence: Evidence,
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
        let pool = Pool::new(&frame);
        Ok(Self {
            directory: directory.to_owned(),
            journal,
            world,
            scenario,
            frame,
            pool,
            spill: Spill::new(directory),
            scaled: None,
            evidence: Evidence::default(),
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
        self.journal.append(&self.scenario, delta, samples, false, self.started.elapsed())?;
        self.pool.add(delta, samples);
        // A simulation has what it counts in memory anyway.
        match self.world {
            World::Loadgen => self.spill.look(self.pool.tallies_mut(), &self.frame, &self.scenario.classes),
            World::Sim => Ok(()),
        }
    }

    /// Adds a whole run of the scenario with another seed: the record then pools replications. Either all that a record
    /// holds are replications, or none is.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub fn append_replication(&mut self, delta: &Delta, samples: &[Sample]) -> Result<(), Error> {
        self.journal.append(&self.scenario, delta, samples, true, self.started.elapsed())?;
        self.pool.add_replication(&self.scenario, &self.frame, delta, samples);
        Ok(())
    }

    /// The replications that were appended so far.
    pub fn replications(&self) -> Option<&Replications> {
        self.pool.replications()
    }

    /// Says why there are no more replications.
    pub fn stopped(&mut self, reason: String) {
        self.pool.stopped = Some(reason);
    }

    /// Puts replications of the scenario at a reduced scale beside the run.
    pub fn beside(&mut self, replications: Replications) {
        self.scaled = Some(replications);
    }

    /// The record of what there is so far, judged as that of a run which ends now; what was observed of components is left
    /// out, and what was due in intervals that are long over; windows have it.
    pub fn so_far(&self) -> RunRecord {
        let (scenario, frame) = (self.scenario.clone(), self.frame.clone());
        let (tallies, provenance) = (self.pool.tallies().clone(), self.provenance.clone());
        let record = RunRecord::new(self.world, scenario, frame, tallies, Vec::new(), provenance);
        record.judged(Status::Interrupted, Validity::default())
    }

    /// Says who played the run: the segments that the record holds of it, and how each of their machines did.
    pub fn played_by(&mut self, segments: Vec<Segment>, agents: Vec<Agent>) {
        (self.provenance.segments, self.provenance.agents) = (segments, agents);
    }

    /// Adds what the producer says of its own run. A law that does not hold makes the run invalid.
    pub fn add_evidence(&mut self, evidence: Evidence) {
        self.evidence.extend(evidence);
    }

    /// Ends the record: judges the thresholds, writes all files, removes the journal.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn finish(mut self, status: Status, mut validity: Validity) -> Result<RunRecord, Error> {
        self.provenance.took = self.started.elapsed();
        validity.reasons.extend(self.evidence.violations());
        self.spill.restore(self.pool.tallies_mut(), &self.frame, &self.scenario.classes)?;
        let mut record = self.pool.into_record(self.world, self.scenario, self.frame, self.provenance);
        record.scaled_replications = self.scaled;
        record.evidence = self.evidence;
        let record = record.judged(status, validity);
        write_files(&self.directory, &record)?;
        let journal = self.directory.join(JOURNAL);
        fs::remove_file(&journal).map_err(|source| Error::Write { path: journal, source })?;
        Ok(record)
    }
}

/// Writes the files of a record that was made from others into a directory, which is made where it is missing.
///
/// # Errors
/// If the directory holds a record or a journal already, or a file cannot be written.
pub fn write(directory: &Path, record: &RunRecord) -> Result<(), Error> {
    let failed = |source| Error::Write { path: directory.to_owned(), source };
    fs::create_dir_all(directory).map_err(failed)?;
    if [RECORD, JOURNAL].iter().any(|name| directory.join(name).exists()) {
        return Err(failed(io::ErrorKind::AlreadyExists.into()));
    }
    write_file(&directory.join(SCENARIO), |to| to.write_all(record.scenario.text.as_bytes()))?;
    write_files(directory, record)
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
