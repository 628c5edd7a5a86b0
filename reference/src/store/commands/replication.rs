//! Commands about copies of the store.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::{Call, NOT_INTEGER, Outcome, SYNTAX};
use crate::resp::integer;
use crate::store::clients::Awaited;
use crate::store::replication::copy::{Original, follow};

pub(super) fn replicaof(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    if arguments.is(1, "NO") && arguments.is(2, "ONE") {
        call.server.lead();
        call.reply.simple("OK");
        return Ok(());
    }
    let text = |index: usize| std::str::from_utf8(arguments.get(index)).ok();
    let host = text(1).map(|host| if host == "localhost" { "127.0.0.1" } else { host });
    let host = host
        .and_then(|host| host.parse::<IpAddr>().ok())
        .ok_or("ERR Invalid master address: give its number")?;
    let port = text(2).and_then(|port| port.parse().ok()).ok_or("ERR Invalid master port")?;
    let Some(server) = call.server.me.upgrade() else { return Err("ERR there is nobody who could follow") };
    let address = SocketAddr::new(host, port);
    follow(call.server, server, Original { address, shares_standing: false, lag: Duration::ZERO });
    call.reply.simple("OK");
    Ok(())
}

pub(super) fn replconf(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    let now = call.server.data.clock.now_ms();
    let Some(client) = call.server.clients.get_mut(call.client) else { return Ok(()) };
    let copy = client.copy.get_or_insert_default();
    for (name, value) in arguments.pairs(1) {
        match name.to_ascii_lowercase().as_slice() {
            b"listening-port" => {
                copy.port = integer(value).and_then(|port| u16::try_from(port).ok()).ok_or(SYNTAX)?;
            }
            b"capa" => copy.knows_standing |= value == b"standing",
            b"ip-address" => {}
            b"ack" => {
                copy.has = integer(value).and_then(|has| u64::try_from(has).ok()).ok_or(SYNTAX)?;
                copy.said_ms = now;
                // To this there is no answer.
                return Ok(());
            }
            _ => return Err("ERR Unrecognized REPLCONF option"),
        }
    }
    call.reply.simple("OK");
    Ok(())
}

pub(super) fn psync(call: &mut Call<'_>) -> Outcome {
    if call.server.replication.following.is_some() {
        return Err("ERR copies of copies are not made here");
    }
    let id = std::str::from_utf8(call.arguments.get(1)).map_err(|_| SYNTAX)?;
    let offset = integer(call.arguments.get(2)).ok_or(SYNTAX)?;
    call.server.begin_copy(call.client, id, offset, &mut call.reply);
    Ok(())
}

pub(super) fn role(call: &mut Call<'_>) -> Outcome {
    let (server, reply) = (&*call.server, &mut call.reply);
    let offset = server.replication.offset as i64;
    if let Some(original) = &server.replication.following {
        reply.array(5);
        reply.bulk(b"slave");
        reply.bulk(original.address.ip().to_string().as_bytes());
        reply.integer(i64::from(original.address.port()));
        reply.bulk(if original.is_linked { b"connected" } else { b"connect" });
        reply.integer(offset);
        return Ok(());
    }
    reply.array(3);
    reply.bulk(b"master");
    reply.integer(offset);
    let copies: Vec<_> =
        server.replication.copies.iter().filter_map(|index| server.clients.get(*index)).collect();
    reply.array(copies.len());
    for client in copies {
        let ip = client.address.map(|address| address.ip().to_string()).unwrap_or_default();
        let (port, has) = client.copy.as_ref().map_or((0, 0), |copy| (copy.port, copy.has));
        reply.array(3);
        reply.bulk(ip.as_bytes());
        reply.bulk(port.to_string().as_bytes());
        reply.bulk(has.to_string().as_bytes());
    }
    Ok(())
}

/// Lets its client wait until so many copies have what was written until now, or no longer.
pub(super) fn wait(call: &mut Call<'_>) -> Outcome {
    let wanted = integer(call.arguments.get(1)).ok_or(NOT_INTEGER)?;
    let timeout_ms = integer(call.arguments.get(2)).ok_or("ERR timeout is not an integer or out of range")?;
    let timeout_ms = u64::try_from(timeout_ms).map_err(|_| "ERR timeout is negative")?;
    if call.server.replication.following.is_some() {
        return Err(
            "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
             configured to be writable (which is not the default) writes to replicas are just local and are not propagated.",
        );
    }
    // What has changed is part of the stream only now.
    call.server.replicate();
    let offset = call.server.replication.offset;
    let have = call.server.copies_with(offset) as i64;
    // Nobody waits for his own transaction.
    let is_queued = call.server.is_executing;
    if have >= wanted || is_queued {
        call.reply.integer(have);
        return Ok(());
    }
    // So that copies say at once how far they are.
    call.server.stream(b"*3\r\n$8\r\nREPLCONF\r\n$6\r\nGETACK\r\n$1\r\n*\r\n");
    let until_ms = (timeout_ms > 0).then(|| call.server.data.clock.now_ms() + timeout_ms);
    call.server.waiting.push(call.client);
    if let Some(client) = call.server.clients.get_mut(call.client) {
        client.waits_for = Some(Awaited { offset, wanted: wanted as u64, until_ms });
    }
    Ok(())
}
