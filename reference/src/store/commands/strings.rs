//! Commands about strings.

use super::extended::Extended;
use super::{Call, Failure, NOT_INTEGER, Outcome, SYNTAX, TOO_LONG, WRONG_TYPE};
use crate::resp::{BULK_LIMIT, REPLY_LIMIT, Writer, integer};
use crate::store::data::{Expiry, WrongType};
use crate::store::prefill::FILLER;
use crate::store::record::{Content, Value};

impl From<WrongType> for Failure {
    fn from(WrongType: WrongType) -> Self {
        WRONG_TYPE
    }
}

#[inline]
fn write(value: Option<Value<'_>>, reply: &mut Writer<'_>) {
    match value {
        None => reply.null(),
        Some(Value::Padding(len)) => reply.bulk_run(FILLER, len),
        Some(Value::Bytes(bytes)) => reply.bulk(bytes),
    }
}

pub(super) fn get(call: &mut Call<'_>) -> Outcome {
    let value = call.server.data.get(call.arguments.get(1))?;
    write(value, &mut call.reply);
    Ok(())
}

pub(super) fn mget(call: &mut Call<'_>) -> Outcome {
    let start = call.reply.len();
    call.reply.array(call.arguments.len() - 1);
    for key in call.arguments.from(1) {
        // What is no string counts as missing.
        let value = call.server.data.get(key).unwrap_or_default();
        // A short command can name a large value very often.
        if call.reply.len() - start + value.map_or(0, Value::len) > REPLY_LIMIT {
            return Err(TOO_LONG);
        }
        write(value, &mut call.reply);
    }
    Ok(())
}

/// When a key expires, as an option of a command says it.
fn lifetime(call: &Call<'_>, unit: &str, text: &[u8]) -> Result<u64, Failure> {
    const INVALID: &str = "ERR invalid expire time in command";
    let number = integer(text).ok_or(NOT_INTEGER)?;
    let unit_ms = if unit.starts_with('E') { 1000 } else { 1 };
    let ms = number.checked_mul(unit_ms).filter(|ms| *ms > 0).ok_or(INVALID)? as u64;
    // One that is past already leaves a key that the next look removes.
    Ok(if unit.ends_with("AT") { ms.saturating_sub(call.server.data.clock.unix_ms()) } else { ms })
}

pub(super) fn set(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    let (mut expiry, mut only_new, mut only_old, mut wants_old) = (None, false, false, false);
    let mut at = 3;
    while at < arguments.len() {
        if arguments.is(at, "NX") {
            only_new = true;
        } else if arguments.is(at, "XX") {
            only_old = true;
        } else if arguments.is(at, "GET") {
            wants_old = true;
        } else if arguments.is(at, "KEEPTTL") && expiry.is_none() {
            expiry = Some(Expiry::Keep);
        } else if let Some(unit) =
            ["EX", "PX", "EXAT", "PXAT"].into_iter().find(|unit| arguments.is(at, unit))
            && expiry.is_none()
            && at + 1 < arguments.len()
        {
            at += 1;
            expiry = Some(Expiry::In(lifetime(call, unit, arguments.get(at))?));
        } else {
            return Err(SYNTAX);
        }
        at += 1;
    }
    if only_new && only_old {
        return Err(SYNTAX);
    }
    let key = arguments.get(1);
    let data = &mut call.server.data;
    if wants_old {
        write(data.get(key)?, &mut call.reply);
    }
    if (only_new || only_old) && data.contains(key) != only_old {
        if !wants_old {
            call.reply.null();
        }
        return Ok(());
    }
    data.set(key, Value::new(arguments.get(2)), expiry.unwrap_or(Expiry::Never));
    if !wants_old {
        call.reply.simple("OK");
    }
    Ok(())
}

pub(super) fn setnx(call: &mut Call<'_>) -> Outcome {
    let (key, value) = (call.arguments.get(1), call.arguments.get(2));
    let is_new = !call.server.data.contains(key);
    if is_new {
        call.server.data.set(key, Value::new(value), Expiry::Never);
    }
    call.reply.integer(i64::from(is_new));
    Ok(())
}

fn set_with_ttl(call: &mut Call<'_>, unit: &str) -> Outcome {
    let ms = lifetime(call, unit, call.arguments.get(2))?;
    call.server.data.set(call.arguments.get(1), Value::new(call.arguments.get(3)), Expiry::In(ms));
    call.reply.simple("OK");
    Ok(())
}

pub(super) fn setex(call: &mut Call<'_>) -> Outcome {
    set_with_ttl(call, "EX")
}

pub(super) fn psetex(call: &mut Call<'_>) -> Outcome {
    set_with_ttl(call, "PX")
}

const ODD_MSET: &str = "ERR wrong number of arguments for 'mset' command";

pub(super) fn mset(call: &mut Call<'_>) -> Outcome {
    if call.arguments.len().is_multiple_of(2) {
        return Err(ODD_MSET);
    }
    for (key, value) in call.arguments.pairs(1) {
        call.server.data.set(key, Value::new(value), Expiry::Never);
    }
    call.reply.simple("OK");
    Ok(())
}

pub(super) fn msetnx(call: &mut Call<'_>) -> Outcome {
    if call.arguments.len().is_multiple_of(2) {
        return Err(ODD_MSET);
    }
    let all_new = call.arguments.pairs(1).all(|(key, _)| !call.server.data.contains(key));
    if all_new {
        for (key, value) in call.arguments.pairs(1) {
            call.server.data.set(key, Value::new(value), Expiry::Never);
        }
    }
    call.reply.integer(i64::from(all_new));
    Ok(())
}

pub(super) fn getset(call: &mut Call<'_>) -> Outcome {
    let (key, value) = (call.arguments.get(1), call.arguments.get(2));
    write(call.server.data.get(key)?, &mut call.reply);
    call.server.data.set(key, Value::new(value), Expiry::Never);
    Ok(())
}

pub(super) fn getdel(call: &mut Call<'_>) -> Outcome {
    let key = call.arguments.get(1);
    write(call.server.data.get(key)?, &mut call.reply);
    call.server.data.remove(key);
    Ok(())
}

pub(super) fn getex(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    let key = arguments.get(1);
    let unit = ["EX", "PX", "EXAT", "PXAT"].into_iter().find(|unit| arguments.is(2, unit));
    let change = match (arguments.len(), unit) {
        (2, _) => Expiry::Keep,
        (3, _) if arguments.is(2, "PERSIST") => Expiry::Never,
        (4, Some(unit)) => Expiry::In(lifetime(call, unit, arguments.get(3))?),
        _ => return Err(SYNTAX),
    };
    let data = &mut call.server.data;
    write(data.get(key)?, &mut call.reply);
    match (change, data.find(key)) {
        (Expiry::Never, Some(_)) => {
            data.persist(key);
        }
        (Expiry::In(ms), Some(slot)) => data.expire_slot(slot, ms as i64),
        _ => {}
    }
    Ok(())
}

/// The bytes of a string that is to be changed, without counting a hit; none where there is no key.
fn bytes(call: &mut Call<'_>) -> Result<Option<Vec<u8>>, Failure> {
    let data = &mut call.server.data;
    let Some(slot) = data.find(call.arguments.get(1)) else { return Ok(None) };
    match data.content(slot) {
        Content::String(value) => Ok(Some(value.to_vec())),
        Content::Hash => Err(WRONG_TYPE),
    }
}

const TOO_LARGE: &str = "ERR string exceeds maximum allowed size (proto-max-bulk-len)";

pub(super) fn append(call: &mut Call<'_>) -> Outcome {
    let mut bytes = bytes(call)?.unwrap_or_default();
    let (key, more) = (call.arguments.get(1), call.arguments.get(2));
    if bytes.len() + more.len() > BULK_LIMIT {
        return Err(TOO_LARGE);
    }
    bytes.extend_from_slice(more);
    call.server.data.set(key, Value::new(&bytes), Expiry::Keep);
    call.reply.integer(bytes.len() as i64);
    Ok(())
}

pub(super) fn strlen(call: &mut Call<'_>) -> Outcome {
    let length = call.server.data.get(call.arguments.get(1))?.map_or(0, Value::len);
    call.reply.integer(length as i64);
    Ok(())
}

pub(super) fn getrange(call: &mut Call<'_>) -> Outcome {
    let bounds = integer(call.arguments.get(2)).zip(integer(call.arguments.get(3)));
    let (start, end) = bounds.ok_or(NOT_INTEGER)?;
    let Some(value) = call.server.data.get(call.arguments.get(1))? else {
        call.reply.bulk(b"");
        return Ok(());
    };
    let length = value.len() as i64;
    // Negative ones count from the end.
    let absolute = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at };
    let (start, end) = (absolute(start), absolute(end).min(length - 1));
    let length = usize::try_from(end.saturating_sub(start).saturating_add(1)).unwrap_or(0);
    match value {
        Value::Padding(_) => call.reply.bulk_run(FILLER, length),
        Value::Bytes(_) if length == 0 => call.reply.bulk(b""),
        Value::Bytes(bytes) => call.reply.bulk(&bytes[start as usize..start as usize + length]),
    }
    Ok(())
}

pub(super) fn setrange(call: &mut Call<'_>) -> Outcome {
    let from = integer(call.arguments.get(2)).ok_or(NOT_INTEGER)?;
    let from = usize::try_from(from).map_err(|_| "ERR offset is out of range")?;
    let (key, piece) = (call.arguments.get(1), call.arguments.get(3));
    let mut bytes = bytes(call)?.unwrap_or_default();
    if !piece.is_empty() {
        let end = from.checked_add(piece.len()).filter(|end| *end <= BULK_LIMIT).ok_or(TOO_LARGE)?;
        bytes.resize(bytes.len().max(end), 0);
        bytes[from..end].copy_from_slice(piece);
        call.server.data.set(key, Value::new(&bytes), Expiry::Keep);
    }
    call.reply.integer(bytes.len() as i64);
    Ok(())
}

fn add(call: &mut Call<'_>, more: i64) -> Outcome {
    let current = match bytes(call)? {
        Some(bytes) => integer(&bytes).ok_or(NOT_INTEGER)?,
        None => 0,
    };
    let sum = current.checked_add(more).ok_or("ERR increment or decrement would overflow")?;
    let key = call.arguments.get(1);
    call.server.data.set(key, Value::new(sum.to_string().as_bytes()), Expiry::Keep);
    call.reply.integer(sum);
    Ok(())
}

pub(super) fn incr(call: &mut Call<'_>) -> Outcome {
    add(call, 1)
}

pub(super) fn decr(call: &mut Call<'_>) -> Outcome {
    add(call, -1)
}

pub(super) fn incrby(call: &mut Call<'_>) -> Outcome {
    let more = integer(call.arguments.get(2)).ok_or(NOT_INTEGER)?;
    add(call, more)
}

pub(super) fn decrby(call: &mut Call<'_>) -> Outcome {
    let less = integer(call.arguments.get(2)).ok_or(NOT_INTEGER)?;
    add(call, less.checked_neg().ok_or("ERR decrement would overflow")?)
}

/// The sum of what is kept and what is added, as text.
pub(super) fn float_sum(kept: Option<&[u8]>, more: &[u8]) -> Result<String, Failure> {
    const NOT_FLOAT: &str = "ERR value is not a valid float";
    let more = Extended::read(more).ok_or(NOT_FLOAT)?;
    let kept = kept.map_or(Some(Extended::zero()), Extended::read).ok_or(NOT_FLOAT)?;
    Ok(kept.plus(&more).write())
}

pub(super) fn incrbyfloat(call: &mut Call<'_>) -> Outcome {
    let kept = bytes(call)?;
    let sum = float_sum(kept.as_deref(), call.arguments.get(2))?;
    call.server.data.set(call.arguments.get(1), Value::new(sum.as_bytes()), Expiry::Keep);
    call.reply.bulk(sum.as_bytes());
    Ok(())
}
