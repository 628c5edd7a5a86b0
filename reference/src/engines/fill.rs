//! What is in a server before the run, as in the stack's own components: of a store the persistent keyspaces entirely, at every start,
//! and the most popular keys of the others at the first; of a database the rows of the most popular keys.
//!
//! Lifetimes begin when a key is written, which is a little before the run.

use std::fmt::Write as _;
use std::net::SocketAddr;

use scenarios::Scenario;
use scenarios::plan::Draws;
use scenarios::scenario::{ComponentId, Keyspace, KeyspaceId};

use super::mariadb::{DATABASE, table_name};
use crate::resp::{Client, Element, Failed};
use crate::sql::wire;
use crate::store::{FILLER, key_name, of_ranks};

/// Rows of a keyspace at the start; others are made when they are first asked for.
const ROWS: u64 = 20_000;
const ROWS_AT_ONCE: u64 = 1_000;
/// What is sent to a store before its answers are read.
const PIPELINE_BYTES: usize = 1 << 20;

/// Fills a Redis.
///
/// # Errors
/// Where it cannot be talked to, or has no room for what is persistent.
pub(super) async fn store(
    scenario: &Scenario,
    component: ComponentId,
    address: SocketAddr,
    first_start: bool,
) -> Result<(), Failed> {
    let draws = Draws::new(scenario);
    let mut client = Client::connect(address).await?;
    let mut here: Vec<KeyspaceId> =
        scenario.keyspace_ids().filter(|id| scenario.keyspace(*id).store == component).collect();
    // Persistent records first, so that the others get the room that is left.
    here.sort_by_key(|id| !scenario.keyspace(*id).persistent);
    for id in here {
        let keyspace = scenario.keyspace(id);
        let keys = match (keyspace.persistent, first_start) {
            (true, _) => keyspace.keys,
            (false, true) => keyspace.prefill.min(keyspace.keys),
            (false, false) => 0,
        };
        let filled = fill(&mut client, &draws, id, keyspace, keys).await;
        match filled {
            // A cache that is full is full.
            Err(Failed::Server(_)) if !keyspace.persistent => {}
            other => other?,
        }
    }
    Ok(())
}

/// The most popular key is written last.
async fn fill(
    client: &mut Client,
    draws: &Draws,
    id: KeyspaceId,
    keyspace: &Keyspace,
    keys: u64,
) -> Result<(), Failed> {
    let mut name = Vec::new();
    let mut keys = of_ranks(draws, id, keys).peekable();
    while keys.peek().is_some() {
        let (mut sent, mut bytes) = (0, 0);
        while let Some(key) = keys.next_if(|_| bytes < PIPELINE_BYTES) {
            let left = if keyspace.persistent { None } else { draws.prefill_ttl(id, keyspace, key) };
            client.command(if left.is_some() { 5 } else { 3 });
            client.argument(b"SET");
            key_name(&mut name, &keyspace.name, key);
            client.argument(&name);
            let value = vec![FILLER; draws.value_size(id, key, &keyspace.value) as usize];
            client.argument(&value);
            if let Some(left) = left {
                client.argument(b"PX");
                client.argument((left.as_nanos() / 1_000_000).max(1).to_string().as_bytes());
            }
            (sent, bytes) = (sent + 1, bytes + name.len() + value.len() + 64);
        }
        client.send().await?;
        let mut refused = None;
        for _ in 0..sent {
            match client.reply(|element| matches!(element, Element::Simple(b"OK")).then_some(())).await {
                Err(refusal @ Failed::Server(_)) => refused = refused.or(Some(refusal)),
                other => other?,
            }
        }
        if let Some(refusal) = refused {
            return Err(refusal);
        }
    }
    Ok(())
}

/// Throws away all that a Redis holds and that is not persistent.
///
/// # Errors
/// Where it cannot be talked to.
pub(super) async fn flush_store(
    scenario: &Scenario,
    component: ComponentId,
    address: SocketAddr,
) -> Result<(), Failed> {
    /// Everything by these names. They go by their names, as whatever asks a key for its lifetime counts as a hit.
    const SCRIPT: &[u8] = b"for _, names in ipairs(ARGV) do local at = '0' \
        repeat local found = redis.call('SCAN', at, 'MATCH', names, 'COUNT', 1000) at = found[1] \
        for _, key in ipairs(found[2]) do redis.call('UNLINK', key) end \
        until at == '0' end return redis.status_reply('OK')";
    let here = scenario.keyspaces.iter().filter(|keyspace| keyspace.store == component);
    let (persistent, others): (Vec<&Keyspace>, Vec<&Keyspace>) =
        here.partition(|keyspace| keyspace.persistent);
    let mut client = Client::connect(address).await?;
    if persistent.is_empty() {
        client.command(1);
        client.argument(b"FLUSHALL");
    } else {
        client.command(3 + others.len());
        client.argument(b"EVAL");
        client.argument(SCRIPT);
        client.argument(b"0");
        for keyspace in others {
            client.argument(format!("{}:*", keyspace.name).as_bytes());
        }
    }
    client.send().await?;
    client.reply(|element| matches!(element, Element::Simple(b"OK")).then_some(())).await
}

/// Fills a MariaDB.
///
/// # Errors
/// Where it cannot be talked to.
pub(super) async fn database(scenario: &Scenario, address: SocketAddr) -> Result<(), Failed> {
    let draws = Draws::new(scenario);
    let mut client = wire::Client::connect(address, DATABASE).await?;
    for id in scenario.keyspace_ids() {
        let keyspace = scenario.keyspace(id);
        let rows = keyspace.keys.min(ROWS);
        for from in (0..rows).step_by(ROWS_AT_ONCE as usize) {
            let keys = from..(from + ROWS_AT_ONCE).min(rows);
            let mut statement =
                format!("INSERT IGNORE INTO {} (id, value, version) VALUES ", table_name(keyspace));
            for (number, key) in keys.enumerate() {
                let comma = if number == 0 { "" } else { "," };
                let size = draws.value_size(id, key, &keyspace.value);
                write!(statement, "{comma}({key},REPEAT('{}',{size}),0)", char::from(FILLER))
                    .expect("writing to a string cannot fail");
            }
            client.query(statement.as_bytes()).await?;
        }
    }
    Ok(())
}
