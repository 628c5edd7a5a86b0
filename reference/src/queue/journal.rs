//! What a durable queue writes down, so that its messages outlive its process: one record of 24 bytes for each thing that
//! happens to a message. When most of it is about messages that are gone, it is written anew.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

use super::broker::Message;

const RECORD: usize = 24;
/// Written anew no sooner than at this length.
const LEAST_LENGTH: u64 = 1 << 20;

/// What happened to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is there, delivered so often in vain.
    There(Message),
    /// It is gone.
    Gone(Message),
}

/// The file.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    length: u64,
    /// Where it was written anew last.
    compact: u64,
}

impl Journal {
    /// Opens a file, and reads what it says is there: the messages, the oldest first.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn open(mut file: File) -> io::Result<(Self, Vec<Message>)> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        let mut there = BTreeMap::new();
        // A record that was being written when the process died was not confirmed to anybody.
        for record in bytes.chunks_exact(RECORD) {
            match decode(record) {
                Entry::There(message) => there.insert(message.serial, message),
                Entry::Gone(message) => there.remove(&message.serial),
            };
        }
        let length = (bytes.len() / RECORD * RECORD) as u64;
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        Ok((Self { file, length, compact: 0 }, there.into_values().collect()))
    }

    /// Writes down what happened.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn note(&mut self, entry: Entry) -> io::Result<()> {
        self.file.write_all(&encode(entry))?;
        self.length += RECORD as u64;
        Ok(())
    }

    /// Whether it is time to write it anew.
    pub(super) fn is_long(&self) -> bool {
        self.length > LEAST_LENGTH.max(2 * self.compact)
    }

    /// Writes it anew: these messages are all that there are.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn rewrite<'a>(&mut self, messages: impl Iterator<Item = &'a Message>) -> io::Result<()> {
        let bytes: Vec<u8> = messages.flat_map(|message| encode(Entry::There(*message))).collect();
        // What stood before is gone for a moment: a process that dies just then is one whose disk lies.
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&bytes)?;
        (self.length, self.compact) = (bytes.len() as u64, bytes.len() as u64);
        Ok(())
    }
}

fn encode(entry: Entry) -> [u8; RECORD] {
    let (kind, message) = match entry {
        Entry::There(message) => (1, message),
        Entry::Gone(message) => (0, message),
    };
    let mut record = [0; RECORD];
    record[0] = kind;
    record[4..8].copy_from_slice(&message.deliveries.to_le_bytes());
    record[8..16].copy_from_slice(&message.serial.to_le_bytes());
    record[16..24].copy_from_slice(&message.id.to_le_bytes());
    record
}

fn decode(record: &[u8]) -> Entry {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&record[at..at + 8]);
        u64::from_le_bytes(bytes)
    };
    // The upper half of the first word.
    let deliveries = (word(0) >> 32) as u32;
    let message = Message { serial: word(8), id: word(16), deliveries };
    if record[0] == 1 { Entry::There(message) } else { Entry::Gone(message) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_again_in_order_also_after_it_was_written_anew() {
        let message = |serial| Message { serial, id: serial * 1000, deliveries: 0 };
        let file = tempfile::tempfile().expect("a file");
        let again = || file.try_clone().expect("the same file");
        let (mut journal, there) = Journal::open(again()).expect("an empty one");
        assert_eq!(there, []);
        (0..5).for_each(|serial| journal.note(Entry::There(message(serial))).expect("written"));
        journal.note(Entry::Gone(message(1))).expect("written");
        let delivered = Message { deliveries: 3, ..message(2) };
        journal.note(Entry::There(delivered)).expect("written");
        let expected = [message(0), delivered, message(3), message(4)];
        let (mut journal, there) = Journal::open(again()).expect("a good one");
        assert_eq!(there, expected);
        journal.rewrite(there.iter()).expect("written");
        journal.file.write_all(&[1; 7]).expect("half a record");
        let (_, there) = Journal::open(again()).expect("a good one");
        assert_eq!(there, expected);
    }
}
