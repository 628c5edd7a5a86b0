//! Records on their way to a file, as they are at one moment (`SAVE`, `BGSAVE`).
//!
//! Redis forks for it; here the loop writes records a few at a time while clients are served, and whatever is about to change
//! is written before it does. A thread of its own takes what is written to the disk: to a file beside the old one, which it
//! replaces when all is there, or into one of two files by turns, so that one of them always has all of a moment.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::thread;

use rustix::io::Errno;
use tokio::sync::Notify;

use super::data::Data;
use super::rdb::{self, crc64};
use super::server::Server;
use crate::emulated::clock::now_nanos;

/// Records written between two looks at anything else.
const RECORDS: u64 = 500;
/// Records written between two pieces where there is nothing else to look at.
const RECORDS_AT_ONCE: u64 = 10_000;
/// What is handed to the thread at once, and how often ahead of the disk.
const PIECE_SIZE: usize = 1 << 20;
const PIECES_AHEAD: usize = 16;
/// After a save that failed the next one by rule is made so much later (`CONFIG_BGSAVE_RETRY_DELAY`).
const RETRY_S: u64 = 5;

/// The records of one moment, as far as they are not written yet.
#[derive(Debug)]
pub(super) struct Moment {
    /// The next record; none left at the largest.
    cursor: u64,
    /// Slots past the cursor that were written before they changed, or were not there at the moment.
    done: HashSet<u32>,
    out: Vec<u8>,
}

impl Data {
    /// From now on records are kept as they are now, until they are written; those that only stand where that is wanted, as
    /// they come first.
    fn begin_moment(&mut self, with_standing: bool) {
        let (done, mut out) = (HashSet::new(), rdb::START.to_vec());
        out.reserve(PIECE_SIZE);
        let cursor = if with_standing { 0 } else { self.place_of(0) };
        self.moment = Some(Box::new(Moment { cursor, done, out }));
    }

    /// Writes some records of the moment.
    fn write_moment(&mut self, count: u64) {
        let Some(mut moment) = self.moment.take() else { return };
        let Moment { cursor, done, out } = &mut *moment;
        let next = self.scan(*cursor, count, |key, slot| {
            if slot.is_none_or(|slot| !done.contains(&slot)) {
                self.write_record(key, slot, out);
            }
        });
        *cursor = if next == 0 { u64::MAX } else { next };
        self.moment = Some(moment);
    }

    /// A record is about to change.
    #[cold]
    pub(super) fn keep_for_moment(&mut self, slot: u32) {
        let Some(mut moment) = self.moment.take() else { return };
        if self.place_of(slot) >= moment.cursor && moment.done.insert(slot) && !self.is_expired(slot) {
            self.write_record(self.key(slot), Some(slot), &mut moment.out);
        }
        self.moment = Some(moment);
    }

    /// One that only stood, at a place of its own, is about to be written.
    #[cold]
    pub(super) fn keep_standing_for_moment(&mut self, key: &[u8], place: u64) {
        let Some(mut moment) = self.moment.take() else { return };
        if place >= moment.cursor {
            self.write_record(key, None, &mut moment.out);
        }
        self.moment = Some(moment);
    }

    /// A record that is new is none of the moment's.
    #[cold]
    pub(super) fn leave_out_of_moment(&mut self, slot: u32) {
        if let Some(moment) = self.moment.as_mut() {
            moment.done.insert(slot);
        }
    }
}

/// What the thread is given.
#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    /// That was all, and this is the end.
    End(Vec<u8>),
}

/// A save under way.
#[derive(Debug)]
struct Writing {
    /// None once all was handed over.
    pieces: Option<SyncSender<Piece>>,
    /// What the thread could not take yet: made once, and offered until it can.
    sealed: Option<Piece>,
    /// The checksum of what was handed over or is sealed.
    crc: u64,
    /// Everything was removed meanwhile: the thread is only waited for, and what it says is nobody's concern.
    is_abandoned: bool,
    outcome: Receiver<io::Result<()>>,
    began_nanos: u64,
    /// Writes by then.
    changes: u64,
}

/// Where the store is saved.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// By this name, which a new file takes from the old one.
    Named(PathBuf),
    /// Into these two by turns: files that are held open for the store and have no names to change. What stands in the store at
    /// each start is left out of them.
    ByTurns([PathBuf; 2]),
}

/// Where and when the store is saved.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// None where the store was given none, and so cannot be saved.
    pub(super) place: Option<Place>,
    /// Whether the scenario says when, beside the rules.
    pub(super) are_scheduled: bool,
    /// When so many seconds have passed and so much was changed since the last time.
    pub(super) rules: Vec<(u64, u64)>,
    /// Whether writes are refused where the last save failed, and there are rules.
    pub(super) stops_writes: bool,
}

impl Files {
    /// The file that has a name.
    pub(super) fn path(&self) -> Option<&Path> {
        match self.place.as_ref()? {
            Place::Named(path) => Some(path),
            Place::ByTurns(_) => None,
        }
    }
}

/// What is known of saves.
#[derive(Debug)]
pub(super) struct Saves {
    pub(super) files: Files,
    /// Which of two files is next: never the one with the last moment that is whole.
    pub(super) turn: usize,
    /// Whether the disk refuses what is to be written to it.
    pub(super) disk_is_full: Arc<AtomicBool>,
    /// Wakes whoever waits for the end of a save.
    pub(super) ended: Rc<Notify>,
    writing: Option<Writing>,
    pub(super) last_unix_s: u64,
    last_try_unix_s: u64,
    pub(super) last_changes: u64,
    pub(super) last_took_s: Option<u64>,
    pub(super) failed: bool,
    pub(super) count: u64,
}

impl Saves {
    pub(super) fn new(now_unix_s: u64) -> Self {
        let files = Files { place: None, are_scheduled: false, rules: Vec::new(), stops_writes: true };
        Self {
            files,
            turn: 0,
            disk_is_full: Arc::default(),
            ended: Rc::default(),
            writing: None,
            last_unix_s: now_unix_s,
            last_try_unix_s: 0,
            last_changes: 0,
            last_took_s: None,
            failed: false,
            count: 0,
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.writing.is_some()
    }

    /// Whether the last save failed that users rely on (`MISCONF`).
    pub(super) fn refuse_writes(&self) -> bool {
        self.failed && self.files.stops_writes && (self.files.are_scheduled || !self.files.rules.is_empty())
    }
}

impl Server {
    /// Whether all is there that is to be saved, and no other save is under way.
    pub(super) fn can_be_saved(&self) -> bool {
        let is_filled = !self.data.is_copy || self.replication.is_whole;
        is_filled && !self.loading.is_on && !self.saves.is_under_way()
    }

    /// Begins to save what there is now.
    pub(super) fn begin_save(&mut self) {
        let (pieces, taken) = sync_channel(PIECES_AHEAD);
        let (done, outcome) = channel();
        let Some(place) = self.saves.files.place.clone() else { return };
        let with_standing = matches!(place, Place::Named(_));
        let (count, turn) = (self.saves.count, self.saves.turn);
        let disk_is_full = Arc::clone(&self.saves.disk_is_full);
        let spawned = thread::Builder::new().name("save".to_owned()).spawn(move || {
            let written = match &place {
                Place::Named(path) => write_beside(&taken, path, count, &disk_is_full),
                Place::ByTurns(files) => write_into(&taken, &files[turn], &disk_is_full),
            };
            // Whoever wanted to know may be gone.
            let _ = done.send(written);
        });
        self.saves.count += 1;
        self.saves.last_try_unix_s = self.data.clock.unix_ms() / 1000;
        if spawned.is_err() {
            self.saves.failed = true;
            return;
        }
        self.data.begin_moment(with_standing);
        self.saves.writing = Some(Writing {
            pieces: Some(pieces),
            sealed: None,
            crc: 0,
            is_abandoned: false,
            outcome,
            began_nanos: now_nanos(),
            changes: self.data.changes(),
        });
    }

    /// Goes on with a save, if one is under way; whether there is more to do at once.
    pub(super) fn go_on_saving(&mut self) -> bool {
        if self.saves.writing.is_none() {
            return false;
        }
        let goes_on = self.hand_over(RECORDS);
        match self.saves.writing.as_ref().map(|writing| writing.outcome.try_recv()) {
            Some(Ok(outcome)) => self.saved(outcome),
            Some(Err(TryRecvError::Disconnected)) => self.saved(Err(io::Error::other("the thread is gone"))),
            _ => return goes_on,
        }
        false
    }

    /// Saves, and does nothing else until that is done.
    pub(super) fn save(&mut self) -> bool {
        self.begin_save();
        while self.saves.writing.as_ref().is_some_and(|writing| writing.pieces.is_some()) {
            if !self.hand_over(RECORDS_AT_ONCE) {
                // The disk is behind.
                thread::yield_now();
            }
        }
        if let Some(outcome) = self.saves.writing.as_ref().map(|writing| writing.outcome.recv()) {
            self.saved(outcome.unwrap_or_else(|RecvError| Err(io::Error::other("the thread is gone"))));
        }
        !self.saves.failed
    }

    /// Writes some records, and hands what is written to the thread; whether it could take more.
    fn hand_over(&mut self, count: u64) -> bool {
        let Some(writing) = self.saves.writing.as_mut() else { return false };
        let Some(pieces) = writing.pieces.as_ref() else { return false };
        let Some(moment) = self.data.moment.as_ref() else {
            // Everything was removed, and the save with it, as Redis stops its child. The thread ends when it hears of it; until
            // then there is no other save.
            (writing.pieces, writing.sealed, writing.is_abandoned) = (None, None, true);
            return false;
        };
        if writing.sealed.is_none() && moment.cursor < u64::MAX && moment.out.len() < PIECE_SIZE {
            self.data.write_moment(count);
        }
        let Some(moment) = self.data.moment.as_mut() else { return false };
        let piece = match writing.sealed.take() {
            Some(piece) => piece,
            None => {
                let is_all = moment.cursor == u64::MAX;
                if !is_all && moment.out.len() < PIECE_SIZE {
                    return true;
                }
                let mut bytes = std::mem::take(&mut moment.out);
                writing.crc = crc64(writing.crc, &bytes);
                if is_all {
                    bytes.extend_from_slice(&rdb::end(writing.crc));
                    Piece::End(bytes)
                } else {
                    Piece::Bytes(bytes)
                }
            }
        };
        let is_all = matches!(piece, Piece::End(_));
        match pieces.try_send(piece) {
            Ok(()) if !is_all => true,
            Err(TrySendError::Full(piece)) => {
                writing.sealed = Some(piece);
                false
            }
            // The thread has all, or has ended early and will say why.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {
                writing.pieces = None;
                self.data.moment = None;
                false
            }
        }
    }

    fn saved(&mut self, outcome: io::Result<()>) {
        let Some(writing) = self.saves.writing.take() else { return };
        self.saves.ended.notify_one();
        if writing.is_abandoned {
            return;
        }
        self.data.moment = None;
        self.saves.last_took_s = Some((now_nanos() - writing.began_nanos) / 1_000_000_000);
        self.saves.failed = outcome.is_err();
        match outcome {
            Ok(()) => {
                self.saves.last_unix_s = self.data.clock.unix_ms() / 1000;
                self.saves.last_changes = writing.changes;
                self.saves.turn = 1 - self.saves.turn;
            }
            Err(error) => {
                let path =
                    self.saves.files.path().map_or_else(String::new, |path| format!("{}: ", path.display()));
                crate::process::complain(&format!("{path}the store could not be saved: {error}"));
            }
        }
    }

    /// Saves where a rule says so.
    pub(super) fn save_by_rule(&mut self) {
        let now = self.data.clock.unix_ms() / 1000;
        let saves = &self.saves;
        if saves.is_under_way() || saves.failed && now.saturating_sub(saves.last_try_unix_s) <= RETRY_S {
            return;
        }
        let changes = self.data.changes().saturating_sub(saves.last_changes);
        let since = now.saturating_sub(saves.last_unix_s);
        if saves.files.rules.iter().any(|(seconds, least)| since > *seconds && changes >= *least) {
            self.begin_save();
        }
    }
}

/// Writes pieces to a file beside another, whose place it takes once all is on the disk.
fn write_beside(
    pieces: &Receiver<Piece>,
    path: &Path,
    count: u64,
    disk_is_full: &AtomicBool,
) -> io::Result<()> {
    let beside = path.with_file_name(format!("temp-{}-{count}.rdb", std::process::id()));
    let written = File::create(&beside)
        .and_then(|file| write_all(pieces, file, disk_is_full))
        .and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        let _ = fs::remove_file(&beside);
        return Err(error);
    }
    // So that the new name is there after a power cut too; some file systems do not know this.
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all().or(Ok(())))
}

/// Writes pieces into a file that is there, in place of what is in it.
fn write_into(pieces: &Receiver<Piece>, path: &Path, disk_is_full: &AtomicBool) -> io::Result<()> {
    let file = File::options().write(true).truncate(true).open(path)?;
    write_all(pieces, file, disk_is_full)
}

fn write_all(pieces: &Receiver<Piece>, mut file: File, disk_is_full: &AtomicBool) -> io::Result<()> {
    loop {
        let (bytes, is_all) = match pieces.recv() {
            Ok(Piece::Bytes(bytes)) => (bytes, false),
            Ok(Piece::End(bytes)) => (bytes, true),
            Err(RecvError) => return Err(io::Error::other("the save was stopped")),
        };
        if disk_is_full.load(Ordering::Relaxed) {
            return Err(Errno::NOSPC.into());
        }
        file.write_all(&bytes)?;
        if is_all {
            return file.sync_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use scenarios::scenario::Eviction;
    use scenarios::units::Seed;

    use super::super::data::{Expiry, Limits};
    use super::super::record::Value;
    use super::super::standing::Standing;
    use super::*;

    fn store(directory: &Path) -> Server {
        let data = Data::new(Limits::new(None, Eviction::NoEviction, 5), Seed(1));
        let mut server = Server::new(data, 0);
        server.saves.files.place = Some(Place::Named(directory.join("dump.rdb")));
        server
    }

    #[test]
    fn a_save_whose_records_were_removed_is_waited_for_and_the_next_is_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut server = store(directory.path());
        let value = vec![b'x'; PIECE_SIZE];
        for key in [&b"a"[..], b"b", b"c"] {
            server.data.set(key, Value::Bytes(&value), Expiry::Never);
        }
        server.begin_save();
        assert!(server.hand_over(1));
        server.data.clear();
        assert!(!server.hand_over(1) && server.saves.is_under_way());
        while server.saves.is_under_way() {
            server.go_on_saving();
            thread::yield_now();
        }
        assert!(!server.saves.failed, "nobody wanted it");
        assert_eq!(fs::read_dir(directory.path()).expect("a directory").count(), 0);
        assert!(server.save());
        let names: Vec<_> = fs::read_dir(directory.path())
            .expect("a directory")
            .map(|entry| entry.expect("an entry").file_name())
            .collect();
        assert_eq!(names, ["dump.rdb"]);
    }

    #[test]
    fn what_the_thread_cannot_take_is_sealed_once_with_its_checksum() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut server = store(directory.path());
        server.data.set(b"key", Value::Bytes(b"value"), Expiry::Never);
        // Nobody takes what is handed over.
        let (pieces, taken) = sync_channel(1);
        let (_done, outcome) = channel();
        pieces.try_send(Piece::Bytes(Vec::new())).expect("room for one");
        server.data.begin_moment(true);
        let pieces = Some(pieces);
        let (sealed, crc, is_abandoned, began_nanos, changes) = (None, 0, false, 0, 0);
        server.saves.writing =
            Some(Writing { pieces, sealed, crc, is_abandoned, outcome, began_nanos, changes });
        for _ in 0..3 {
            while server.hand_over(RECORDS) {}
            let writing = server.saves.writing.as_ref().expect("under way");
            assert!(matches!(writing.sealed, Some(Piece::End(_))));
        }
        drop(taken.recv());
        assert!(!server.hand_over(RECORDS));
        let Ok(Piece::End(bytes)) = taken.recv() else { panic!("the end") };
        let (records, checksum) = bytes.split_at(bytes.len() - 8);
        assert_eq!(crc64(0, records).to_le_bytes(), checksum);
    }

    #[test]
    fn two_files_take_turns_and_a_save_that_fails_leaves_the_last_one_that_did_not() {
        let directory = tempfile::tempdir().expect("a directory");
        let files = ["one", "other"].map(|name| directory.path().join(name));
        let held: Vec<File> = files.iter().map(|path| File::create(path).expect("a file")).collect();
        let mut server = store(directory.path());
        server.saves.files.place = Some(Place::ByTurns(files.clone()));
        server.data.stand(Standing::new("carts", 3, Box::new(|_| 100)));
        server.data.set(b"key", Value::Bytes(b"first"), Expiry::Never);
        // One that stood is a record as others once it was written.
        server.data.set(b"carts:1", Value::Bytes(b"written"), Expiry::Never);
        assert!(server.save());
        let first = fs::read(&files[0]).expect("it is there");
        let has = |bytes: &[u8], words: &str| String::from_utf8_lossy(bytes).contains(words);
        assert!(has(&first, "first") && has(&first, "carts:1") && !has(&first, "carts:2"));
        assert_eq!(fs::read(&files[1]).expect("it is there"), b"");
        server.data.set(b"key", Value::Bytes(b"second"), Expiry::Never);
        assert!(server.save());
        let second = fs::read(&files[1]).expect("it is there");
        assert!(has(&second, "second"));
        assert_eq!(fs::read(&files[0]).expect("it is there"), first);
        server.saves.disk_is_full.store(true, Ordering::Relaxed);
        assert!(!server.save() && !server.save());
        assert_eq!(fs::read(&files[1]).expect("it is there"), second, "it is the last one that is whole");
        server.saves.disk_is_full.store(false, Ordering::Relaxed);
        assert!(server.save());
        assert_eq!(fs::read(&files[0]).expect("it is there"), second, "as nothing changed");
        drop(held);
    }
}
