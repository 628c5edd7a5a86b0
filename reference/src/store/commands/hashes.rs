//! Commands about hashes.

use super::keys::scan_options;
use super::strings::float_sum;
use super::{Call, Failure, Outcome, TOO_LONG, WRONG_TYPE};
use crate::resp::{REPLY_LIMIT, integer};
use crate::store::data::Data;
use crate::store::fields::Fields;
use crate::store::glob;

/// The fields of a key that is looked up; none where there is no key.
fn fields<'d>(data: &'d mut Data, key: &[u8]) -> Result<Option<&'d Fields>, Failure> {
    match data.look_up(key) {
        None => Ok(None),
        Some(slot) => data.fields(slot).map(Some).ok_or(WRONG_TYPE),
    }
}

/// Sets fields; how many of them are new.
fn set(call: &mut Call<'_>, name: &'static str) -> Result<usize, Failure> {
    if !call.arguments.len().is_multiple_of(2) {
        return Err(name);
    }
    let arguments = call.arguments;
    let set =
        |fields: &mut Fields| arguments.pairs(2).filter(|(name, value)| fields.set(name, value)).count();
    Ok(call.server.data.change_fields(arguments.get(1), set)?)
}

pub(super) fn hset(call: &mut Call<'_>) -> Outcome {
    let new = set(call, "ERR wrong number of arguments for 'hset' command")?;
    call.reply.integer(new as i64);
    Ok(())
}

pub(super) fn hmset(call: &mut Call<'_>) -> Outcome {
    set(call, "ERR wrong number of arguments for 'hmset' command")?;
    call.reply.simple("OK");
    Ok(())
}

pub(super) fn hsetnx(call: &mut Call<'_>) -> Outcome {
    let (key, name, value) = (call.arguments.get(1), call.arguments.get(2), call.arguments.get(3));
    let new = call.server.data.change_fields(key, |fields| {
        let is_new = fields.get(name).is_none();
        if is_new {
            fields.set(name, value);
        }
        is_new
    })?;
    call.reply.integer(i64::from(new));
    Ok(())
}

pub(super) fn hget(call: &mut Call<'_>) -> Outcome {
    let fields = fields(&mut call.server.data, call.arguments.get(1))?;
    match fields.and_then(|fields| fields.get(call.arguments.get(2))) {
        Some(value) => call.reply.bulk(value),
        None => call.reply.null(),
    }
    Ok(())
}

pub(super) fn hmget(call: &mut Call<'_>) -> Outcome {
    let fields = fields(&mut call.server.data, call.arguments.get(1))?;
    let start = call.reply.len();
    call.reply.array(call.arguments.len() - 2);
    for name in call.arguments.from(2) {
        let value = fields.and_then(|fields| fields.get(name));
        if call.reply.len() - start + value.map_or(0, <[u8]>::len) > REPLY_LIMIT {
            return Err(TOO_LONG);
        }
        match value {
            Some(value) => call.reply.bulk(value),
            None => call.reply.null(),
        }
    }
    Ok(())
}

pub(super) fn hgetall(call: &mut Call<'_>) -> Outcome {
    let fields = fields(&mut call.server.data, call.arguments.get(1))?;
    call.reply.map(fields.map_or(0, Fields::len));
    for (name, value) in fields.iter().flat_map(|fields| fields.iter()) {
        call.reply.bulk(name);
        call.reply.bulk(value);
    }
    Ok(())
}

pub(super) fn hkeys(call: &mut Call<'_>) -> Outcome {
    let fields = fields(&mut call.server.data, call.arguments.get(1))?;
    call.reply.array(fields.map_or(0, Fields::len));
    fields.iter().flat_map(|fields| fields.iter()).for_each(|(name, _)| call.reply.bulk(name));
    Ok(())
}

pub(super) fn hvals(call: &mut Call<'_>) -> Outcome {
    let fields = fields(&mut call.server.data, call.arguments.get(1))?;
    call.reply.array(fields.map_or(0, Fields::len));
    fields.iter().flat_map(|fields| fields.iter()).for_each(|(_, value)| call.reply.bulk(value));
    Ok(())
}

pub(super) fn hdel(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    let data = &mut call.server.data;
    let slot = data.find(arguments.get(1));
    let is_without = |fields: &Fields| arguments.from(2).all(|name| fields.get(name).is_none());
    // What has no fields at all is no hash, which is an error below.
    if slot.is_none_or(|slot| data.fields(slot).is_some_and(is_without)) {
        // Copies and watchers need not hear of what does not change.
        call.reply.integer(0);
        return Ok(());
    }
    let remove = |fields: &mut Fields| arguments.from(2).filter(|name| fields.remove(name)).count();
    let gone = call.server.data.change_fields(arguments.get(1), remove)?;
    call.reply.integer(gone as i64);
    Ok(())
}

pub(super) fn hlen(call: &mut Call<'_>) -> Outcome {
    let fields = fields(&mut call.server.data, call.arguments.get(1))?;
    call.reply.integer(fields.map_or(0, Fields::len) as i64);
    Ok(())
}

pub(super) fn hexists(call: &mut Call<'_>) -> Outcome {
    let fields = fields(&mut call.server.data, call.arguments.get(1))?;
    let is_there = fields.is_some_and(|fields| fields.get(call.arguments.get(2)).is_some());
    call.reply.integer(i64::from(is_there));
    Ok(())
}

pub(super) fn hstrlen(call: &mut Call<'_>) -> Outcome {
    let fields = fields(&mut call.server.data, call.arguments.get(1))?;
    let value = fields.and_then(|fields| fields.get(call.arguments.get(2)));
    call.reply.integer(value.map_or(0, <[u8]>::len) as i64);
    Ok(())
}

pub(super) fn hincrby(call: &mut Call<'_>) -> Outcome {
    const NOT_INTEGER: &str = "ERR hash value is not an integer";
    let (key, name) = (call.arguments.get(1), call.arguments.get(2));
    let more = integer(call.arguments.get(3)).ok_or(super::NOT_INTEGER)?;
    let sum = call.server.data.change_fields(key, |fields| {
        let current = fields.get(name).map_or(Some(0), integer).ok_or(NOT_INTEGER)?;
        let sum = current.checked_add(more).ok_or("ERR increment or decrement would overflow")?;
        fields.set(name, sum.to_string().as_bytes());
        Ok::<_, Failure>(sum)
    })??;
    call.reply.integer(sum);
    Ok(())
}

pub(super) fn hincrbyfloat(call: &mut Call<'_>) -> Outcome {
    let (key, name, more) = (call.arguments.get(1), call.arguments.get(2), call.arguments.get(3));
    // Before a hash is made for it.
    float_sum(None, more)?;
    let sum = call.server.data.change_fields(key, |fields| {
        let sum = float_sum(fields.get(name), more).map_err(|_| "ERR hash value is not a float")?;
        fields.set(name, sum.as_bytes());
        Ok::<_, Failure>(sum)
    })??;
    call.reply.bulk(sum.as_bytes());
    Ok(())
}

/// A hash is scanned at once, as Redis does with packed ones.
pub(super) fn hscan(call: &mut Call<'_>) -> Outcome {
    let scan = scan_options(call, 2)?;
    let fields = fields(&mut call.server.data, call.arguments.get(1))?;
    let is_wanted = |name: &[u8]| scan.pattern.is_none_or(|pattern| glob::matches(pattern, name));
    let found: Vec<_> =
        fields.iter().flat_map(|fields| fields.iter()).filter(|(name, _)| is_wanted(name)).collect();
    call.reply.array(2);
    call.reply.bulk(b"0");
    call.reply.array(2 * found.len());
    for (name, value) in found {
        call.reply.bulk(name);
        call.reply.bulk(value);
    }
    Ok(())
}
