//! Commands about lifetimes.

use super::{Call, Failure, NOT_INTEGER, Outcome};
use crate::resp::integer;

/// `NX`, `XX`, `GT`, `LT`: whether the lifetime may be changed, by what it is and what it would be.
fn may_change(call: &Call<'_>, old: Option<u64>, new: i64) -> Result<bool, Failure> {
    let arguments = call.arguments;
    let old = old.map(|ms| ms as i64);
    // None is the longest.
    Ok(match arguments.len() {
        3 => true,
        _ if arguments.is(3, "NX") => old.is_none(),
        _ if arguments.is(3, "XX") => old.is_some(),
        _ if arguments.is(3, "GT") => old.is_some_and(|old| new > old),
        _ if arguments.is(3, "LT") => old.is_none_or(|old| new < old),
        _ => return Err("ERR Unsupported option"),
    })
}

fn change(call: &mut Call<'_>, unit_ms: i64, is_absolute: bool) -> Outcome {
    let number = integer(call.arguments.get(2)).ok_or(NOT_INTEGER)?;
    let ms = number.checked_mul(unit_ms).ok_or("ERR invalid expire time in command")?;
    let now = call.server.data.clock.unix_ms() as i64;
    let in_ms = if is_absolute { ms.saturating_sub(now) } else { ms };
    let Some(slot) = call.server.data.find(call.arguments.get(1)) else {
        call.reply.integer(0);
        return Ok(());
    };
    let data = &call.server.data;
    let old = data.deadline(slot).map(|deadline| deadline - data.clock.now_ms());
    let changes = may_change(call, old, in_ms)?;
    if changes {
        call.server.data.expire_slot(slot, in_ms);
    }
    call.reply.integer(i64::from(changes));
    Ok(())
}

pub(super) fn expire(call: &mut Call<'_>) -> Outcome {
    change(call, 1000, false)
}

pub(super) fn pexpire(call: &mut Call<'_>) -> Outcome {
    change(call, 1, false)
}

pub(super) fn expireat(call: &mut Call<'_>) -> Outcome {
    change(call, 1000, true)
}

pub(super) fn pexpireat(call: &mut Call<'_>) -> Outcome {
    change(call, 1, true)
}

fn remaining(call: &mut Call<'_>, unit: impl Fn(u64, u64) -> u64) -> Outcome {
    let now = call.server.data.clock.unix_ms();
    call.reply.integer(match call.server.data.remaining_ms(call.arguments.get(1)) {
        None => -2,
        Some(None) => -1,
        Some(Some(ms)) => unit(ms, now) as i64,
    });
    Ok(())
}

pub(super) fn ttl(call: &mut Call<'_>) -> Outcome {
    remaining(call, |ms, _| (ms + 500) / 1000)
}

pub(super) fn pttl(call: &mut Call<'_>) -> Outcome {
    remaining(call, |ms, _| ms)
}

pub(super) fn expiretime(call: &mut Call<'_>) -> Outcome {
    remaining(call, |ms, now| (now + ms + 500) / 1000)
}

pub(super) fn pexpiretime(call: &mut Call<'_>) -> Outcome {
    remaining(call, |ms, now| now + ms)
}

pub(super) fn persist(call: &mut Call<'_>) -> Outcome {
    let had = call.server.data.persist(call.arguments.get(1));
    call.reply.integer(i64::from(had));
    Ok(())
}
