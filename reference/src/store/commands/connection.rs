//! Commands about the connection they come over.

use super::{Call, Failure, Outcome, SYNTAX};
use crate::resp::integer;

/// The version whose behaviour we keep to; clients ask.
pub(super) const REDIS_VERSION: &str = "7.0.15";

pub(super) fn ping(call: &mut Call<'_>) -> Outcome {
    let message = call.arguments.get(1);
    let listens = call.server.clients.get(call.client).is_some_and(|client| client.listens());
    if listens && !call.reply.is_version3() {
        call.reply.array(2);
        call.reply.bulk(b"pong");
        call.reply.bulk(message);
    } else if call.arguments.len() == 1 {
        call.reply.simple("PONG");
    } else {
        call.reply.bulk(message);
    }
    Ok(())
}

pub(super) fn echo(call: &mut Call<'_>) -> Outcome {
    call.reply.bulk(call.arguments.get(1));
    Ok(())
}

pub(super) fn select(call: &mut Call<'_>) -> Outcome {
    match integer(call.arguments.get(1)) {
        Some(0) => call.reply.simple("OK"),
        _ => return Err("ERR DB index is out of range"),
    }
    Ok(())
}

pub(super) fn quit(call: &mut Call<'_>) -> Outcome {
    if let Some(client) = call.server.clients.get_mut(call.client) {
        client.over = true;
    }
    call.reply.simple("OK");
    Ok(())
}

/// Whether a name and a password are right.
fn admit(call: &mut Call<'_>, name: &[u8], password: &[u8]) -> Outcome {
    let expected = call.server.settings.password.as_bytes();
    // All of both is compared, so that the time does not tell how much was right.
    let differs = expected.iter().zip(password).fold(0, |differs, (a, b)| differs | (a ^ b));
    if name != b"default" || expected.len() != password.len() || differs != 0 {
        return Err("WRONGPASS invalid username-password pair or user is disabled.");
    }
    if let Some(client) = call.server.clients.get_mut(call.client) {
        client.stranger = false;
    }
    Ok(())
}

pub(super) fn auth(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    if arguments.len() == 2 {
        if call.server.settings.password.is_empty() {
            return Err(
                "ERR AUTH <password> called without any password configured for the default user. Are you \
                        sure your configuration is correct?",
            );
        }
        admit(call, b"default", arguments.get(1))?;
    } else if call.server.settings.password.is_empty() && arguments.is(1, "default") {
        // Anything will do where nothing is asked.
    } else {
        admit(call, arguments.get(1), arguments.get(2))?;
    }
    call.reply.simple("OK");
    Ok(())
}

pub(super) fn hello(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    let version3 = match (arguments.len(), integer(arguments.get(1))) {
        (1, _) => call.reply.is_version3(),
        (_, Some(2)) => false,
        (_, Some(3)) => true,
        _ => return Err("NOPROTO unsupported protocol version"),
    };
    let mut name: Option<String> = None;
    let mut at = 2;
    while at < arguments.len() {
        if arguments.is(at, "AUTH") && at + 2 < arguments.len() {
            if !call.server.settings.password.is_empty() {
                admit(call, arguments.get(at + 1), arguments.get(at + 2))?;
            }
            at += 3;
        } else if arguments.is(at, "SETNAME") && at + 1 < arguments.len() {
            name = Some(client_name(arguments.get(at + 1))?);
            at += 2;
        } else {
            return Err(SYNTAX);
        }
    }
    let Some(client) = call.server.clients.get_mut(call.client) else { return Ok(()) };
    if client.stranger {
        return Err(
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> \
                    AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol \
                    version at the same time",
        );
    }
    client.version3 = version3;
    if let Some(name) = name {
        client.name = name;
    }
    let id = client.id;
    let role = if call.server.replication.following.is_some() { "replica" } else { "master" };
    let reply = &mut call.reply;
    reply.set_version3(version3);
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(if version3 { 3 } else { 2 });
    reply.bulk(b"id");
    reply.integer(id as i64);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(role.as_bytes());
    reply.bulk(b"modules");
    reply.array(0);
    Ok(())
}

/// A name that can stand in a list of clients.
pub(super) fn client_name(bytes: &[u8]) -> Result<String, Failure> {
    let is_fine = bytes.iter().all(|byte| (b'!'..=b'~').contains(byte));
    let name = String::from_utf8(bytes.to_vec()).ok().filter(|_| is_fine);
    name.ok_or("ERR Client names cannot contain spaces, newlines or special characters.")
}

pub(super) fn reset(call: &mut Call<'_>) -> Outcome {
    let stranger = !call.server.settings.password.is_empty();
    call.server.leave_all(call.client);
    super::transactions::forget_watches(call);
    if let Some(client) = call.server.clients.get_mut(call.client) {
        client.transaction = None;
        client.name.clear();
        client.version3 = false;
        client.stranger = stranger;
    }
    call.reply.set_version3(false);
    call.reply.simple("RESET");
    Ok(())
}
