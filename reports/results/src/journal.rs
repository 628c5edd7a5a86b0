//! The journal: what a run has recorded so far, as JSON lines, so that a killed run leaves what it had.
//!
//! The first line says what is run; each other line what was recorded since the one before. A line counts only if it is
//! whole: the last one may have been cut off.

use std::fs::File;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::facts::ScenarioFacts;
use crate::frame::Frame;
use crate::outcome::World;
use crate::pool::Pool;
use crate::provenance::Provenance;
use crate::record::{RunRecord, Status, Validity};
use crate::recorder::Delta;
use crate::sample::Sample;
use crate::wire::duration;
use crate::writer::counts::TalliesDocument;
use crate::writer::document::{self, FrameDocument};

/// What the file calls itself.
pub(crate) const FORMAT: &str = "rehearsal run journal";
/// The version that is written and read.
const VERSION: u64 = 3;

#[derive(Serialize, Deserialize)]
struct Header {
    format: String,
    version: u64,
    world: World,
    scenario: ScenarioFacts,
    frame: FrameDocument,
    provenance: Provenance,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(rename = "elapsed_s", with = "duration")]
    elapsed: Duration,
    /// Whether it is a whole replication, rather than a piece of the run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    replication: bool,
    counts: TalliesDocument,
    samples: Vec<Sample>,
}

/// A journal being written.
#[derive(Debug)]
pub(crate) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    pub(crate) fn create(
        path: &Path,
        world: World,
        scenario: &ScenarioFacts,
        frame: &Frame,
        provenance: &Provenance,
    ) -> Result<Self, Error> {
        let file = File::create(path).map_err(|source| Error::Write { path: path.to_owned(), source })?;
        let mut journal = Self { path: path.to_owned(), file };
        journal.line(&Header {
            format: FORMAT.to_owned(),
            version: VERSION,
            world,
            scenario: scenario.clone(),
            frame: frame.into(),
            provenance: provenance.clone(),
        })?;
        Ok(journal)
    }

    pub(crate) fn append(
        &mut self,
        scenario: &ScenarioFacts,
        delta: &Delta,
        samples: &[Sample],
        replication: bool,
        elapsed: Duration,
    ) -> Result<(), Error> {
        let counts = TalliesDocument::new(&delta.tallies, &scenario.classes);
        self.line(&Line { elapsed, replication, counts, samples: samples.to_vec() })
    }

    /// Writes a line with one call, so that only the last can be incomplete.
    fn line(&mut self, line: &impl Serialize) -> Result<(), Error> {
        let failed = |source| Error::Write { path: self.path.clone(), source };
        let mut bytes = serde_json::to_vec(line).map_err(|e| failed(e.into()))?;
        bytes.push(b'\n');
        self.file.write_all(&bytes).and_then(|()| self.file.flush()).map_err(failed)
    }
}

/// Reads the record of a run that did not come to its end: the first line, and the others one by one, since a long run's are
/// more than fit into memory.
pub(crate) fn read(path: &Path, first: &str, mut lines: impl BufRead) -> Result<RunRecord, Error> {
    let malformed =
        |line: usize, problem| Error::Malformed { path: path.to_owned(), line: line + 1, problem };
    let first = if first.ends_with('\n') { first } else { "" };
    document::check(path, first, FORMAT, VERSION)?;
    let header: Header = serde_json::from_str(first).map_err(|e| malformed(0, e.to_string()))?;
    let (scenario, mut provenance) = (header.scenario, header.provenance);
    let frame = header.frame.into_frame(&scenario).map_err(|p| malformed(0, p))?;
    scenario.check().map_err(|p| malformed(0, p))?;
    let mut pool = Pool::new(&frame);
    let mut text = Vec::new();
    for i in 1.. {
        text.clear();
        let read = lines.read_until(b'\n', &mut text);
        read.map_err(|source| Error::Read { path: path.to_owned(), source })?;
        if !text.ends_with(b"\n") {
            break;
        }
        let line: Line = serde_json::from_slice(&text).map_err(|e| malformed(i, e.to_string()))?;
        let tallies = line.counts.into_tallies(&frame, &scenario.classes).map_err(|p| malformed(i, p))?;
        // The seconds around faults are not journalled: a run that was killed knows no recoveries.
        let delta = Delta { tallies, slots: Vec::new() };
        if line.replication {
            pool.add_replication(&scenario, &frame, &delta, &line.samples);
        } else {
            pool.add(&delta, &line.samples);
        }
        provenance.took = line.elapsed;
    }
    let record = pool.into_record(header.world, scenario, frame, provenance);
    Ok(record.judged(Status::Killed, Validity::default()))
}
