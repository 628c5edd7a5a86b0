//! MySQL or MariaDB, by URL: a table for each keyspace, with a prefix so that nothing of anybody else's is touched. Rows are
//! made when they are first asked for, as in the embedded engine; a read of several is one statement.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use mysql_async::prelude::Queryable;
use mysql_async::{Opts, Params, Pool, Value};
use scenarios::Scenario;
use scenarios::law::SizeLaw;
use scenarios::plan::Draws;
use scenarios::scenario::KeyspaceId;

use super::ANSWER_LIMIT;
use crate::store::FILLER;

/// Rows in one INSERT at most: a packet is limited (`max_allowed_packet`, 16 MiB by default).
const INSERT_BYTES: usize = 4 << 20;

/// The tables of a scenario.
#[derive(Debug)]
pub(super) struct Tables {
    pool: Pool,
    draws: Draws,
    names: Vec<String>,
    sizes: Vec<SizeLaw>,
}

impl Tables {
    /// Connects, and makes the tables that are missing.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) async fn open(url: &str, scenario: &Scenario, draws: Draws) -> Result<Self, String> {
        // The driver knows one name of the two.
        let url = url.strip_prefix("mariadb://").map_or(url.to_owned(), |rest| format!("mysql://{rest}"));
        let options = Opts::from_url(&url).map_err(|error| error.to_string())?;
        let names = scenario.keyspaces.iter().map(|k| format!("`rehearsal_{}`", k.name.replace('`', "``")));
        let sizes = scenario.keyspaces.iter().map(|keyspace| keyspace.value).collect();
        let tables = Self { pool: Pool::new(options), draws, names: names.collect(), sizes };
        let mut connection = tables.pool.get_conn().await.map_err(told)?;
        for name in &tables.names {
            let statement = format!(
                "CREATE TABLE IF NOT EXISTS {name} \
                 (id BIGINT UNSIGNED PRIMARY KEY, value LONGBLOB NOT NULL, version BIGINT NOT NULL)"
            );
            connection.query_drop(statement).await.map_err(told)?;
        }
        Ok(tables)
    }

    /// The values of these rows, in this order; none where they are longer than a reply can be.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn select(
        &self,
        table: KeyspaceId,
        keys: &[u64],
    ) -> Result<Option<Vec<Vec<u8>>>, String> {
        let mut connection = self.pool.get_conn().await.map_err(told)?;
        let statement =
            format!("SELECT id, value FROM {} WHERE id IN ({})", self.names[table.index()], listed(keys));
        let rows: Vec<(u64, Vec<u8>)> = connection.query(statement).await.map_err(told)?;
        let mut found: BTreeMap<u64, Vec<u8>> = rows.into_iter().collect();
        let missing: Vec<u64> = keys.iter().copied().filter(|key| !found.contains_key(key)).collect();
        for key in &missing {
            found.insert(*key, self.derive(table, *key));
        }
        self.insert(&mut connection, table, &missing, &found).await?;
        let mut length = 0;
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            let value = found[key].clone();
            length += value.len();
            if length > ANSWER_LIMIT {
                return Ok(None);
            }
            values.push(value);
        }
        Ok(Some(values))
    }

    /// Raises the version of these rows, in one transaction; how many there were.
    ///
    /// # Errors
    /// The server's.
    pub(super) async fn update(&self, table: KeyspaceId, keys: &[u64]) -> Result<usize, String> {
        let mut connection = self.pool.get_conn().await.map_err(told)?;
        let statement = format!(
            "UPDATE {} SET version = version + 1 WHERE id IN ({})",
            self.names[table.index()],
            listed(keys)
        );
        connection.query_drop(&statement).await.map_err(told)?;
        let distinct: std::collections::BTreeSet<u64> = keys.iter().copied().collect();
        if (connection.affected_rows() as usize) < distinct.len() {
            // Some were never asked for: they are there from now on, and were written once.
            let values = distinct.iter().map(|key| (*key, self.derive(table, *key))).collect();
            let all: Vec<u64> = distinct.into_iter().collect();
            self.insert(&mut connection, table, &all, &values).await?;
        }
        Ok(keys.len())
    }

    /// Inserts rows, but for those that are there by now.
    async fn insert(
        &self,
        connection: &mut mysql_async::Conn,
        table: KeyspaceId,
        keys: &[u64],
        values: &BTreeMap<u64, Vec<u8>>,
    ) -> Result<(), String> {
        let mut keys = keys.iter().peekable();
        while keys.peek().is_some() {
            let mut statement =
                format!("INSERT IGNORE INTO {} (id, value, version) VALUES ", self.names[table.index()]);
            let (mut parameters, mut length) = (Vec::new(), 0);
            while let Some(key) = keys.next_if(|_| length < INSERT_BYTES && parameters.len() < 20_000) {
                statement += if parameters.is_empty() { "(?, ?, 0)" } else { ", (?, ?, 0)" };
                parameters.extend([Value::UInt(*key), Value::Bytes(values[key].clone())]);
                length += values[key].len();
            }
            connection.exec_drop(statement, Params::Positional(parameters)).await.map_err(told)?;
        }
        Ok(())
    }

    fn derive(&self, table: KeyspaceId, key: u64) -> Vec<u8> {
        vec![FILLER; self.draws.value_size(table, key, &self.sizes[table.index()]) as usize]
    }
}

/// Numbers for an `IN`.
fn listed(keys: &[u64]) -> String {
    let mut list = String::new();
    for key in keys {
        let separator = if list.is_empty() { "" } else { ", " };
        write!(list, "{separator}{key}").expect("writing to a string cannot fail");
    }
    list
}

fn told(error: mysql_async::Error) -> String {
    error.to_string()
}
