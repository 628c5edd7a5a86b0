//! From a scenario's SQL stores to the world's.

use scenarios::Scenario;
use scenarios::scenario::{Action, ComponentId, SqlStore as Meant};

use super::buffer_pool::{BufferPool, PAGE_BYTES, Settings};
use super::limits::Limits;
use super::locks::Locks;
use super::replication::Replication;
use super::{Group, Hibernation, Pool, Replicas, SqlCounts, SqlStore};
use crate::call::Fifo;
use crate::gauge::Gauge;
use crate::world::{Delay, Timer, World};

/// How full InnoDB's leaf pages are after random inserts, at least (MySQL manual, "The Physical Structure of an InnoDB
/// Index": from 1/2 to 15/16; about ln 2 on average, Yao 1978).
const PAGE_FILL: f64 = 0.69;
/// A row's own bytes in a page: record header, transaction number, roll pointer, primary key (MySQL manual, "InnoDB Row
/// Formats").
const ROW_BYTES: f64 = 26.0;
/// No warming looks at more rows of a table than this for each page that is to be filled.
const LOOKS_A_PAGE: u64 = 16;

/// One instance of an SQL store, the first of which makes the group.
pub(crate) fn add(
    world: &mut World,
    scenario: &Scenario,
    id: ComponentId,
    meant: &Meant,
    latencies: [Option<Delay>; 2],
) {
    let at = world.instances.len() as u16;
    let count = scenario.instances(id) as u16;
    if world.groups.last().is_none_or(|group| at >= group.base + group.count) {
        let replicas = meant.replicas.map(|replicas| Replicas {
            reads: replicas.reads,
            lag: replicas.lag,
            state: Replication::new(count),
            drawn: 0,
        });
        world.groups.push(Group { base: at, count, replicas, master: at });
    }
    let hibernation = meant.hibernation.map(|hibernation| Hibernation {
        after: hibernation.after.as_nanos(),
        wake: hibernation.wake,
        idle_since: 0,
        awake_at: 0,
        timer: world.add_timer(Timer::DatabaseAwake(u32::from(at))),
    });
    let limits = meant.statement_timeout.map(|limit| {
        let timer = world.add_timer(Timer::StatementTimeout(u32::from(at)));
        Limits::new(limit.as_nanos(), timer)
    });
    world.databases.push(SqlStore {
        connections: meant.connections,
        latencies,
        in_service: Gauge::default(),
        waiting: Fifo::new(),
        queue: Gauge::default(),
        group: world.groups.len() as u16 - 1,
        pool: meant.buffer_pool.map(|bytes| pool(scenario, id, bytes.get())),
        lock_wait: meant.lock_wait.map(|wait| wait.as_nanos()),
        locks: Locks::default(),
        limits,
        hibernation,
        counts: SqlCounts::default(),
    });
}

/// Whether any statement asks the store for rows of each keyspace: what nobody asks for is in no pool.
fn asked(scenario: &Scenario, id: ComponentId) -> Vec<bool> {
    let mut asked = vec![false; scenario.keyspaces.len()];
    for step in scenario.requests.iter().flat_map(|class| class.all_steps()) {
        match &step.action {
            Action::Select { database, keyspace, .. } | Action::Update { database, keyspace, .. } => {
                asked[keyspace.index()] |= *database == id;
            }
            Action::Get { keyspace, on_miss: Some(miss), .. } => asked[keyspace.index()] |= miss.from == id,
            _ => {}
        }
    }
    for record in scenario.traffic.iter().filter_map(|traffic| traffic.session_record()) {
        asked[record.keyspace.index()] |= record.database == Some(id);
    }
    asked
}

/// A buffer pool with the pages of the most popular rows, as it is after long use.
fn pool(scenario: &Scenario, id: ComponentId, bytes: u64) -> Pool {
    let settings = Settings::with_pages((bytes / PAGE_BYTES).clamp(1, u64::from(u32::MAX)) as u32);
    let pages: Vec<u64> = scenario
        .keyspaces
        .iter()
        .map(|keyspace| {
            let row = keyspace.value.mean() + ROW_BYTES;
            let rows_a_page = (PAGE_BYTES as f64 * PAGE_FILL / row).max(1.0).floor();
            (keyspace.keys as f64 / rows_a_page).ceil().max(1.0) as u64
        })
        .collect();
    let mut pool = Pool { contents: BufferPool::new(settings), settings, pages };
    let room = u64::from(settings.pages);
    let asked = asked(scenario, id);
    let tables = || scenario.keyspaces.iter().enumerate().filter(|(number, _)| asked[*number]);
    let rows = tables().map(|(_, keyspace)| keyspace.keys).max().unwrap_or(0);
    // The least popular first, so that the most popular are the youngest.
    for key in (0..rows.min(room * LOOKS_A_PAGE)).rev() {
        for (number, keyspace) in tables() {
            if key < keyspace.keys {
                pool.touch(number as u16, key, 0);
            }
        }
    }
    pool.contents.take_counts();
    pool
}
