//! The tables: one per keyspace, in an SQLite database in memory.
//!
//! A keyspace can have more rows than memory holds, and every row follows from its key, so a row is inserted when it is
//! first asked for. After [`ROWS_LIMIT`] rows further ones are made on the fly and not kept.

use rusqlite::{Connection, OptionalExtension, Result};
use scenarios::Scenario;
use scenarios::law::SizeLaw;
use scenarios::plan::Draws;
use scenarios::scenario::KeyspaceId;

use super::ANSWER_LIMIT;
use crate::store::FILLER;

/// Rows that are kept at most, over all tables.
const ROWS_LIMIT: u64 = 1_000_000;
const CACHED_STATEMENTS: usize = 256;

/// The tables.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    draws: Draws,
    /// The sizes of values, by table.
    sizes: Vec<SizeLaw>,
    rows: u64,
    selects: Vec<String>,
    inserts: Vec<String>,
    updates: Vec<String>,
}

impl Database {
    /// Empty tables for all keyspaces.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn open(scenario: &Scenario, draws: Draws) -> Result<Self> {
        let connection = Connection::open_in_memory()?;
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        let (mut selects, mut inserts, mut updates) = (Vec::new(), Vec::new(), Vec::new());
        for keyspace in &scenario.keyspaces {
            // Names are keys of a TOML file; quoted, any of them is a valid table.
            let table = format!("\"{}\"", keyspace.name.replace('"', "\"\""));
            connection.execute_batch(&format!(
                "CREATE TABLE {table} (id INTEGER PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL)"
            ))?;
            selects.push(format!("SELECT value FROM {table} WHERE id = ?1"));
            inserts.push(format!("INSERT INTO {table} (id, value, version) VALUES (?1, ?2, ?3)"));
            updates.push(format!("UPDATE {table} SET version = version + 1 WHERE id = ?1"));
        }
        let sizes = scenario.keyspaces.iter().map(|keyspace| keyspace.value).collect();
        Ok(Self { connection, draws, sizes, rows: 0, selects, inserts, updates })
    }

    /// The values of these rows, in this order; none where they are longer than a reply can be.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn select(&mut self, table: KeyspaceId, keys: &[u64]) -> Result<Option<Vec<Vec<u8>>>> {
        let mut values = Vec::with_capacity(keys.len());
        let mut length = 0;
        for &key in keys {
            let found = {
                let mut select = self.connection.prepare_cached(&self.selects[table.index()])?;
                select.query_row([key as i64], |row| row.get::<_, Vec<u8>>(0)).optional()?
            };
            let value = match found {
                Some(value) => value,
                None => {
                    let value = self.derive(table, key);
                    self.insert(table, key, &value, 0)?;
                    value
                }
            };
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
    /// SQLite's.
    pub(super) fn update(&mut self, table: KeyspaceId, keys: &[u64]) -> Result<usize> {
        let rows = self.rows;
        self.connection.execute_batch("BEGIN")?;
        let result = self.update_each(table, keys).and_then(|()| self.connection.execute_batch("COMMIT"));
        if let Err(error) = result {
            self.rows = rows;
            // Some errors have rolled back already; otherwise the next BEGIN would fail, and all after it.
            if !self.connection.is_autocommit() {
                self.connection.execute_batch("ROLLBACK")?;
            }
            return Err(error);
        }
        Ok(keys.len())
    }

    fn update_each(&mut self, table: KeyspaceId, keys: &[u64]) -> Result<()> {
        for &key in keys {
            let changed = {
                let mut update = self.connection.prepare_cached(&self.updates[table.index()])?;
                update.execute([key as i64])?
            };
            if changed == 0 {
                let value = self.derive(table, key);
                self.insert(table, key, &value, 1)?;
            }
        }
        Ok(())
    }

    fn derive(&self, table: KeyspaceId, key: u64) -> Vec<u8> {
        vec![FILLER; self.draws.value_size(table, key, &self.sizes[table.index()]) as usize]
    }

    fn insert(&mut self, table: KeyspaceId, key: u64, value: &[u8], version: i64) -> Result<()> {
        if self.rows < ROWS_LIMIT {
            let mut insert = self.connection.prepare_cached(&self.inserts[table.index()])?;
            insert.execute((key as i64, value, version))?;
            self.rows += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A scenario with one keyspace of ten rows of this size.
    fn items(size: &str) -> (Scenario, KeyspaceId) {
        let text = format!(
            r#"
title = "A table"
[run]
duration = "10s"
[hosts.app]
[hosts.data]
[hosts.db]
[components.shop]
kind = "service"
host = "app"
workers = 4
[components.objects]
kind = "kv-store"
host = "data"
[components.archive]
kind = "sql-store"
host = "db"
read = "1ms"
write = "1ms"
[keyspaces.items]
in = "objects"
keys = 10
persistent = true
value = "{size}"
[requests.item]
path = "/item/{{items}}"
[[requests.item.steps]]
update = {{ in = "archive", keyspace = "items" }}
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ item = 1 }}
"#
        );
        let scenario = Scenario::parse("table.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let table = scenario.keyspace_ids().next().expect("one keyspace");
        (scenario, table)
    }

    #[test]
    fn rows_beyond_the_limit_of_a_reply_are_not_collected() {
        let (scenario, table) = items("60MB");
        let mut database = Database::open(&scenario, Draws::new(&scenario)).expect("SQLite opens");
        let length = |rows: Option<Vec<Vec<u8>>>| rows.map(|rows| rows.iter().map(Vec::len).sum::<usize>());
        assert_eq!(length(database.select(table, &[3]).expect("a row")), Some(60_000_000));
        assert_eq!(length(database.select(table, &[3; 5]).expect("no error")), None);
    }

    #[test]
    fn an_update_that_fails_leaves_nothing_behind_and_the_next_goes_on() {
        let (scenario, table) = items("100B");
        let mut database = Database::open(&scenario, Draws::new(&scenario)).expect("SQLite opens");
        let trigger = "CREATE TRIGGER broken BEFORE INSERT ON items WHEN NEW.id = 7 \
                       BEGIN SELECT RAISE(ABORT, 'broken'); END";
        database.connection.execute_batch(trigger).expect("a trigger");
        for _ in 0..2 {
            let error = database.update(table, &[3, 7]).expect_err("the trigger breaks it");
            assert!(error.to_string().contains("broken"), "{error}");
        }
        assert_eq!(database.update(table, &[3, 4]).expect("the next one works"), 2);
        let versions = "SELECT group_concat(id || ':' || version) FROM items";
        let versions: String = database.connection.query_row(versions, [], |row| row.get(0)).expect("rows");
        assert_eq!((versions.as_str(), database.rows), ("3:1,4:1", 2));
    }
}
