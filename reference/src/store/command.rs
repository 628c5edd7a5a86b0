//! What the commands about keys do. Names and replies are Redis's, so that its clients feel at home.

use std::ops::Range;

use super::administration;
use super::data::{Contents, Data, Expiry, Value};
use crate::resp::{REPLY_LIMIT, Writer, integer};

/// What a connection has agreed on.
#[derive(Debug, Default)]
pub(crate) struct Session {
    /// RESP 3 instead of 2.
    pub(crate) version3: bool,
    /// The client said goodbye.
    pub(crate) over: bool,
}

/// A command's arguments, its name included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arguments<'a> {
    input: &'a [u8],
    ranges: &'a [Range<usize>],
}

impl<'a> Arguments<'a> {
    pub(crate) fn len(self) -> usize {
        self.ranges.len()
    }

    pub(crate) fn get(self, index: usize) -> &'a [u8] {
        self.ranges.get(index).map_or(&[], |range| &self.input[range.clone()])
    }

    pub(crate) fn from(self, start: usize) -> impl Iterator<Item = &'a [u8]> {
        self.ranges[start.min(self.ranges.len())..].iter().map(move |range| &self.input[range.clone()])
    }

    pub(crate) fn is(self, index: usize, word: &str) -> bool {
        self.get(index).eq_ignore_ascii_case(word.as_bytes())
    }
}

pub(crate) const SYNTAX: &str = "ERR syntax error";
const NOT_INTEGER: &str = "ERR value is not an integer or out of range";
const TOO_LONG: &str = "ERR the reply would be longer than 256 MiB";
const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";

/// Executes one command and appends its reply.
pub(crate) fn execute(
    data: &mut Data,
    session: &mut Session,
    input: &[u8],
    ranges: &[Range<usize>],
    out: &mut Vec<u8>,
) {
    let arguments = Arguments { input, ranges };
    let mut name = [0_u8; 16];
    let given = arguments.get(0);
    let length = given.len().min(name.len());
    name[..length].copy_from_slice(&given[..length]);
    name.make_ascii_uppercase();
    let name = if given.len() > name.len() { b"".as_slice() } else { &name[..length] };

    // As Redis does: room is made before any command, and only those that may need more of it are refused.
    let has_room = data.make_room();
    let mut reply = Writer::new(out, session.version3);
    if !has_room && matches!(name, b"SET" | b"SETEX" | b"PSETEX" | b"MSET" | b"INCR") {
        reply.error(OUT_OF_MEMORY);
        return;
    }
    let (least, most) = arity(name);
    if arguments.len() < least || arguments.len() > most {
        let name = String::from_utf8_lossy(name).to_lowercase();
        reply.error(&format!("ERR wrong number of arguments for '{name}' command"));
        return;
    }
    match name {
        b"GET" => value(data.get(arguments.get(1)), &mut reply),
        b"MGET" => get_many(data, arguments, &mut reply),
        b"SET" => set(data, arguments, &mut reply),
        b"SETEX" => set_with_ttl(data, arguments, 1000, &mut reply),
        b"PSETEX" => set_with_ttl(data, arguments, 1, &mut reply),
        b"MSET" if arguments.len().is_multiple_of(2) => {
            reply.error("ERR wrong number of arguments for 'mset' command");
        }
        b"MSET" => {
            for pair in (1..arguments.len()).step_by(2) {
                data.set(arguments.get(pair), Value::new(arguments.get(pair + 1)), Expiry::Never);
            }
            reply.simple("OK");
        }
        b"DEL" | b"UNLINK" => {
            reply.integer(arguments.from(1).filter(|key| data.remove(key)).count() as i64);
        }
        b"EXISTS" => {
            reply.integer(arguments.from(1).filter(|key| data.contains(key)).count() as i64);
        }
        b"EXPIRE" => expire(data, arguments, 1000, &mut reply),
        b"PEXPIRE" => expire(data, arguments, 1, &mut reply),
        b"TTL" => remaining(data, arguments, |ms| (ms + 500) / 1000, &mut reply),
        b"PTTL" => remaining(data, arguments, |ms| ms, &mut reply),
        b"PERSIST" => reply.integer(i64::from(data.persist(arguments.get(1)))),
        b"INCR" => increment(data, arguments.get(1), &mut reply),
        b"FLUSHALL" | b"FLUSHDB" => {
            data.clear();
            reply.simple("OK");
        }
        b"DBSIZE" => reply.integer(data.len() as i64),
        _ => administration::execute(data, session, name, arguments, out),
    }
}

fn arity(name: &[u8]) -> (usize, usize) {
    match name {
        b"GET" | b"TTL" | b"PTTL" | b"PERSIST" | b"INCR" | b"SELECT" | b"ECHO" => (2, 2),
        b"DEL" | b"UNLINK" | b"EXISTS" | b"MGET" => (2, usize::MAX),
        b"SET" | b"MSET" => (3, usize::MAX),
        b"SETEX" | b"PSETEX" => (4, 4),
        b"EXPIRE" | b"PEXPIRE" => (3, 3),
        b"DBSIZE" => (1, 1),
        _ => (1, usize::MAX),
    }
}

fn value(value: Option<Contents<'_>>, reply: &mut Writer<'_>) {
    match value {
        None => reply.null(),
        Some(Contents::Run(byte, len)) => reply.bulk_run(byte, len),
        Some(Contents::Bytes(bytes)) => reply.bulk(bytes),
    }
}

fn get_many(data: &mut Data, arguments: Arguments<'_>, reply: &mut Writer<'_>) {
    let start = reply.len();
    reply.array(arguments.len() - 1);
    for key in arguments.from(1) {
        let contents = data.get(key);
        // A short command can name a large value very often.
        if reply.len() - start + contents.map_or(0, Contents::len) > REPLY_LIMIT {
            reply.take_back(start);
            return reply.error(TOO_LONG);
        }
        value(contents, reply);
    }
}

/// A lifetime in units of `unit_ms`, which must be above zero.
fn lifetime(text: &[u8], unit_ms: i64) -> Result<u64, &'static str> {
    let number = integer(text).ok_or(NOT_INTEGER)?;
    let ms = number.checked_mul(unit_ms).filter(|ms| *ms > 0);
    ms.map(|ms| ms as u64).ok_or("ERR invalid expire time in 'set' command")
}

fn set(data: &mut Data, arguments: Arguments<'_>, reply: &mut Writer<'_>) {
    let (mut expiry, mut only_new, mut only_old) = (None, false, false);
    let mut at = 3;
    while at < arguments.len() {
        let unit_ms = if arguments.is(at, "EX") { 1000 } else { 1 };
        if arguments.is(at, "NX") {
            only_new = true;
        } else if arguments.is(at, "XX") {
            only_old = true;
        } else if arguments.is(at, "KEEPTTL") && expiry.is_none() {
            expiry = Some(Expiry::Keep);
        } else if (arguments.is(at, "EX") || arguments.is(at, "PX"))
            && expiry.is_none()
            && at + 1 < arguments.len()
        {
            at += 1;
            match lifetime(arguments.get(at), unit_ms) {
                Ok(ms) => expiry = Some(Expiry::In(ms)),
                Err(message) => return reply.error(message),
            }
        } else {
            return reply.error(SYNTAX);
        }
        at += 1;
    }
    if only_new && only_old {
        return reply.error(SYNTAX);
    }
    let key = arguments.get(1);
    if (only_new || only_old) && data.contains(key) != only_old {
        return reply.null();
    }
    data.set(key, Value::new(arguments.get(2)), expiry.unwrap_or(Expiry::Never));
    reply.simple("OK");
}

fn set_with_ttl(data: &mut Data, arguments: Arguments<'_>, unit_ms: i64, reply: &mut Writer<'_>) {
    match lifetime(arguments.get(2), unit_ms) {
        Ok(ms) => {
            data.set(arguments.get(1), Value::new(arguments.get(3)), Expiry::In(ms));
            reply.simple("OK");
        }
        Err(message) => reply.error(message),
    }
}

fn expire(data: &mut Data, arguments: Arguments<'_>, unit_ms: i64, reply: &mut Writer<'_>) {
    match integer(arguments.get(2)).and_then(|n| n.checked_mul(unit_ms)) {
        Some(ms) => reply.integer(i64::from(data.expire(arguments.get(1), ms))),
        None => reply.error(NOT_INTEGER),
    }
}

fn remaining(data: &mut Data, arguments: Arguments<'_>, unit: impl Fn(u64) -> u64, reply: &mut Writer<'_>) {
    reply.integer(match data.remaining_ms(arguments.get(1)) {
        None => -2,
        Some(None) => -1,
        Some(Some(ms)) => unit(ms) as i64,
    });
}

fn increment(data: &mut Data, key: &[u8], reply: &mut Writer<'_>) {
    let current = if data.contains(key) {
        match data.get(key) {
            Some(Contents::Bytes(bytes)) => integer(bytes),
            Some(Contents::Run(digit, len)) => integer(&vec![digit; len.min(32)]),
            None => Some(0),
        }
    } else {
        Some(0)
    };
    match current.and_then(|n| n.checked_add(1)) {
        Some(number) => {
            data.set(key, Value::new(number.to_string().as_bytes()), Expiry::Keep);
            reply.integer(number);
        }
        None => reply.error(NOT_INTEGER),
    }
}
