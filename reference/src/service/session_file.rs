//! The sessions that an instance's machine keeps in a file, so that they outlive its process: a record of 16 bytes for each, which says
//! how many began up to it, and its name. Where there is no more room, the oldest one's place is taken.
//!
//! PHP has a file for each session. What is in it is no matter here, and one file is gone with the stack, whatever ends that.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

const RECORD: usize = 16;

/// The file.
#[derive(Debug)]
pub(super) struct SessionFile {
    file: File,
    /// How many began so far.
    count: u64,
    /// How many are kept.
    limit: u64,
}

impl SessionFile {
    /// Opens a file for so many sessions, and reads who is there: their names, the oldest first.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn open(path: &Path, limit: usize) -> io::Result<(Self, Vec<u64>)> {
        let mut file = File::options().read(true).write(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let mut records: Vec<(u64, u64)> =
            bytes.as_chunks::<RECORD>().0.iter().map(|record| (word(record, 0), word(record, 8))).collect();
        // What was never written counts as the none-th.
        records.retain(|(number, _)| *number > 0);
        records.sort_unstable();
        let count = records.last().map_or(0, |(number, _)| *number);
        Ok((Self { file, count, limit: limit as u64 }, records.into_iter().map(|(_, name)| name).collect()))
    }

    /// A session begins.
    ///
    /// # Errors
    /// The kernel's; it is not in the file then.
    pub(super) fn add(&mut self, name: u64) -> io::Result<()> {
        let number = self.count + 1;
        let mut record = [0; RECORD];
        record[..8].copy_from_slice(&number.to_le_bytes());
        record[8..].copy_from_slice(&name.to_le_bytes());
        self.file.write_all_at(&record, self.count % self.limit * RECORD as u64)?;
        self.count = number;
        Ok(())
    }
}

fn word(record: &[u8; RECORD], at: usize) -> u64 {
    u64::from_le_bytes(record[at..at + 8].try_into().expect("a record has two words"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_opened_again_has_the_latest_sessions_in_their_order() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("sessions");
        File::create(&path).expect("a file");
        let open = || SessionFile::open(&path, 4).expect("it opens");
        let (mut file, names) = open();
        assert_eq!(names, [0; 0]);
        for name in [7, 0, 9] {
            file.add(name).expect("written");
        }
        let (mut file, names) = open();
        assert_eq!(names, [7, 0, 9]);
        (10..13).for_each(|name| file.add(name).expect("written"));
        let (file, names) = open();
        assert_eq!((names, file.count), (vec![9, 10, 11, 12], 6));
        // A record that was being written when the process died.
        let whole = std::fs::read(&path).expect("read");
        std::fs::write(&path, &whole[..whole.len() - 3]).expect("cut off");
        assert_eq!(open().1, [9, 11, 12]);
    }
}
