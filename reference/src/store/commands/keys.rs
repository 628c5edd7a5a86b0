//! Commands about keys, whatever they hold.

use super::{Call, Failure, NOT_INTEGER, Outcome, SYNTAX, TOO_LONG};
use crate::resp::{REPLY_LIMIT, integer};
use crate::store::data::Expiry;
use crate::store::glob;
use crate::store::record::Content;

const NO_KEY: &str = "ERR no such key";
/// Keys that one `SCAN` looks at unless it says how many, and at most.
const SCAN_COUNT: u64 = 10;
const SCAN_MOST: u64 = 100_000;

pub(super) fn del(call: &mut Call<'_>) -> Outcome {
    let count = call.arguments.from(1).filter(|key| call.server.data.remove(key)).count();
    call.reply.integer(count as i64);
    Ok(())
}

pub(super) fn exists(call: &mut Call<'_>) -> Outcome {
    let data = &mut call.server.data;
    let count = call.arguments.from(1).filter(|key| data.look_up_quietly(key).is_some()).count();
    call.reply.integer(count as i64);
    Ok(())
}

pub(super) fn touch(call: &mut Call<'_>) -> Outcome {
    let count = call.arguments.from(1).filter(|key| call.server.data.look_up(key).is_some()).count();
    call.reply.integer(count as i64);
    Ok(())
}

pub(super) fn kind(call: &mut Call<'_>) -> Outcome {
    let data = &mut call.server.data;
    let kind = data.find(call.arguments.get(1)).map(|slot| data.content(slot));
    call.reply.simple(match kind {
        None => "none",
        Some(Content::String(_)) => "string",
        Some(Content::Hash) => "hash",
    });
    Ok(())
}

fn move_key(call: &mut Call<'_>, only_new: bool) -> Result<bool, Failure> {
    let (from, to) = (call.arguments.get(1), call.arguments.get(2));
    let data = &mut call.server.data;
    let Some(slot) = data.find(from) else { return Err(NO_KEY) };
    if from == to {
        return Ok(!only_new);
    }
    let expiry = match data.deadline(slot) {
        Some(deadline) => Expiry::In(deadline - data.clock.now_ms()),
        None => Expiry::Never,
    };
    if only_new && data.contains(to) {
        return Ok(false);
    }
    data.rename(from, to, expiry);
    Ok(true)
}

pub(super) fn rename(call: &mut Call<'_>) -> Outcome {
    move_key(call, false)?;
    call.reply.simple("OK");
    Ok(())
}

pub(super) fn renamenx(call: &mut Call<'_>) -> Outcome {
    let moved = move_key(call, true)?;
    call.reply.integer(i64::from(moved));
    Ok(())
}

pub(super) fn keys(call: &mut Call<'_>) -> Outcome {
    let pattern = call.arguments.get(1);
    let (mut found, mut bytes) = (Vec::new(), 0);
    call.server.data.scan(0, u64::MAX, |key, _| {
        if bytes <= REPLY_LIMIT && glob::matches(pattern, key) {
            bytes += key.len() + 32;
            found.push(key.to_vec());
        }
    });
    if bytes > REPLY_LIMIT {
        return Err(TOO_LONG);
    }
    call.reply.array(found.len());
    found.iter().for_each(|key| call.reply.bulk(key));
    Ok(())
}

/// What a `SCAN` is about, after its cursor.
pub(super) struct Scan<'a> {
    pub(super) cursor: u64,
    pub(super) count: u64,
    pub(super) pattern: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
}

/// Reads a cursor and the options that follow it.
pub(super) fn scan_options<'a>(call: &Call<'a>, cursor_at: usize) -> Result<Scan<'a>, Failure> {
    let arguments = call.arguments;
    let cursor = std::str::from_utf8(arguments.get(cursor_at)).ok().and_then(|text| text.parse().ok());
    let cursor = cursor.ok_or("ERR invalid cursor")?;
    let mut scan = Scan { cursor, count: SCAN_COUNT, pattern: None, kind: None };
    if (arguments.len() - cursor_at).is_multiple_of(2) {
        return Err(SYNTAX);
    }
    for at in (cursor_at + 1..arguments.len()).step_by(2) {
        let value = arguments.get(at + 1);
        if arguments.is(at, "MATCH") {
            scan.pattern = Some(value);
        } else if arguments.is(at, "COUNT") {
            let count = integer(value).ok_or(NOT_INTEGER)?;
            scan.count = u64::try_from(count).ok().filter(|count| *count > 0).ok_or(SYNTAX)?.min(SCAN_MOST);
        } else if arguments.is(at, "TYPE") {
            scan.kind = Some(value);
        } else {
            return Err(SYNTAX);
        }
    }
    Ok(scan)
}

pub(super) fn scan(call: &mut Call<'_>) -> Outcome {
    let scan = scan_options(call, 1)?;
    let data = &call.server.data;
    let mut found: Vec<Vec<u8>> = Vec::new();
    let next = data.scan(scan.cursor, scan.count, |key, slot| {
        let is_hash = slot.is_some_and(|slot| data.content(slot) == Content::Hash);
        let kind: &[u8] = if is_hash { b"hash" } else { b"string" };
        if scan.kind.is_none_or(|wanted| wanted.eq_ignore_ascii_case(kind))
            && scan.pattern.is_none_or(|pattern| glob::matches(pattern, key))
        {
            found.push(key.to_vec());
        }
    });
    call.reply.array(2);
    call.reply.bulk(next.to_string().as_bytes());
    call.reply.array(found.len());
    found.iter().for_each(|key| call.reply.bulk(key));
    Ok(())
}

pub(super) fn randomkey(call: &mut Call<'_>) -> Outcome {
    let data = &mut call.server.data;
    match data.any_slot(100) {
        Some(slot) => call.reply.bulk(data.key(slot)),
        None => call.reply.null(),
    }
    Ok(())
}

pub(super) fn dbsize(call: &mut Call<'_>) -> Outcome {
    call.reply.integer(call.server.data.len() as i64);
    Ok(())
}

pub(super) fn flush(call: &mut Call<'_>) -> Outcome {
    if call.arguments.len() == 2 && !call.arguments.is(1, "ASYNC") && !call.arguments.is(1, "SYNC") {
        return Err(SYNTAX);
    }
    call.server.data.clear();
    call.reply.simple("OK");
    Ok(())
}

pub(super) fn object(call: &mut Call<'_>) -> Outcome {
    let data = &mut call.server.data;
    let Some(slot) = data.find(call.arguments.get(2)) else {
        call.reply.null();
        return Ok(());
    };
    if call.arguments.is(1, "FREQ") {
        if !data.counts_uses() {
            return Err(
                "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when \
                 switching between policies at runtime LRU and LFU data will take some time to adjust.",
            );
        }
        call.reply.integer(i64::from(data.frequency(slot)));
    } else if call.arguments.is(1, "IDLETIME") {
        if data.counts_uses() {
            return Err(
                "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when switching \
                 between policies at runtime LRU and LFU data will take some time to adjust.",
            );
        }
        call.reply.integer(i64::from(data.idle_seconds(slot)));
    } else if call.arguments.is(1, "ENCODING") {
        call.reply.bulk(data.encoding(slot).as_bytes());
    } else if call.arguments.is(1, "REFCOUNT") {
        call.reply.integer(1);
    } else {
        return Err(SYNTAX);
    }
    Ok(())
}
