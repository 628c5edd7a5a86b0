//! What executes the statements in the end: SQLite in this process, or a server elsewhere.

use std::cell::RefCell;

use scenarios::Scenario;
use scenarios::plan::Draws;
use scenarios::scenario::{Engine as Meant, KeyspaceId};

use super::database::Database;
#[cfg(feature = "mysql")]
use super::mysql::Tables;

/// The engine of an SQL store.
#[derive(Debug)]
pub(super) enum Engine {
    Embedded(Box<RefCell<Database>>),
    #[cfg(feature = "mysql")]
    MySql(Tables),
}

impl Engine {
    /// Opens it; tables that are missing are made.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) async fn open(meant: &Meant, scenario: &Scenario, draws: Draws) -> Result<Self, String> {
        match meant {
            Meant::Embedded => {
                let database = Database::open(scenario, draws).map_err(|error| error.to_string())?;
                Ok(Self::Embedded(Box::new(RefCell::new(database))))
            }
            #[cfg(feature = "mysql")]
            Meant::Url(url) => Ok(Self::MySql(Tables::open(url, scenario, draws).await?)),
            other => Err(format!("{other:?} needs a reference that was built with `--features mysql`")),
        }
    }

    /// How many rows are read at once at most: the embedded one holds everybody up meanwhile.
    pub(super) fn rows_at_once(&self) -> usize {
        match self {
            Self::Embedded(_) => 128,
            #[cfg(feature = "mysql")]
            Self::MySql(_) => usize::MAX,
        }
    }

    /// The values of these rows, in this order; none where they are longer than a reply can be.
    ///
    /// # Errors
    /// The engine's.
    pub(super) async fn select(
        &self,
        table: KeyspaceId,
        keys: &[u64],
    ) -> Result<Option<Vec<Vec<u8>>>, String> {
        match self {
            Self::Embedded(database) => {
                database.borrow_mut().select(table, keys).map_err(|error| error.to_string())
            }
            #[cfg(feature = "mysql")]
            Self::MySql(tables) => tables.select(table, keys).await,
        }
    }

    /// Raises the version of these rows, in one transaction; how many there were.
    ///
    /// # Errors
    /// The engine's.
    pub(super) async fn update(&self, table: KeyspaceId, keys: &[u64]) -> Result<usize, String> {
        match self {
            Self::Embedded(database) => {
                database.borrow_mut().update(table, keys).map_err(|error| error.to_string())
            }
            #[cfg(feature = "mysql")]
            Self::MySql(tables) => tables.update(table, keys).await,
        }
    }
}
