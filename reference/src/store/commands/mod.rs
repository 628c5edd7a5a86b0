//! What the commands do. Names and replies are Redis's, so that its clients feel at home.
//!
//! - [`table`]: all of them, by name; [`strings`], [`hashes`], [`keys`], [`expiry`]: those about keys
//! - [`connection`], [`clients`], [`transactions`], [`publishing`]: those about clients
//! - [`administration`], [`information`], [`latency`], [`persistence`], [`replication`]: those about the
//!   store
//! - [`extended`]: numbers with a point

mod administration;
mod clients;
mod connection;
mod expiry;
mod extended;
mod hashes;
mod information;
mod keys;
mod latency;
mod persistence;
mod publishing;
mod replication;
mod strings;
mod table;
mod transactions;

use crate::emulated::clock::now_nanos;
use crate::resp::Writer;
use crate::resp::request::Range;

use super::eviction::Room;
use super::server::{Server, Slow};
use table::{Command, Flag};

pub(super) const SYNTAX: &str = "ERR syntax error";
pub(super) const NOT_INTEGER: &str = "ERR value is not an integer or out of range";
pub(super) const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
const TOO_LONG: &str = "ERR the reply would be longer than 256 MiB";
const LOADING: &str = "LOADING Redis is loading the dataset in memory";
const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
const MISCONF: &str = "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist to disk. \
    Commands that may modify the data set are disabled, because this instance is configured to report errors during writes \
    if RDB snapshotting fails (stop-writes-on-bgsave-error option). Please check the Redis logs for details about the RDB error.";
/// Clocks are read around every command only where so short ones are to be remembered.
const SHORT_MICROS: i64 = 1000;
/// What is remembered of a slow command's arguments (slowlog.c).
const SLOW_ARGUMENTS: usize = 32;
const SLOW_ARGUMENT_BYTES: usize = 128;

/// A command's arguments, its name included.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arguments<'a> {
    input: &'a [u8],
    ranges: &'a [Range],
}

impl<'a> Arguments<'a> {
    pub(super) fn len(self) -> usize {
        self.ranges.len()
    }

    #[inline]
    pub(super) fn get(self, index: usize) -> &'a [u8] {
        self.ranges.get(index).map_or(&[], |range| &self.input[range.0 as usize..range.1 as usize])
    }

    pub(super) fn from(self, start: usize) -> impl Iterator<Item = &'a [u8]> {
        let ranges = &self.ranges[start.min(self.ranges.len())..];
        ranges.iter().map(move |range| &self.input[range.0 as usize..range.1 as usize])
    }

    /// Pairs of arguments; a last one alone is left out.
    pub(super) fn pairs(self, start: usize) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        (start..self.len().saturating_sub(1)).step_by(2).map(move |at| (self.get(at), self.get(at + 1)))
    }

    pub(super) fn is(self, index: usize, word: &str) -> bool {
        self.get(index).eq_ignore_ascii_case(word.as_bytes())
    }
}

/// A command that is carried out.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) server: &'a mut Server,
    /// Who asked.
    pub(super) client: usize,
    pub(super) arguments: Arguments<'a>,
    pub(super) reply: Writer<'a>,
}

/// What a command fails with: its code and why.
pub(super) type Failure = &'static str;
/// Whether a command has replied.
pub(super) type Outcome = Result<(), Failure>;

/// Executes one command and appends its reply.
#[inline]
pub(super) fn execute(server: &mut Server, client: usize, input: &[u8], ranges: &[Range], out: &mut Vec<u8>) {
    let Some(asking) = server.clients.get(client) else { return };
    let (version3, stranger, in_transaction) =
        (asking.version3, asking.stranger, asking.transaction.is_some());
    let is_listening = !version3 && asking.listens();
    let arguments = Arguments { input, ranges };
    server.totals.commands += 1;
    let mut reply = Writer::new(out, version3);
    let command = match table::find(arguments) {
        Ok(command) => command,
        Err(message) => {
            transactions::spoil(server, client);
            return reply.error(&message);
        }
    };
    if stranger && !command.has(Flag::Strangers) {
        return reply.error("NOAUTH Authentication required.");
    }
    if is_listening && !command.has(Flag::Listeners) {
        let name = command.name;
        return reply.error(&format!(
            "ERR Can't execute '{name}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context"
        ));
    }
    if server.data.is_copy && command.has(Flag::Writes) && !server.data.is_applying {
        transactions::spoil(server, client);
        return reply.error("READONLY You can't write against a read only replica.");
    }
    if server.loading.is_on && !command.has(Flag::WhileLoading) {
        transactions::spoil(server, client);
        return reply.error(LOADING);
    }
    if server.saves.refuse_writes() && command.has(Flag::Writes) && !server.data.is_applying {
        transactions::spoil(server, client);
        return reply.error(MISCONF);
    }
    // As Redis does: room is made before any command, and only those that may need more of it are refused.
    let room = server.make_room();
    if room == Room::None && command.has(Flag::NeedsRoom) {
        transactions::spoil(server, client);
        return reply.error(OUT_OF_MEMORY);
    }
    if in_transaction && !command.has(Flag::AtOnce) {
        return transactions::queue(server, client, arguments, &mut reply);
    }
    carry_out(server, client, command, arguments, reply);
}

/// Carries a command out that may be.
fn carry_out(
    server: &mut Server,
    client: usize,
    command: &'static Command,
    arguments: Arguments<'_>,
    reply: Writer<'_>,
) {
    let threshold = server.settings.slow_micros;
    let is_timed = threshold >= 0 && (command.has(Flag::Slow) || threshold < SHORT_MICROS)
        || server.settings.latency_ms > 0;
    let start = if is_timed { now_nanos() } else { 0 };
    if let Some(client) = server.clients.get_mut(client) {
        client.last_command = command.name;
    }
    let mut call = Call { server, client, arguments, reply };
    let before = call.reply.len();
    if let Err(message) = (command.run)(&mut call) {
        call.reply.take_back(before);
        call.reply.error(message);
    }
    if is_timed {
        let nanos = now_nanos() - start;
        server.note_latency(if command.has(Flag::Slow) { "command" } else { "fast-command" }, nanos);
        let micros = nanos / 1000;
        if threshold >= 0 && micros >= threshold as u64 {
            remember(server, client, micros, arguments);
        }
    }
}

#[cold]
fn remember(server: &mut Server, client: usize, micros: u64, arguments: Arguments<'_>) {
    let kept = arguments.from(0).take(SLOW_ARGUMENTS);
    let arguments =
        kept.map(|argument| argument[..argument.len().min(SLOW_ARGUMENT_BYTES)].to_vec()).collect();
    let client = server.clients.get(client);
    let slow = Slow {
        id: server.slow_count,
        unix_s: server.data.clock.unix_ms() / 1000,
        micros,
        arguments,
        client: client.and_then(|c| c.address).map(|address| address.to_string()).unwrap_or_default(),
        client_name: client.map(|c| c.name.clone()).unwrap_or_default(),
    };
    server.slow_count += 1;
    server.slow.push_front(slow);
    server.slow.truncate(server.settings.slow_most);
}
