//! All commands by name: how many arguments they take, what has to be so before they are carried out, where they are.

use std::sync::LazyLock;

use super::{
    Arguments, Call, Outcome, administration, clients, connection, expiry, hashes, information, keys,
    latency, persistence, publishing, replication, strings, transactions,
};

/// What a command is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    /// It may change records.
    Writes = 1,
    /// It is refused where there is no room.
    NeedsRoom = 2,
    /// It is carried out before the client has given the password.
    Strangers = 4,
    /// It is carried out for a client of version 2 that listens to channels.
    Listeners = 8,
    /// It is not queued in a transaction.
    AtOnce = 16,
    /// It can take long without being given much.
    Slow = 32,
    /// It is carried out while the store is still being filled from a file.
    WhileLoading = 64,
}

/// A command.
#[derive(Debug)]
pub(super) struct Command {
    /// In lower case.
    pub(super) name: &'static str,
    /// The fewest and the most arguments, the name included.
    least: usize,
    most: usize,
    flags: u8,
    pub(super) run: fn(&mut Call<'_>) -> Outcome,
}

impl Command {
    #[inline]
    pub(super) fn has(&self, flag: Flag) -> bool {
        self.flags & flag as u8 != 0
    }

    /// Redis's way to say how many arguments: negative for "at least".
    pub(super) fn arity(&self) -> i64 {
        if self.least == self.most { self.least as i64 } else { -(self.least as i64) }
    }
}

const MANY: usize = usize::MAX;
const READ: u8 = 0;
const WRITE: u8 = Flag::Writes as u8;
const GROW: u8 = WRITE | Flag::NeedsRoom as u8;
const SLOW: u8 = Flag::Slow as u8;
const STRANGER: u8 = Flag::Strangers as u8;
const LISTENER: u8 = Flag::Listeners as u8;
const AT_ONCE: u8 = Flag::AtOnce as u8;
const LOADING: u8 = Flag::WhileLoading as u8;

type Row = (&'static str, usize, usize, u8, fn(&mut Call<'_>) -> Outcome);

const ROWS: &[Row] = &[
    ("get", 2, 2, READ, strings::get),
    ("set", 3, MANY, GROW, strings::set),
    ("mget", 2, MANY, SLOW, strings::mget),
    ("mset", 3, MANY, GROW | SLOW, strings::mset),
    ("msetnx", 3, MANY, GROW | SLOW, strings::msetnx),
    ("setnx", 3, 3, GROW, strings::setnx),
    ("setex", 4, 4, GROW, strings::setex),
    ("psetex", 4, 4, GROW, strings::psetex),
    ("getset", 3, 3, GROW, strings::getset),
    ("getdel", 2, 2, WRITE, strings::getdel),
    ("getex", 2, 4, WRITE, strings::getex),
    ("append", 3, 3, GROW, strings::append),
    ("strlen", 2, 2, READ, strings::strlen),
    ("getrange", 4, 4, READ, strings::getrange),
    ("setrange", 4, 4, GROW, strings::setrange),
    ("incr", 2, 2, GROW, strings::incr),
    ("decr", 2, 2, GROW, strings::decr),
    ("incrby", 3, 3, GROW, strings::incrby),
    ("decrby", 3, 3, GROW, strings::decrby),
    ("incrbyfloat", 3, 3, GROW, strings::incrbyfloat),
    ("del", 2, MANY, WRITE | SLOW, keys::del),
    ("unlink", 2, MANY, WRITE | SLOW, keys::del),
    ("exists", 2, MANY, SLOW, keys::exists),
    ("touch", 2, MANY, SLOW, keys::touch),
    ("type", 2, 2, READ, keys::kind),
    ("rename", 3, 3, WRITE, keys::rename),
    ("renamenx", 3, 3, WRITE, keys::renamenx),
    ("keys", 2, 2, SLOW, keys::keys),
    ("scan", 2, MANY, SLOW, keys::scan),
    ("randomkey", 1, 1, READ, keys::randomkey),
    ("dbsize", 1, 1, READ, keys::dbsize),
    ("flushall", 1, 2, WRITE | SLOW, keys::flush),
    ("flushdb", 1, 2, WRITE | SLOW, keys::flush),
    ("object", 2, 3, READ, keys::object),
    ("expire", 3, 4, WRITE, expiry::expire),
    ("pexpire", 3, 4, WRITE, expiry::pexpire),
    ("expireat", 3, 4, WRITE, expiry::expireat),
    ("pexpireat", 3, 4, WRITE, expiry::pexpireat),
    ("ttl", 2, 2, READ, expiry::ttl),
    ("pttl", 2, 2, READ, expiry::pttl),
    ("expiretime", 2, 2, READ, expiry::expiretime),
    ("pexpiretime", 2, 2, READ, expiry::pexpiretime),
    ("persist", 2, 2, WRITE, expiry::persist),
    ("hset", 4, MANY, GROW, hashes::hset),
    ("hmset", 4, MANY, GROW, hashes::hmset),
    ("hsetnx", 4, 4, GROW, hashes::hsetnx),
    ("hget", 3, 3, READ, hashes::hget),
    ("hmget", 3, MANY, READ, hashes::hmget),
    ("hgetall", 2, 2, SLOW, hashes::hgetall),
    ("hkeys", 2, 2, SLOW, hashes::hkeys),
    ("hvals", 2, 2, SLOW, hashes::hvals),
    ("hdel", 3, MANY, WRITE, hashes::hdel),
    ("hlen", 2, 2, READ, hashes::hlen),
    ("hexists", 3, 3, READ, hashes::hexists),
    ("hstrlen", 3, 3, READ, hashes::hstrlen),
    ("hincrby", 4, 4, GROW, hashes::hincrby),
    ("hincrbyfloat", 4, 4, GROW, hashes::hincrbyfloat),
    ("hscan", 3, MANY, SLOW, hashes::hscan),
    ("ping", 1, 2, LISTENER, connection::ping),
    ("echo", 2, 2, LOADING, connection::echo),
    ("select", 2, 2, LOADING, connection::select),
    ("quit", 1, MANY, STRANGER | LISTENER | AT_ONCE | LOADING, connection::quit),
    ("hello", 1, MANY, STRANGER | LOADING, connection::hello),
    ("auth", 2, 3, STRANGER | LOADING, connection::auth),
    ("reset", 1, 1, STRANGER | LISTENER | AT_ONCE | LOADING, connection::reset),
    ("client", 2, MANY, LOADING, clients::client),
    ("multi", 1, 1, AT_ONCE | LOADING, transactions::multi),
    ("exec", 1, 1, AT_ONCE | SLOW | LOADING, transactions::exec),
    ("watch", 2, MANY, AT_ONCE | LOADING, transactions::watch),
    ("unwatch", 1, 1, LOADING, transactions::unwatch),
    ("discard", 1, 1, AT_ONCE | LOADING, transactions::discard),
    ("subscribe", 2, MANY, LISTENER | LOADING, publishing::subscribe),
    ("unsubscribe", 1, MANY, LISTENER | LOADING, publishing::unsubscribe),
    ("psubscribe", 2, MANY, LISTENER | LOADING, publishing::psubscribe),
    ("punsubscribe", 1, MANY, LISTENER | LOADING, publishing::punsubscribe),
    ("publish", 3, 3, LOADING, publishing::publish),
    ("pubsub", 2, MANY, LOADING, publishing::pubsub),
    ("info", 1, MANY, LOADING, information::info),
    ("command", 1, MANY, LOADING, administration::command),
    ("config", 2, MANY, LOADING, administration::config),
    ("slowlog", 2, 3, LOADING, administration::slowlog),
    ("memory", 2, MANY, LOADING, administration::memory),
    ("time", 1, 1, LOADING, administration::time),
    ("role", 1, 1, LOADING, replication::role),
    ("replicaof", 3, 3, AT_ONCE | LOADING, replication::replicaof),
    ("slaveof", 3, 3, AT_ONCE | LOADING, replication::replicaof),
    ("replconf", 1, MANY, AT_ONCE | LOADING, replication::replconf),
    ("psync", 3, 3, AT_ONCE, replication::psync),
    ("wait", 3, 3, READ, replication::wait),
    ("save", 1, 1, SLOW | AT_ONCE, persistence::save),
    ("bgsave", 1, 2, AT_ONCE, persistence::bgsave),
    ("lastsave", 1, 1, LOADING, persistence::lastsave),
    ("latency", 2, MANY, LOADING, latency::latency),
];

/// Names up to sixteen bytes, as a number; the commands in a table of twice their number and more, by a hash of that.
struct Table {
    places: Vec<Option<(u128, Command)>>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let mut places: Vec<_> = std::iter::repeat_with(|| None).take(PLACES).collect();
    for (name, least, most, flags, run) in ROWS.iter().copied() {
        let number = number(name.as_bytes()).expect("names are short");
        let mut at = place(number);
        while places[at].is_some() {
            at = (at + 1) % PLACES;
        }
        places[at] = Some((number, Command { name, least, most, flags, run }));
    }
    Table { places }
});

const PLACES: usize = 256;

#[inline]
fn place(number: u128) -> usize {
    let folded = (number as u64) ^ (number >> 64) as u64;
    (folded.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as usize
}

/// A name in lower case as a number; none where it is too long to be one.
#[inline]
fn number(name: &[u8]) -> Option<u128> {
    let mut bytes = [0; 16];
    bytes.get_mut(..name.len())?.copy_from_slice(name);
    Some(u128::from_le_bytes(bytes.map(|byte| byte.to_ascii_lowercase())))
}

/// All commands.
pub(super) fn all() -> impl Iterator<Item = &'static Command> {
    TABLE.places.iter().flatten().map(|(_, command)| command)
}

/// The command of this name.
#[inline]
pub(super) fn named(name: &[u8]) -> Option<&'static Command> {
    let number = number(name)?;
    let mut at = place(number);
    while let Some((other, command)) = &TABLE.places[at] {
        if *other == number {
            return Some(command);
        }
        at = (at + 1) % PLACES;
    }
    None
}

/// The command that is asked for, with as many arguments as it takes.
///
/// # Errors
/// The reply, where there is none.
#[inline]
pub(super) fn find(arguments: Arguments<'_>) -> Result<&'static Command, String> {
    let name = arguments.get(0);
    match named(name) {
        Some(command) if (command.least..=command.most).contains(&arguments.len()) => Ok(command),
        Some(command) => Err(format!("ERR wrong number of arguments for '{}' command", command.name)),
        None => {
            // The name comes from outside: no line ends may pass into the reply.
            let name: String = name.iter().take(64).map(|b| b.escape_ascii().to_string()).collect();
            Err(format!("ERR unknown command '{name}'"))
        }
    }
}
