//! What a store sends to its copies: all records once, then the effects of what changes.

use super::Replication;
use crate::resp::Writer;
use crate::store::data::Data;
use crate::store::rdb;
use crate::store::record::{Content, Value};
use crate::store::server::Server;

/// Records written between two looks at anything else.
const RECORDS: usize = 500;
/// Fields of a hash in one command.
const MOST_FIELDS: usize = 1000;
/// No more is written ahead of what a copy has taken.
pub(in crate::store) const AHEAD: usize = 1 << 20;
/// A copy that neither says how much it has nor takes records for so long is gone (`repl-timeout`).
const SILENCE_LIMIT_MS: u64 = 60_000;

/// A client that is a copy.
#[derive(Debug, Default)]
pub(in crate::store) struct Copy {
    /// Where it listens, as it says.
    pub(in crate::store) port: u16,
    /// How much of the stream it has.
    pub(in crate::store) has: u64,
    pub(in crate::store) said_ms: u64,
    /// Whether it was filled from the same scenario, and so has all records that only stand.
    pub(in crate::store) knows_standing: bool,
    /// Whether it gets the stream, and not only said that it will want it.
    pub(in crate::store) is_served: bool,
    sending: Option<Sending>,
}

impl Copy {
    /// Whether it still gets records.
    pub(in crate::store) fn is_behind(&self) -> bool {
        self.sending.is_some()
    }

    /// What waits for the end of the records.
    pub(in crate::store) fn waiting_bytes(&self) -> u64 {
        self.sending.as_ref().map_or(0, |sending| sending.after.len() as u64)
    }
}

/// Records on their way to a copy.
#[derive(Debug)]
struct Sending {
    cursor: u64,
    /// What changed meanwhile.
    after: Vec<u8>,
    delimiter: String,
}

impl Server {
    /// Makes a client a copy: with all records, or with what it missed. `offset` is that of the next byte it wants, which
    /// Redis counts from one.
    pub(in crate::store) fn begin_copy(
        &mut self,
        index: usize,
        id: &str,
        offset: i64,
        reply: &mut Writer<'_>,
    ) {
        let has = offset.checked_sub(1).and_then(|has| u64::try_from(has).ok());
        // Before the stream begins to be kept, so that the first thing in it happened afterwards.
        self.replicate();
        let missed = has.and_then(|has| self.replication.since(id, has));
        self.replication.keep();
        self.data.keep_log();
        let Replication { id, offset, .. } = &self.replication;
        let (id, offset) = (id.clone(), *offset);
        let now = self.data.clock.now_ms();
        let Some(client) = self.clients.get_mut(index) else { return };
        let copy = client.copy.get_or_insert_default();
        (copy.has, copy.said_ms, copy.is_served) = (has.unwrap_or(0), now, true);
        if let Some(missed) = missed {
            self.replication.partial += 1;
            reply.simple(&format!("CONTINUE {id}"));
            reply.raw(&missed);
        } else {
            self.replication.full += 1;
            reply.simple(&format!("FULLRESYNC {id} {offset}"));
            // The history's name will not stand in the records by chance.
            reply.raw(format!("$EOF:{id}\r\n").as_bytes());
            reply.raw(rdb::START);
            let knows_standing = copy.knows_standing;
            copy.sending = Some(Sending { cursor: 0, after: Vec::new(), delimiter: id });
            if knows_standing {
                // What stood and does not any more is nowhere in the records.
                self.data.log_taken();
            }
        }
        self.replication.copies.insert(index);
    }

    /// Sends the effects of what has changed to all copies.
    pub(in crate::store) fn replicate(&mut self) {
        let Some(log) = self.data.take_log() else { return };
        let mut bytes = Vec::new();
        let mut effects = Writer::new(&mut bytes, false);
        if log.cleared {
            command(&mut effects, &[b"FLUSHALL"]);
        }
        // A key's effect is what it is now, so once is enough however often it was changed.
        let mut keys = log.keys;
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            write_effect(&self.data, &key, &mut effects);
        }
        self.stream(&bytes);
    }

    /// Adds to the stream of all copies.
    pub(in crate::store) fn stream(&mut self, bytes: &[u8]) {
        if bytes.is_empty() || !self.replication.is_kept() {
            return;
        }
        self.replication.push(bytes);
        let copies: Vec<usize> = self.replication.copies.iter().copied().collect();
        for index in copies {
            let copy = self.clients.get_mut(index).and_then(|client| client.copy.as_mut());
            match copy.and_then(|copy| copy.sending.as_mut()) {
                Some(sending) => {
                    sending.after.extend_from_slice(bytes);
                    // What waits for the end of the records counts towards the limit too.
                    self.addressed.push(index);
                }
                None => self.send(index, bytes),
            }
        }
    }

    /// Closes copies that say nothing for too long.
    pub(in crate::store) fn close_silent_copies(&mut self) {
        let now = self.data.clock.now_ms();
        let is_silent = |index: &usize| {
            let copy = self.clients.get(*index).and_then(|client| client.copy.as_ref());
            copy.is_some_and(|copy| now.saturating_sub(copy.said_ms) > SILENCE_LIMIT_MS)
        };
        let silent: Vec<usize> = self.replication.copies.iter().copied().filter(is_silent).collect();
        silent.into_iter().for_each(|index| self.close(index));
    }

    /// Writes on at records for copies; whether there is more to write at once.
    pub(in crate::store) fn send_records(&mut self) -> bool {
        let mut goes_on = false;
        let now = self.data.clock.now_ms();
        let copies: Vec<usize> = self.replication.copies.iter().copied().collect();
        for index in copies {
            let Some(client) = self.clients.get_mut(index) else { continue };
            if client.pending.len() - client.written > AHEAD {
                continue;
            }
            let Some(copy) = client.copy.as_mut() else { continue };
            copy.said_ms = now;
            let with_standing = !copy.knows_standing;
            let Some(sending) = copy.sending.as_mut() else { continue };
            for _ in 0..RECORDS {
                sending.cursor =
                    self.data.write_records(sending.cursor, 1, with_standing, &mut client.pending);
                if sending.cursor == 0 || client.pending.len() - client.written > AHEAD {
                    break;
                }
            }
            if sending.cursor == 0 {
                client.pending.extend_from_slice(rdb::END);
                client.pending.extend_from_slice(sending.delimiter.as_bytes());
                client.pending.append(&mut sending.after);
                copy.sending = None;
            } else {
                goes_on = true;
            }
            self.addressed.push(index);
        }
        goes_on
    }
}

fn command(into: &mut Writer<'_>, words: &[&[u8]]) {
    into.array(words.len());
    words.iter().for_each(|word| into.bulk(word));
}

fn set_fields(key: &[u8], fields: &[(&[u8], &[u8])], into: &mut Writer<'_>) {
    into.array(2 + 2 * fields.len());
    into.bulk(b"HSET");
    into.bulk(key);
    for (name, value) in fields {
        into.bulk(name);
        into.bulk(value);
    }
}

/// What a key is now, as commands that make it so.
fn write_effect(data: &Data, key: &[u8], into: &mut Writer<'_>) {
    let Some(slot) = data.peek(key) else { return command(into, &[b"DEL", key]) };
    let expires = data
        .deadline(slot)
        .map(|deadline| (deadline + data.clock.unix_ms() - data.clock.now_ms()).to_string().into_bytes());
    match data.content(slot) {
        Content::String(value) => {
            into.array(if expires.is_some() { 5 } else { 3 });
            into.bulk(b"SET");
            into.bulk(key);
            match value {
                Value::Bytes(bytes) => into.bulk(bytes),
                Value::Padding(size) => into.bulk_run(crate::store::prefill::FILLER, size),
            }
            if let Some(expires) = expires {
                into.bulk(b"PXAT");
                into.bulk(&expires);
            }
        }
        Content::Hash => {
            command(into, &[b"DEL", key]);
            let Some(fields) = data.fields(slot) else { return };
            // In commands of moderate length, as no store takes any length.
            let (mut part, mut bytes) = (Vec::new(), 0);
            for (name, value) in fields.iter() {
                part.push((name, value));
                bytes += name.len() + value.len();
                if part.len() == MOST_FIELDS || bytes > AHEAD {
                    set_fields(key, &part, into);
                    part.clear();
                    bytes = 0;
                }
            }
            if !part.is_empty() {
                set_fields(key, &part, into);
            }
            if let Some(expires) = expires {
                command(into, &[b"PEXPIREAT", key, &expires]);
            }
        }
    }
}
