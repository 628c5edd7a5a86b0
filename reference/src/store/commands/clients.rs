//! `CLIENT`: who is connected, and who shall not be any more.

use std::fmt::Write;

use super::connection::client_name;
use super::{Arguments, Call, Failure, Outcome, SYNTAX};
use crate::resp::integer;
use crate::store::clients::Client;

pub(super) fn client(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    if arguments.is(1, "ID") {
        let id = call.server.clients.get(call.client).map_or(0, |client| client.id);
        call.reply.integer(id as i64);
    } else if arguments.is(1, "SETNAME") && arguments.len() == 3 {
        let name = client_name(arguments.get(2))?;
        if let Some(client) = call.server.clients.get_mut(call.client) {
            client.name = name;
        }
        call.reply.simple("OK");
    } else if arguments.is(1, "GETNAME") {
        match call.server.clients.get(call.client).filter(|client| !client.name.is_empty()) {
            Some(client) => call.reply.bulk(client.name.as_bytes()),
            None => call.reply.null(),
        }
    } else if arguments.is(1, "INFO") {
        let mut line = String::new();
        if let Some(client) = call.server.clients.get(call.client) {
            describe(call, client, &mut line);
        }
        call.reply.bulk(line.as_bytes());
    } else if arguments.is(1, "LIST") {
        list(call)?;
    } else if arguments.is(1, "KILL") {
        kill(call)?;
    } else if arguments.is(1, "SETINFO") || arguments.is(1, "NO-EVICT") {
        call.reply.simple("OK");
    } else {
        return Err("ERR unknown subcommand or wrong number of arguments for 'CLIENT'");
    }
    Ok(())
}

fn describe(call: &Call<'_>, client: &Client, into: &mut String) {
    let now = call.server.data.clock.now_ms();
    let seconds = |since: u64| now.saturating_sub(since) / 1000;
    let address = client.address.map(|address| address.to_string()).unwrap_or_default();
    let local = local_address(client);
    let flags = match client {
        Client { copy: Some(_), .. } => "S",
        Client { is_original: true, .. } => "M",
        _ if client.listens() => "P",
        Client { waits_for: Some(_), .. } => "b",
        Client { transaction: Some(_), .. } => "x",
        _ => "N",
    };
    let queued = client.transaction.as_ref().map_or(-1, |transaction| transaction.queue.len() as i64);
    let (input, output) = (
        client.partial.as_ref().map_or(0, |partial| partial.input.len()),
        client.pending.len() - client.written,
    );
    writeln!(
        into,
        "id={} addr={address} laddr={local} fd=-1 name={} age={} idle={} flags={flags} db=0 sub={} psub={} ssub=0 \
         multi={queued} qbuf={input} qbuf-free=0 argv-mem=0 multi-mem=0 rbs=0 rbp=0 obl=0 oll=0 omem={output} \
         tot-mem={} events=r cmd={} user=default redir=-1 resp={}",
        client.id,
        client.name,
        seconds(client.created_ms),
        seconds(client.last_ms),
        client.channels.len(),
        client.patterns.len(),
        client.buffers(),
        client.last_command,
        if client.version3 { 3 } else { 2 },
    )
    .expect("writing to a string cannot fail");
}

/// Where it found the store.
fn local_address(client: &Client) -> String {
    let local = client.stream.as_ref().and_then(|stream| stream.local_addr().ok());
    local.map(|address| address.to_string()).unwrap_or_default()
}

/// `TYPE` as `CLIENT LIST` and `CLIENT KILL` have it.
fn is_of_type(client: &Client, kind: &[u8]) -> Result<bool, Failure> {
    match kind.to_ascii_lowercase().as_slice() {
        b"normal" => Ok(!client.listens() && client.copy.is_none() && !client.is_original),
        b"pubsub" => Ok(client.listens()),
        b"master" => Ok(client.is_original),
        b"replica" | b"slave" => Ok(client.copy.is_some()),
        _ => Err("ERR Unknown client type"),
    }
}

fn list(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    let mut ids = None;
    let kind = match arguments.len() {
        2 => None,
        4 if arguments.is(2, "TYPE") => Some(arguments.get(3)),
        4.. if arguments.is(2, "ID") => {
            let read: Option<Vec<i64>> = arguments.from(3).map(integer).collect();
            ids = Some(read.ok_or("ERR Invalid client ID")?);
            None
        }
        _ => return Err(SYNTAX),
    };
    let mut lines = String::new();
    for (_, client) in call.server.clients.iter() {
        let is_named = ids.as_ref().is_none_or(|ids| ids.contains(&(client.id as i64)));
        if is_named && kind.map_or(Ok(true), |kind| is_of_type(client, kind))? {
            describe(call, client, &mut lines);
        }
    }
    call.reply.bulk(lines.as_bytes());
    Ok(())
}

/// Which clients shall go: all conditions must hold.
fn is_meant(client: &Client, is_self: bool, arguments: Arguments<'_>) -> Result<bool, Failure> {
    let mut spares_self = true;
    let mut meant = true;
    for (name, value) in arguments.pairs(2) {
        match name.to_ascii_uppercase().as_slice() {
            b"ID" => {
                let id =
                    integer(value).filter(|id| *id > 0).ok_or("ERR client-id should be greater than 0")?;
                meant &= client.id == id as u64;
            }
            b"ADDR" => {
                meant &= client.address.is_some_and(|address| address.to_string().as_bytes() == value);
            }
            b"LADDR" => meant &= local_address(client).as_bytes() == value,
            b"TYPE" => meant &= is_of_type(client, value)?,
            b"USER" => meant &= value == b"default",
            b"SKIPME" => spares_self = !value.eq_ignore_ascii_case(b"no"),
            _ => return Err(SYNTAX),
        }
    }
    Ok(meant && !(is_self && spares_self))
}

fn kill(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    let mut meant = Vec::new();
    if arguments.len() == 3 {
        let wanted = arguments.get(2);
        let is_it = |client: &Client| client.address.is_some_and(|a| a.to_string().as_bytes() == wanted);
        meant.extend(call.server.clients.iter().filter(|(_, client)| is_it(client)).map(|(index, _)| index));
        if meant.is_empty() {
            return Err("ERR No such client");
        }
        call.reply.simple("OK");
    } else if arguments.len() >= 4 && arguments.len().is_multiple_of(2) {
        for (index, client) in call.server.clients.iter() {
            if is_meant(client, index == call.client, arguments)? {
                meant.push(index);
            }
        }
        call.reply.integer(meant.len() as i64);
    } else {
        return Err(SYNTAX);
    }
    for index in meant {
        if index == call.client {
            // It still gets its answer.
            if let Some(client) = call.server.clients.get_mut(index) {
                client.over = true;
            }
        } else {
            call.server.close(index);
        }
    }
    Ok(())
}
