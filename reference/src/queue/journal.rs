//! What a durable queue writes down, so that its messages outlive its process: one record of 24 bytes for each thing that
//! happens to a message. When most of it is about messages that are gone, it is written anew.
//!
//! The file has no name, so another cannot take its place: what is written anew stands in another part of the same file. The
//! first record says where what counts begins, and the number of that writing, which each of its records carries: so a process
//! that is killed at any moment leaves the one or the other, and what stood there before is never taken for a part of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;

use super::broker::Message;

const RECORD: usize = 24;
/// Kinds of records; what was never written is neither.
const THERE: u8 = 1;
const GONE: u8 = 2;
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
    /// Which writing counts: each has a number of its own, of 16 bits.
    writing: u16,
    /// Where it begins, and its length.
    start: u64,
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
        let (writing, start) = match bytes.first_chunk::<RECORD>() {
            Some(head) => (writing_of(head), word(head, 8)),
            None => {
                file.write_all_at(&head(1, RECORD as u64), 0)?;
                (1, RECORD as u64)
            }
        };
        let records = usize::try_from(start).ok().and_then(|start| bytes.get(start..)).unwrap_or_default();
        let (mut there, mut length) = (BTreeMap::new(), 0);
        // A record that was being written when the process died was not confirmed to anybody.
        for record in records.as_chunks::<RECORD>().0 {
            if record[0] == 0 || writing_of(record) != writing {
                break;
            }
            match decode(record) {
                Entry::There(message) => there.insert(message.serial, message),
                Entry::Gone(message) => there.remove(&message.serial),
            };
            length += RECORD as u64;
        }
        file.set_len(start + length)?;
        Ok((Self { file, writing, start, length, compact: 0 }, there.into_values().collect()))
    }

    /// Writes down what happened. Where that fails, nothing of it stays.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn note(&mut self, entry: Entry) -> io::Result<()> {
        let end = self.start + self.length;
        if let Err(error) = self.file.write_all_at(&encode(self.writing, entry), end) {
            // What comes next is written over it, if it cannot be cut off.
            let _ = self.file.set_len(end);
            return Err(error);
        }
        self.length += RECORD as u64;
        Ok(())
    }

    /// Whether it is time to write it anew.
    pub(super) fn is_long(&self) -> bool {
        self.length > LEAST_LENGTH.max(2 * self.compact)
    }

    /// Writes it anew: these messages are all that there are. Where that fails, what stood there counts.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn rewrite<'a>(&mut self, messages: impl Iterator<Item = &'a Message>) -> io::Result<()> {
        // Where it fails, it is not tried again at each record.
        self.compact = self.length;
        let writing = self.writing.wrapping_add(1);
        let bytes: Vec<u8> = messages.flat_map(|message| encode(writing, Entry::There(*message))).collect();
        let (end, length) = (self.start + self.length, bytes.len() as u64);
        let is_room_before = RECORD as u64 + length <= self.start;
        let start = if is_room_before { RECORD as u64 } else { end };
        let written = self
            .file
            .write_all_at(&bytes, start)
            .and_then(|()| self.file.write_all_at(&head(writing, start), 0));
        if let Err(error) = written {
            let _ = self.file.set_len(end);
            return Err(error);
        }
        (self.writing, self.start, self.length, self.compact) = (writing, start, length, length);
        // What stands after it is of another writing, and only takes room.
        self.file.set_len(start + length)
    }
}

/// The first record: which writing counts, and where it begins.
fn head(writing: u16, start: u64) -> [u8; RECORD] {
    let mut record = [0; RECORD];
    record[2..4].copy_from_slice(&writing.to_le_bytes());
    record[8..16].copy_from_slice(&start.to_le_bytes());
    record
}

fn encode(writing: u16, entry: Entry) -> [u8; RECORD] {
    let (kind, message) = match entry {
        Entry::There(message) => (THERE, message),
        Entry::Gone(message) => (GONE, message),
    };
    let mut record = [0; RECORD];
    record[0] = kind;
    record[2..4].copy_from_slice(&writing.to_le_bytes());
    record[4..8].copy_from_slice(&message.deliveries.to_le_bytes());
    record[8..16].copy_from_slice(&message.serial.to_le_bytes());
    record[16..24].copy_from_slice(&message.id.to_le_bytes());
    record
}

fn writing_of(record: &[u8; RECORD]) -> u16 {
    u16::from_le_bytes([record[2], record[3]])
}

fn word(record: &[u8; RECORD], at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&record[at..at + 8]);
    u64::from_le_bytes(bytes)
}

fn decode(record: &[u8; RECORD]) -> Entry {
    // The upper half of the first word.
    let deliveries = (word(record, 0) >> 32) as u32;
    let message = Message { serial: word(record, 8), id: word(record, 16), deliveries };
    if record[0] == THERE { Entry::There(message) } else { Entry::Gone(message) }
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
        journal.file.write_all_at(&[1; 7], journal.start + journal.length).expect("half a record");
        let (_, there) = Journal::open(again()).expect("a good one");
        assert_eq!(there, expected);
    }

    #[test]
    fn a_process_killed_at_any_step_of_writing_anew_leaves_all_messages() {
        let message = |serial| Message { serial, id: serial * 1000, deliveries: 0 };
        let file = tempfile::tempfile().expect("a file");
        let again = || file.try_clone().expect("the same file");
        let (mut journal, _) = Journal::open(again()).expect("an empty one");
        (0..9).for_each(|serial| journal.note(Entry::There(message(serial))).expect("written"));
        for gone in 0..8 {
            journal.note(Entry::Gone(message(gone))).expect("written");
            let kept: Vec<Message> = (gone + 1..9).map(message).collect();
            let mut before = Vec::new();
            (&file).seek(SeekFrom::Start(0)).expect("the start");
            (&file).read_to_end(&mut before).expect("read");
            journal.rewrite(kept.iter()).expect("written");
            let mut after = before.clone();
            let at = journal.start as usize;
            let anew: Vec<u8> =
                kept.iter().flat_map(|message| encode(journal.writing, Entry::There(*message))).collect();
            after.resize(before.len().max(at + anew.len()), 0);
            let left = |bytes: &[u8]| {
                let copy = tempfile::tempfile().expect("a file");
                copy.write_all_at(bytes, 0).expect("written");
                Journal::open(copy).expect("a good one").1
            };
            for (place, byte) in (at..).zip(&anew) {
                assert_eq!(left(&after), kept, "killed before byte {place}");
                after[place] = *byte;
            }
            after[..RECORD].copy_from_slice(&head(journal.writing, journal.start));
            assert_eq!(left(&after), kept, "killed before the rest was cut off");
            assert_eq!(Journal::open(again()).expect("a good one").1, kept);
        }
        assert_eq!(journal.length, RECORD as u64);
    }

    #[test]
    fn a_record_that_could_not_be_written_leaves_no_trace() {
        let message = |serial| Message { serial, id: serial, deliveries: 0 };
        let file = tempfile::NamedTempFile::new().expect("a file");
        let (mut journal, _) = Journal::open(file.reopen().expect("the file")).expect("an empty one");
        journal.note(Entry::There(message(1))).expect("written");
        let writable = std::mem::replace(&mut journal.file, File::open(file.path()).expect("the file"));
        assert!(journal.note(Entry::There(message(2))).is_err(), "it is open for reading only");
        assert!(journal.rewrite([message(1)].iter()).is_err());
        writable.write_all_at(&[1; 7], journal.start + journal.length).expect("half a record");
        journal.file = writable;
        journal.note(Entry::There(message(3))).expect("written");
        let (_, there) = Journal::open(file.reopen().expect("the file")).expect("a good one");
        assert_eq!(there, [message(1), message(3)]);
    }
}
