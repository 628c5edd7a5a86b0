//! Commands that are not about keys: greetings, information, configuration.

use scenarios::scenario::Eviction;

use super::command::{Arguments, SYNTAX, Session};
use super::data::Data;
use super::policy_name;
use crate::resp::{Writer, integer};

/// The version whose behaviour we keep to; clients ask.
const REDIS_VERSION: &str = "7.0.0";

/// Executes what [`super::command::execute`] does not know.
pub(crate) fn execute(
    data: &mut Data,
    session: &mut Session,
    name: &[u8],
    arguments: Arguments<'_>,
    out: &mut Vec<u8>,
) {
    if name == b"HELLO" {
        return hello(session, arguments, out);
    }
    let mut reply = Writer::new(out, session.version3);
    match name {
        b"PING" => match arguments.len() {
            1 => reply.simple("PONG"),
            _ => reply.bulk(arguments.get(1)),
        },
        b"ECHO" => reply.bulk(arguments.get(1)),
        b"SELECT" => match integer(arguments.get(1)) {
            Some(0) => reply.simple("OK"),
            _ => reply.error("ERR DB index is out of range"),
        },
        b"QUIT" => {
            session.over = true;
            reply.simple("OK");
        }
        b"CLIENT" if arguments.is(1, "SETINFO") || arguments.is(1, "SETNAME") => reply.simple("OK"),
        b"CLIENT" if arguments.is(1, "ID") => reply.integer(1),
        b"CLIENT" if arguments.is(1, "GETNAME") => reply.null(),
        b"COMMAND" => reply.array(0),
        b"INFO" => reply.bulk(information(data).as_bytes()),
        b"CONFIG" if arguments.is(1, "GET") => get_settings(data, arguments, &mut reply),
        b"CONFIG" if arguments.is(1, "SET") => set_settings(data, arguments, &mut reply),
        b"CONFIG" if arguments.is(1, "RESETSTAT") => reply.simple("OK"),
        _ => {
            // The name comes from outside: no line ends may pass into the reply.
            let name: String =
                arguments.get(0).iter().take(64).map(|b| b.escape_ascii().to_string()).collect();
            reply.error(&format!("ERR unknown command '{name}'"));
        }
    }
}

fn hello(session: &mut Session, arguments: Arguments<'_>, out: &mut Vec<u8>) {
    match (arguments.len(), integer(arguments.get(1))) {
        (1, _) => {}
        (_, Some(2)) => session.version3 = false,
        (_, Some(3)) => session.version3 = true,
        _ => return Writer::new(out, session.version3).error("NOPROTO unsupported protocol version"),
    }
    let mut reply = Writer::new(out, session.version3);
    reply.map(5);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.integer(if session.version3 { 3 } else { 2 });
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
}

fn information(data: &Data) -> String {
    let counts = data.counts();
    format!(
        "# Server\r\nredis_version:{REDIS_VERSION}\r\nredis_mode:standalone\r\nprocess_id:{}\r\n\
         # Memory\r\nused_memory:{}\r\nmaxmemory:{}\r\nmaxmemory_policy:{}\r\n\
         # Stats\r\nexpired_keys:{}\r\nevicted_keys:{}\r\nkeyspace_hits:{}\r\nkeyspace_misses:{}\r\n\
         # Replication\r\nrole:master\r\n\
         # Keyspace\r\ndb0:keys={},expires={},avg_ttl=0\r\n",
        std::process::id(),
        data.memory(),
        data.limits.max_memory.unwrap_or(0),
        policy_name(data.limits.eviction),
        counts.expired,
        counts.evicted,
        counts.hits,
        counts.misses,
        data.len(),
        data.volatile_len(),
    )
}

const SETTINGS: [&str; 3] = ["maxmemory", "maxmemory-policy", "maxmemory-samples"];

fn get_settings(data: &Data, arguments: Arguments<'_>, reply: &mut Writer<'_>) {
    let matches = |name: &str| {
        arguments.from(2).any(|pattern| match pattern.strip_suffix(b"*") {
            Some(prefix) => name.as_bytes().starts_with(&prefix.to_ascii_lowercase()),
            None => pattern.eq_ignore_ascii_case(name.as_bytes()),
        })
    };
    let found: Vec<&str> = SETTINGS.into_iter().filter(|name| matches(name)).collect();
    reply.map(found.len());
    for name in found {
        reply.bulk(name.as_bytes());
        let value = match name {
            "maxmemory" => data.limits.max_memory.unwrap_or(0).to_string(),
            "maxmemory-policy" => policy_name(data.limits.eviction).to_owned(),
            _ => data.limits.samples.to_string(),
        };
        reply.bulk(value.as_bytes());
    }
}

fn set_settings(data: &mut Data, arguments: Arguments<'_>, reply: &mut Writer<'_>) {
    let mut limits = data.limits;
    if arguments.len() < 4 || !arguments.len().is_multiple_of(2) {
        return reply.error(SYNTAX);
    }
    for at in (2..arguments.len()).step_by(2) {
        let value = arguments.get(at + 1);
        let understood = if arguments.is(at, "maxmemory") {
            let bytes = memory(value);
            limits.max_memory = bytes.filter(|b| *b > 0);
            bytes.is_some()
        } else if arguments.is(at, "maxmemory-samples") {
            let samples = integer(value).filter(|n| (1..=64).contains(n));
            limits.samples = samples.map_or(limits.samples, |n| n as u32);
            samples.is_some()
        } else if arguments.is(at, "maxmemory-policy") {
            let policies = [Eviction::NoEviction, Eviction::VolatileLru];
            let policy =
                policies.into_iter().find(|p| value.eq_ignore_ascii_case(policy_name(*p).as_bytes()));
            limits.eviction = policy.unwrap_or(limits.eviction);
            policy.is_some()
        } else {
            false
        };
        if !understood {
            return reply.error("ERR CONFIG SET failed - unknown option or invalid argument");
        }
    }
    data.limits = limits;
    reply.simple("OK");
}

/// Redis's notation: `100mb` is binary, `100m` decimal.
fn memory(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match &text[digits..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(factor)
}
