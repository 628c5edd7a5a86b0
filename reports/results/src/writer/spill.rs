//! Counts of intervals that are long over, on the disk while a run goes on: what it takes of memory does not grow with it.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::frame::Frame;
use crate::tally::Tallies;
use crate::writer::counts::TalliesDocument;

/// So many of the latest intervals stay in memory, since answers to what was due in them may still come.
const KEPT: usize = 64;
/// So many are put away at once.
const AT_ONCE: usize = 16;

/// What was put away, as lines of JSON in a file that has no name, so that nothing of it stays.
#[derive(Debug)]
pub(super) struct Spill {
    path: PathBuf,
    file: Option<File>,
    /// The first interval that was not put away yet.
    next: usize,
}

impl Spill {
    /// Nothing yet; a file is made in the run's directory when it is needed.
    pub(super) fn new(directory: &Path) -> Self {
        Self { path: directory.join("run.spill"), file: None, next: 0 }
    }

    /// Puts away what is long over, if it is enough.
    pub(super) fn look(
        &mut self,
        tallies: &mut Tallies,
        frame: &Frame,
        classes: &[String],
    ) -> Result<(), Error> {
        let until = tallies.newest().saturating_sub(KEPT);
        if until < self.next + AT_ONCE {
            return Ok(());
        }
        self.next = until;
        let old = TalliesDocument::new(&tallies.take_before(until, frame), classes);
        self.append(&old).map_err(|source| Error::Write { path: self.path.clone(), source })
    }

    fn append(&mut self, old: &TalliesDocument) -> io::Result<()> {
        let mut line = serde_json::to_vec(old)?;
        line.push(b'\n');
        if self.file.is_none() {
            let mut options = File::options();
            let file = options.create(true).truncate(true).read(true).write(true).open(&self.path)?;
            fs::remove_file(&self.path)?;
            self.file = Some(file);
        }
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(&line))
    }

    /// Brings all of it back.
    pub(super) fn restore(
        self,
        tallies: &mut Tallies,
        frame: &Frame,
        classes: &[String],
    ) -> Result<(), Error> {
        let Some(mut file) = self.file else { return Ok(()) };
        let path = self.path;
        let failed = |source| Error::Read { path: path.clone(), source };
        file.rewind().map_err(failed)?;
        for line in BufReader::new(file).lines() {
            let line = line.map_err(failed)?;
            let document: TalliesDocument = serde_json::from_str(&line).map_err(|e| failed(e.into()))?;
            let old =
                document.into_tallies(frame, classes).map_err(|problem| failed(io::Error::other(problem)))?;
            tallies.put_back(&old);
        }
        Ok(())
    }
}
