//! The tables: one per keyspace, in an SQLite database in memory.
//!
//! A keyspace can have more rows than memory holds, and every row follows from its key, so a row is inserted when it is
//! first asked for. After [`ROWS_LIMIT`] rows further ones are made on the fly and not kept.

use std::rc::Rc;

use rusqlite::{Connection, OptionalExtension, Result};
use scenarios::scenario::KeyspaceId;

use crate::component::Context;
use crate::store::FILLER;

/// Rows that are kept at most, over all tables.
const ROWS_LIMIT: u64 = 1_000_000;
const CACHED_STATEMENTS: usize = 256;

/// The tables.
#[derive(Debug)]
pub(super) struct Database {
    connection: Connection,
    context: Rc<Context>,
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
    pub(super) fn open(context: &Rc<Context>) -> Result<Self> {
        let connection = Connection::open_in_memory()?;
        connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
        connection.pragma_update(None, "journal_mode", "OFF")?;
        let (mut selects, mut inserts, mut updates) = (Vec::new(), Vec::new(), Vec::new());
        for keyspace in &context.scenario.keyspaces {
            // Names are keys of a TOML file; quoted, any of them is a valid table.
            let table = format!("\"{}\"", keyspace.name.replace('"', "\"\""));
            connection.execute_batch(&format!(
                "CREATE TABLE {table} (id INTEGER PRIMARY KEY, value BLOB NOT NULL, version INTEGER NOT NULL)"
            ))?;
            selects.push(format!("SELECT value FROM {table} WHERE id = ?1"));
            inserts.push(format!("INSERT INTO {table} (id, value, version) VALUES (?1, ?2, ?3)"));
            updates.push(format!("UPDATE {table} SET version = version + 1 WHERE id = ?1"));
        }
        Ok(Self { connection, context: Rc::clone(context), rows: 0, selects, inserts, updates })
    }

    /// The values of these rows, in this order.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn select(&mut self, table: KeyspaceId, keys: &[u64]) -> Result<Vec<Vec<u8>>> {
        let mut values = Vec::with_capacity(keys.len());
        for &key in keys {
            let found = {
                let mut select = self.connection.prepare_cached(&self.selects[table.index()])?;
                select.query_row([key as i64], |row| row.get::<_, Vec<u8>>(0)).optional()?
            };
            values.push(match found {
                Some(value) => value,
                None => {
                    let value = self.derive(table, key);
                    self.insert(table, key, &value, 0)?;
                    value
                }
            });
        }
        Ok(values)
    }

    /// Raises the version of these rows, in one transaction; how many there were.
    ///
    /// # Errors
    /// SQLite's.
    pub(super) fn update(&mut self, table: KeyspaceId, keys: &[u64]) -> Result<usize> {
        self.connection.execute_batch("BEGIN")?;
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
        self.connection.execute_batch("COMMIT")?;
        Ok(keys.len())
    }

    fn derive(&self, table: KeyspaceId, key: u64) -> Vec<u8> {
        let law = &self.context.scenario.keyspace(table).value;
        vec![FILLER; self.context.draws.value_size(table, key, law) as usize]
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
