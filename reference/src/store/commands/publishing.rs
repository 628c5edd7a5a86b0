//! Channels: messages to all who listen, kept for nobody.

use std::collections::{BTreeSet, HashMap};

use super::{Call, Outcome, SYNTAX};
use crate::resp::Writer;
use crate::store::clients::{Client, name_bytes};
use crate::store::glob;
use crate::store::server::{Server, leave};

impl Server {
    /// Takes a client off everything that it listens to.
    pub(super) fn leave_all(&mut self, client: usize) {
        let Some(listener) = self.clients.get_mut(client) else { return };
        let names = listener.channels.iter().chain(&listener.patterns);
        listener.kept_names_bytes -= names.map(|name| name_bytes(name)).sum::<u64>();
        for name in std::mem::take(&mut listener.channels) {
            leave(&mut self.channels, &name, client);
        }
        for name in std::mem::take(&mut listener.patterns) {
            leave(&mut self.patterns, &name, client);
        }
    }
}

/// Replies what a client has begun or ceased to listen to, and to how much it listens now.
fn confirm(call: &mut Call<'_>, verb: &str, name: Option<&[u8]>) {
    let listener = call.server.clients.get(call.client);
    let count = listener.map_or(0, |client| client.channels.len() + client.patterns.len());
    call.reply.push(3);
    call.reply.bulk(verb.as_bytes());
    match name {
        Some(name) => call.reply.bulk(name),
        None => call.reply.null(),
    }
    call.reply.integer(count as i64);
}

/// What can be listened to.
#[derive(Clone, Copy)]
enum To {
    Channels,
    Patterns,
}

impl To {
    fn of(self, client: &mut Client) -> &mut BTreeSet<Vec<u8>> {
        match self {
            Self::Channels => &mut client.channels,
            Self::Patterns => &mut client.patterns,
        }
    }

    fn of_all(self, server: &mut Server) -> &mut HashMap<Vec<u8>, BTreeSet<usize>> {
        match self {
            Self::Channels => &mut server.channels,
            Self::Patterns => &mut server.patterns,
        }
    }
}

fn listen(call: &mut Call<'_>, to: To, verb: &str) -> Outcome {
    for name in call.arguments.from(1) {
        if let Some(client) = call.server.clients.get_mut(call.client) {
            let is_new = to.of(client).insert(name.to_vec());
            client.kept_names_bytes += if is_new { name_bytes(name) } else { 0 };
        }
        to.of_all(call.server).entry(name.to_vec()).or_default().insert(call.client);
        confirm(call, verb, Some(name));
    }
    Ok(())
}

/// Without names, to nothing of the kind any more.
fn cease(call: &mut Call<'_>, to: To, verb: &str) -> Outcome {
    let mut names: Vec<Vec<u8>> = call.arguments.from(1).map(<[u8]>::to_vec).collect();
    if names.is_empty() {
        let client = call.server.clients.get_mut(call.client);
        names = client.map(|client| to.of(client).iter().cloned().collect()).unwrap_or_default();
    }
    for name in &names {
        if let Some(client) = call.server.clients.get_mut(call.client) {
            let was_there = to.of(client).remove(name);
            client.kept_names_bytes -= if was_there { name_bytes(name) } else { 0 };
        }
        leave(to.of_all(call.server), name, call.client);
        confirm(call, verb, Some(name));
    }
    if names.is_empty() {
        confirm(call, verb, None);
    }
    Ok(())
}

pub(super) fn subscribe(call: &mut Call<'_>) -> Outcome {
    listen(call, To::Channels, "subscribe")
}

pub(super) fn psubscribe(call: &mut Call<'_>) -> Outcome {
    listen(call, To::Patterns, "psubscribe")
}

pub(super) fn unsubscribe(call: &mut Call<'_>) -> Outcome {
    cease(call, To::Channels, "unsubscribe")
}

pub(super) fn punsubscribe(call: &mut Call<'_>) -> Outcome {
    cease(call, To::Patterns, "punsubscribe")
}

/// Gives one listener a message: to itself in its reply, so that the order is that of the commands.
fn deliver(call: &mut Call<'_>, listener: usize, parts: &[&[u8]]) {
    let Some(client) = call.server.clients.get(listener) else { return };
    let mut bytes = Vec::new();
    let mut message = Writer::new(&mut bytes, client.version3);
    message.push(parts.len());
    parts.iter().for_each(|part| message.bulk(part));
    if listener == call.client {
        call.reply.raw(&bytes);
    } else {
        call.server.send(listener, &bytes);
    }
}

pub(super) fn publish(call: &mut Call<'_>) -> Outcome {
    let (channel, message) = (call.arguments.get(1), call.arguments.get(2));
    let mut count = 0;
    let listeners: Vec<usize> =
        call.server.channels.get(channel).map(|all| all.iter().copied().collect()).unwrap_or_default();
    for listener in listeners {
        deliver(call, listener, &[b"message", channel, message]);
        count += 1;
    }
    let of_it = call.server.patterns.iter().filter(|(pattern, _)| glob::matches(pattern, channel));
    let mut listeners: Vec<(usize, Vec<u8>)> =
        of_it.flat_map(|(pattern, all)| all.iter().map(|index| (*index, pattern.clone()))).collect();
    listeners.sort();
    for (listener, pattern) in listeners {
        deliver(call, listener, &[b"pmessage", &pattern, channel, message]);
        count += 1;
    }
    call.reply.integer(count);
    Ok(())
}

pub(super) fn pubsub(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    if arguments.is(1, "CHANNELS") && arguments.len() <= 3 {
        let is_wanted = |name: &[u8]| arguments.len() == 2 || glob::matches(arguments.get(2), name);
        let mut names: Vec<_> = call.server.channels.keys().filter(|name| is_wanted(name)).collect();
        names.sort();
        call.reply.array(names.len());
        names.into_iter().for_each(|name| call.reply.bulk(name));
    } else if arguments.is(1, "NUMSUB") {
        call.reply.array(2 * (arguments.len() - 2));
        for name in arguments.from(2) {
            call.reply.bulk(name);
            call.reply.integer(call.server.channels.get(name).map_or(0, |all| all.len()) as i64);
        }
    } else if arguments.is(1, "NUMPAT") {
        call.reply.integer(call.server.patterns.len() as i64);
    } else {
        return Err(SYNTAX);
    }
    Ok(())
}
