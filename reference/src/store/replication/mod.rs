//! Copies of a store, by Redis's protocol (PSYNC): asynchronous, so that writes which a copy has not received are lost with the
//! original.
//!
//! - [`original`]: what a store sends to its copies; [`copy`]: what a copy does with it
//!
//! What is sent is not the commands but their effect, key by key: `SET` with the absolute time of its expiry, or `DEL`. An
//! effect can be applied any number of times, so records can be sent while they change: whatever changes meanwhile is sent
//! once more afterwards, and no moment needs to be frozen. A hash is sent whole.

pub(super) mod copy;
pub(super) mod original;

use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

/// What of the stream is kept for copies that come back (`repl-backlog-size`).
pub(super) const BACKLOG_SIZE: usize = 1 << 20;

/// Where a copy copies from.
#[derive(Debug)]
pub(super) struct Following {
    pub(super) address: SocketAddr,
    pub(super) task: Option<tokio::task::JoinHandle<()>>,
    /// Whether it has all that there was when it began.
    pub(super) is_linked: bool,
}

/// What a store knows of its copies, and of the store that it is a copy of.
#[derive(Debug)]
pub(super) struct Replication {
    /// The name of the history of writes.
    pub(super) id: String,
    /// The history that this one went on with, and up to where.
    pub(super) former: Option<(String, u64)>,
    /// How long the stream is by now.
    pub(super) offset: u64,
    /// The end of the stream; none as long as nobody wanted it.
    backlog: Option<VecDeque<u8>>,
    /// Clients that are copies.
    pub(super) copies: BTreeSet<usize>,
    pub(super) following: Option<Following>,
    /// Whether the records are those of the history, rather than some of those that another store is sending.
    pub(super) is_whole: bool,
    /// How often copies got everything, and how often only what they missed.
    pub(super) full: u64,
    pub(super) partial: u64,
}

/// A name that no other history has.
fn new_id() -> String {
    (0..3_u8).map(|n| format!("{:016x}", RandomState::new().hash_one(n))).collect::<String>()[..40].to_owned()
}

impl Replication {
    pub(super) fn new() -> Self {
        Self {
            id: new_id(),
            former: None,
            offset: 0,
            backlog: None,
            copies: BTreeSet::new(),
            following: None,
            is_whole: true,
            full: 0,
            partial: 0,
        }
    }

    /// From now on the stream is kept.
    pub(super) fn keep(&mut self) {
        self.backlog.get_or_insert_default();
    }

    /// Whether anybody wants the stream.
    pub(super) fn is_kept(&self) -> bool {
        self.backlog.is_some()
    }

    /// Adds to the stream.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.offset += bytes.len() as u64;
        let Some(backlog) = self.backlog.as_mut() else { return };
        backlog.extend(bytes);
        let excess = backlog.len().saturating_sub(BACKLOG_SIZE);
        backlog.drain(..excess);
    }

    /// The stream from an offset on, if it is the same history and all of that is kept.
    pub(super) fn since(&self, id: &str, offset: u64) -> Option<Vec<u8>> {
        let is_same =
            id == self.id || self.former.as_ref().is_some_and(|(former, end)| id == former && offset <= *end);
        let backlog = self.backlog.as_ref().filter(|_| is_same)?;
        let behind = usize::try_from(self.offset.checked_sub(offset)?).ok()?;
        let skipped = backlog.len().checked_sub(behind)?;
        Some(backlog.iter().skip(skipped).copied().collect())
    }

    /// How much a copy knows of the history, if it knows all until then.
    pub(super) fn position(&self) -> Option<u64> {
        self.is_whole.then_some(self.offset)
    }

    /// Ends being a copy: a history of its own begins, in which others find theirs.
    pub(super) fn promote(&mut self) {
        if self.following.take().is_some() {
            let former = (std::mem::replace(&mut self.id, new_id()), self.offset);
            // Nobody can go on with a history of which parts are missing here.
            self.former = Some(former).filter(|_| self.is_whole);
            self.is_whole = true;
        }
    }

    /// Goes on with another's history.
    pub(super) fn adopt(&mut self, id: &str, offset: u64) {
        if self.id != id || self.offset != offset {
            self.backlog = None;
        }
        (self.id, self.former, self.offset) = (id.to_owned(), None, offset);
        self.is_whole = true;
        self.keep();
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_can_be_had_as_far_back_as_it_is_kept() {
        let mut stream = Replication::new();
        stream.push(b"nobody wanted this");
        let start = stream.offset;
        stream.keep();
        stream.push(b"abcdef");
        let id = stream.id.clone();
        assert_eq!(stream.since(&id, start + 2).as_deref(), Some(&b"cdef"[..]));
        assert_eq!(stream.since(&id, start + 6).as_deref(), Some(&b""[..]));
        assert_eq!(stream.since(&id, start + 7), None, "the future");
        assert_eq!(stream.since(&id, start - 1), None, "too long ago");
        assert_eq!(stream.since("another", start + 2), None);
        stream.push(&vec![b'x'; BACKLOG_SIZE]);
        assert_eq!(stream.since(&id, start + 2), None, "forgotten");
        assert_eq!(stream.since(&id, start + 6).map(|bytes| bytes.len()), Some(BACKLOG_SIZE));
    }
}
