//! Commands that are carried out at once: `MULTI` and `EXEC`, where nothing changed that they rest on: `WATCH`.

use super::table::Flag;
use super::{Arguments, Call, Outcome, TOO_LONG, carry_out, table};
use crate::resp::{COMMAND_LIMIT, REPLY_LIMIT, Writer};
use crate::store::clients::{Client, Queued, name_bytes};
use crate::store::eviction::Room;
use crate::store::server::Server;

pub(super) fn multi(call: &mut Call<'_>) -> Outcome {
    let Some(client) = call.server.clients.get_mut(call.client) else { return Ok(()) };
    if client.transaction.is_some() {
        return Err("ERR MULTI calls can not be nested");
    }
    client.transaction = Some(Box::default());
    call.reply.simple("OK");
    Ok(())
}

/// A command of a transaction could not be understood, so the whole will not be carried out.
pub(super) fn spoil(server: &mut Server, client: usize) {
    if let Some(transaction) = server.clients.get_mut(client).and_then(|client| client.transaction.as_mut()) {
        transaction.broken = true;
    }
}

/// Puts a command off until `EXEC`.
pub(super) fn queue(server: &mut Server, client: usize, arguments: Arguments<'_>, reply: &mut Writer<'_>) {
    let transaction = server.clients.get_mut(client).and_then(|client| client.transaction.as_mut());
    let Some(transaction) = transaction else { return };
    let (mut bytes, mut ranges) = (Vec::new(), Vec::with_capacity(arguments.len()));
    for argument in arguments.from(0) {
        let start = bytes.len() as u32;
        bytes.extend_from_slice(argument);
        ranges.push((start, bytes.len() as u32));
    }
    transaction.bytes += (bytes.len() + 8 * ranges.len() + 64) as u64;
    if transaction.bytes > COMMAND_LIMIT as u64 {
        transaction.broken = true;
        transaction.queue = Vec::new();
        return reply.error("ERR the transaction is too long");
    }
    if !transaction.broken {
        transaction.queue.push((bytes, ranges));
    }
    reply.simple("QUEUED");
}

pub(super) fn exec(call: &mut Call<'_>) -> Outcome {
    let client = call.server.clients.get_mut(call.client);
    let Some(transaction) = client.and_then(|client| client.transaction.take()) else {
        return Err("ERR EXEC without MULTI");
    };
    let watched = &call.server.data.watched;
    let watches = call.server.clients.get(call.client).map_or(&[][..], |client| &client.watches);
    let has_changed = watches.iter().any(|(key, changes)| watched.changes(key) != *changes);
    forget_watches(call);
    if transaction.broken {
        return Err("EXECABORT Transaction discarded because of previous errors.");
    }
    if has_changed {
        call.reply.null_array();
        return Ok(());
    }
    let flag = |name: &[u8], flag| table::named(name).is_some_and(|command| command.has(flag));
    let is_write = |(input, ranges): &Queued| flag(Arguments { input, ranges }.get(0), Flag::Writes);
    if call.server.data.is_copy && transaction.queue.iter().any(is_write) {
        return Err(
            "EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.",
        );
    }
    // There may be less room than when the commands were queued.
    let needs_room = |(input, ranges): &Queued| flag(Arguments { input, ranges }.get(0), Flag::NeedsRoom);
    if transaction.queue.iter().any(needs_room) && call.server.make_room() == Room::None {
        return Err(
            "EXECABORT Transaction discarded because of: OOM command not allowed when used memory > 'maxmemory'.",
        );
    }
    let mut out = Vec::new();
    call.server.is_executing = true;
    for (input, ranges) in &transaction.queue {
        let arguments = Arguments { input, ranges };
        let Some(command) = table::named(arguments.get(0)) else { continue };
        let version3 = call.server.clients.get(call.client).is_some_and(|client| client.version3);
        let before = out.len();
        carry_out(call.server, call.client, command, arguments, Writer::new(&mut out, version3));
        if out.len() > REPLY_LIMIT {
            // All is carried out or nothing: only the answers end here.
            out.truncate(before);
            Writer::new(&mut out, version3).error(TOO_LONG);
        }
    }
    call.server.is_executing = false;
    call.reply.array(transaction.queue.len());
    call.reply.raw(&out);
    Ok(())
}

pub(super) fn discard(call: &mut Call<'_>) -> Outcome {
    let client = call.server.clients.get_mut(call.client);
    if client.and_then(|client| client.transaction.take()).is_none() {
        return Err("ERR DISCARD without MULTI");
    }
    forget_watches(call);
    call.reply.simple("OK");
    Ok(())
}

pub(super) fn watch(call: &mut Call<'_>) -> Outcome {
    let Some(client) = call.server.clients.get_mut(call.client) else { return Ok(()) };
    if client.transaction.is_some() {
        return Err("ERR WATCH inside MULTI is not allowed");
    }
    for key in call.arguments.from(1) {
        if client.watches.iter().all(|(watched, _)| **watched != *key) {
            client.kept_names_bytes += name_bytes(key);
            client.watches.push((key.into(), call.server.data.watched.watch(key)));
        }
    }
    call.reply.simple("OK");
    Ok(())
}

pub(super) fn unwatch(call: &mut Call<'_>) -> Outcome {
    forget_watches(call);
    call.reply.simple("OK");
    Ok(())
}

pub(super) fn forget_watches(call: &mut Call<'_>) {
    let client = call.server.clients.get_mut(call.client);
    let take = |client: &mut Client| {
        let watches = std::mem::take(&mut client.watches);
        client.kept_names_bytes -= watches.iter().map(|(key, _)| name_bytes(key)).sum::<u64>();
        watches
    };
    for (key, _) in client.map(take).unwrap_or_default() {
        call.server.data.watched.unwatch(&key);
    }
}
