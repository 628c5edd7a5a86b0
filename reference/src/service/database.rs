//! Connections to SQL stores: to the stack's own, which speaks RESP and draws what a statement takes, or to a real server, which
//! speaks MySQL's protocol and takes what it takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use scenarios::Scenario;
use scenarios::plan::RequestId;
use scenarios::scenario::{ComponentId, ComponentKind, KeyspaceId, Server};

use super::Service;
use super::backends::Kept;
use crate::engines;
use crate::resp::{Client, Element, Failed};
use crate::sql::wire;
use crate::store::FILLER;

/// A connection.
#[derive(Debug)]
pub(super) enum Database {
    /// To the stack's own.
    Own(Client),
    /// To a MariaDB.
    Real(wire::Client),
}

/// While nobody has a pair's virtual address, no SYN to it is answered, and the kernel repeats it; loopback refuses instead. So
/// connecting is repeated as often as the simulator does, and as Linux repeats SYNs at first (`tcp_syn_linear_timeouts`).
const REPEAT: Duration = Duration::from_secs(1);
const REPEATS: u32 = 10;

/// Where an SQL store is, and whether it is a real server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    address: SocketAddr,
    is_real: bool,
    /// Whether the address is a pair's, which moves from one machine to another.
    moves: bool,
}

impl Spot {
    /// That of a component.
    pub(super) fn new(scenario: &Scenario, id: ComponentId, address: SocketAddr) -> Self {
        let component = scenario.component(id);
        let moves = matches!(&component.kind, ComponentKind::SqlStore(store) if store.vip.is_some());
        Self { address, is_real: component.server() == Some(Server::Mariadb), moves }
    }

    /// Connects to the stack's own server.
    async fn connect(self) -> io::Result<Client> {
        let mut repeats = if self.moves { REPEATS } else { 0 };
        loop {
            match Client::connect(self.address).await {
                Err(error) if repeats > 0 && error.kind() == io::ErrorKind::ConnectionRefused => {
                    repeats -= 1;
                    tokio::time::sleep(REPEAT).await;
                }
                connected => return connected,
            }
        }
    }
}

impl Kept for Database {
    type Place = Spot;

    async fn open(place: Spot) -> io::Result<Self> {
        if !place.is_real {
            return Ok(Self::Own(place.connect().await?));
        }
        match wire::Client::connect(place.address, engines::DATABASE).await {
            Ok(client) => Ok(Self::Real(client)),
            Err(Failed::Io(error)) => Err(error),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    fn is_usable(&self) -> bool {
        match self {
            Self::Own(client) => client.is_reusable(),
            Self::Real(client) => client.is_reusable(),
        }
    }

    const TELLS: bool = true;
}

impl Service {
    /// One SQL statement. The stack's own server draws its processor time from the request and the number that it is told.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn statement(
        &self,
        verb: &str,
        id: RequestId,
        draw: usize,
        database: ComponentId,
        keyspace: KeyspaceId,
        keys: &[u64],
    ) -> Result<Vec<Vec<u8>>, Failed> {
        let mut database = self.backends.database(database).await?;
        self.state_to(&mut database, verb, id, draw, keyspace, keys).await
    }

    /// As [`Service::statement`], over a connection of the caller's. `LOCK` is a read of rows of which the first is locked until the
    /// connection updates it, or is closed.
    ///
    /// # Errors
    /// The database's.
    pub(super) async fn state_to(
        &self,
        database: &mut Database,
        verb: &str,
        id: RequestId,
        draw: usize,
        keyspace: KeyspaceId,
        keys: &[u64],
    ) -> Result<Vec<Vec<u8>>, Failed> {
        match database {
            Database::Own(client) => self.state_to_own(client, verb, id, draw, keyspace, keys).await,
            Database::Real(_) if keys.is_empty() => Ok(Vec::new()),
            Database::Real(client) if verb == "UPDATE" => self.update(client, keyspace, keys).await,
            Database::Real(client) => self.select(client, keyspace, keys, verb == "LOCK").await,
        }
    }

    async fn state_to_own(
        &self,
        client: &mut Client,
        verb: &str,
        id: RequestId,
        draw: usize,
        keyspace: KeyspaceId,
        keys: &[u64],
    ) -> Result<Vec<Vec<u8>>, Failed> {
        client.command(4 + keys.len());
        client.argument(verb.as_bytes());
        client.argument(self.context.scenario.keyspace(keyspace).name.as_bytes());
        client.argument(format!("{:016x}", id.0).as_bytes());
        client.argument(draw.to_string().as_bytes());
        for key in keys {
            client.argument(key.to_string().as_bytes());
        }
        client.send().await?;
        if verb == "UPDATE" {
            client.reply(|element| matches!(element, Element::Integer(_)).then_some(())).await?;
            return Ok(Vec::new());
        }
        let mut rows = Vec::with_capacity(keys.len());
        let row = |_, element: Element<'_>| match element {
            Element::Bulk(value) => Some(value.unwrap_or_default().to_vec()),
            _ => None,
        };
        client.array(keys.len(), row, &mut rows).await?;
        Ok(rows)
    }

    /// Reads rows, and makes those that nobody asked for before.
    async fn select(
        &self,
        client: &mut wire::Client,
        keyspace: KeyspaceId,
        keys: &[u64],
        locks: bool,
    ) -> Result<Vec<Vec<u8>>, Failed> {
        let table = engines::table_name(self.context.scenario.keyspace(keyspace));
        let end = if locks { " FOR UPDATE" } else { "" };
        if locks {
            client.begin().await?;
        }
        let statement = format!("SELECT id, value FROM {table} WHERE id IN ({}){end}", listed(keys));
        let mut found = BTreeMap::new();
        for row in client.query(statement.as_bytes()).await?.rows() {
            let mut columns = row.into_iter();
            let key = columns.next().and_then(|key| std::str::from_utf8(&key).ok()?.parse::<u64>().ok());
            found.extend(key.zip(columns.next()));
        }
        let missing: Vec<u64> = keys.iter().copied().filter(|key| !found.contains_key(key)).collect();
        if !missing.is_empty() {
            self.insert(client, keyspace, &missing, 0).await?;
        }
        let value = |key: &u64| found.get(key).cloned().unwrap_or_else(|| self.row(keyspace, *key));
        Ok(keys.iter().map(value).collect())
    }

    /// Raises the version of rows, and ends the transaction in which one was locked.
    async fn update(
        &self,
        client: &mut wire::Client,
        keyspace: KeyspaceId,
        keys: &[u64],
    ) -> Result<Vec<Vec<u8>>, Failed> {
        let table = engines::table_name(self.context.scenario.keyspace(keyspace));
        let mut distinct = keys.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let statement =
            format!("UPDATE {table} SET version = version + 1 WHERE id IN ({})", listed(&distinct));
        let changed = match client.query(statement.as_bytes()).await? {
            wire::Outcome::Changed(changed) => changed,
            wire::Outcome::Rows(_) => return Err(Failed::Server("rows instead of a number".to_owned())),
        };
        if changed < distinct.len() as u64 {
            self.insert(client, keyspace, &distinct, 1).await?;
        }
        client.commit().await?;
        Ok(Vec::new())
    }

    /// Makes rows that are not there by now.
    async fn insert(
        &self,
        client: &mut wire::Client,
        keyspace: KeyspaceId,
        keys: &[u64],
        version: u32,
    ) -> Result<(), Failed> {
        let description = self.context.scenario.keyspace(keyspace);
        let mut statement =
            format!("INSERT IGNORE INTO {} (id, value, version) VALUES ", engines::table_name(description));
        for (number, key) in keys.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            let size = self.context.draws.value_size(keyspace, *key, &description.value);
            write!(statement, "{comma}({key},REPEAT('{}',{size}),{version})", char::from(FILLER))
                .expect("writing to a string cannot fail");
        }
        client.query(statement.as_bytes()).await.map(drop)
    }

    fn row(&self, keyspace: KeyspaceId, key: u64) -> Vec<u8> {
        let size =
            self.context.draws.value_size(keyspace, key, &self.context.scenario.keyspace(keyspace).value);
        vec![FILLER; size as usize]
    }
}

/// Numbers for an `IN`.
fn listed(keys: &[u64]) -> String {
    let keys: Vec<String> = keys.iter().map(u64::to_string).collect();
    keys.join(",")
}
