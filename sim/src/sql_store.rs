//! The SQL store: so many statements at once, each with its row lock, its pages and its processor time.
//!
//! A statement waits for a connection, an update then for its row; pages that are not in the buffer pool are read from the
//! machine's disk one after another; then it takes a core; an update ends with a write of the log. The page
//! `docs/sql-store.md` has the rules and their sources.
//!
//! - [`buffer_pool`]: which pages are in memory
//! - [`locks`]: who may change a row; [`limits`]: how long a statement may take
//! - `tables`: on which page a row is
//! - `machines`: which instance a statement goes to, who is the master, and to whom it sends its commits
//! - [`replication`]: what a replica does not have yet

pub mod buffer_pool;
pub(crate) mod build;
pub(crate) mod limits;
pub(crate) mod locks;
mod machines;
pub(crate) mod replication;
mod tables;

use results::sample;
use scenarios::law::DurationLaw;
use scenarios::rng::{Purpose, Stream};

use crate::call::{Fifo, HOLDS_ROW, Phase};
use crate::gauge::Gauge;
use crate::host::disk::Operation;
use crate::instance::{Continuation, Flow, Parked};
use crate::program::Op;
use crate::world::{Delay, World};
use buffer_pool::BufferPool;
use limits::Limits;
use locks::{Locks, Row};
pub(crate) use machines::{Group, Replicas};
use tables::Pool;

const OTHERS: Purpose = Purpose::named("sim-unfollowed-rows");
const WAKE: Purpose = Purpose::named("sim-database-wake");
#[derive(Debug)]
pub(crate) struct SqlStore {
    pub(crate) connections: u32,
    /// The delay of a read and of a write, where they have one of their own.
    pub(crate) latencies: [Option<Delay>; 2],
    pub(crate) in_service: Gauge,
    pub(crate) waiting: Fifo,
    pub(crate) queue: Gauge,
    /// Its group of instances: a place in the world's.
    pub(crate) group: u16,
    /// Which pages are in memory; none where all are.
    pub(crate) pool: Option<Pool>,
    /// How long an update waits for its row; none where none does.
    pub(crate) lock_wait: Option<u64>,
    pub(crate) locks: Locks,
    /// How long a statement may take, where there is a limit.
    pub(crate) limits: Option<Limits>,
    pub(crate) hibernation: Option<Hibernation>,
    pub(crate) counts: SqlCounts,
}

/// A database that goes to sleep when nobody asks.
#[derive(Debug)]
pub(crate) struct Hibernation {
    pub(crate) after: u64,
    pub(crate) wake: DurationLaw,
    /// Since when nobody has asked.
    idle_since: u64,
    /// When it is awake again; zero where it is.
    awake_at: u64,
    pub(crate) timer: u32,
}

/// What happened since the last sample.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SqlCounts {
    pub(crate) stale_reads: u64,
    pub(crate) lost_commits: u64,
    pub(crate) lock_timeouts: u64,
    pub(crate) statement_timeouts: u64,
}

/// What a call's present statement does.
#[derive(Clone, Copy, Debug)]
struct Statement {
    keyspace: u16,
    rows: u32,
    writes: bool,
    /// Whether it locks the row of its first key.
    locks: bool,
    /// The record of the request's session that it reads or writes. Only such a statement is part of the session's transaction,
    /// which has a connection of its own.
    session: Option<u16>,
}

impl SqlStore {
    /// Memory of the buffer pool.
    pub(crate) fn pool_bytes(&self) -> u64 {
        self.pool.as_ref().map_or(0, |pool| u64::from(pool.settings.pages) * buffer_pool::PAGE_BYTES)
    }
}

impl World {
    /// Sends the statement of a call's present step to the database whose first instance is `database`.
    pub(crate) fn call_database(&mut self, slot: u32, database: u16) -> Flow {
        let at = self.route(slot, database);
        let call = &mut self.calls[slot];
        (call.leaf, call.syns) = (at, 0);
        let instance = &self.instances[usize::from(at)];
        if instance.killed > 0 && instance.vip.is_none() {
            return Flow::Failed;
        }
        let (latency, index) = (instance.latency, usize::from(instance.index));
        let own = self.databases[index].latencies[usize::from(self.statement(slot).writes)];
        let latency = own.unwrap_or(latency);
        if self.delay(slot, latency, Phase::ToSql) { Flow::Suspended } else { self.arrive_at_database(slot) }
    }

    pub(crate) fn arrive_at_database(&mut self, slot: u32) -> Flow {
        let at = self.calls[slot].leaf;
        if self.instances[usize::from(at)].unplugged > 0 && self.is_leaf_lost(slot, Phase::ToSql) {
            return Flow::Suspended;
        }
        let instance = &self.instances[usize::from(at)];
        if instance.killed > 0 {
            return self.address_without_holder(slot);
        }
        if instance.disk_full > 0 && self.statement(slot).writes {
            return Flow::Failed;
        }
        let database = &mut self.databases[usize::from(instance.index)];
        let stopped = instance.stopped > 0;
        let asleep = database.hibernation.is_some() && self.sleeps(at);
        let database = &mut self.databases[usize::from(self.instances[usize::from(at)].index)];
        if !stopped && !asleep && database.in_service.level() < database.connections {
            database.in_service.up(self.now);
            self.instances[usize::from(at)].border.enter(self.now);
            self.start_statement(slot);
        } else {
            self.calls[slot].phase = Phase::SqlQueue;
            database.waiting.push(&mut self.calls, slot);
            database.queue.up(self.now);
            self.instances[usize::from(at)].border.enter(self.now);
        }
        Flow::Suspended
    }

    /// Whether a hibernating database is asleep; the first who asks wakes it.
    fn sleeps(&mut self, at: u16) -> bool {
        let index = usize::from(self.instances[usize::from(at)].index);
        let database = &mut self.databases[index];
        let idle = database.in_service.level() == 0 && database.waiting.len() == 0;
        let Some(hibernation) = &mut database.hibernation else { return false };
        if hibernation.awake_at > self.now {
            return true;
        }
        let asleep = idle && self.now - hibernation.idle_since >= hibernation.after;
        if asleep {
            let mut stream = Stream::new(self.seed, WAKE.of(u64::from(at)), self.now);
            hibernation.awake_at = self.now + hibernation.wake.sample(&mut stream).as_nanos();
            let (awake_at, timer) = (hibernation.awake_at, hibernation.timer);
            self.events.schedule(awake_at, timer);
        }
        asleep
    }

    /// A database is awake: what has waited begins.
    pub(crate) fn database_awake(&mut self, at: u32) {
        while self.start_next_statement(at as u16) {}
    }

    fn statement(&self, slot: u32) -> Statement {
        let call = &self.calls[slot];
        match self.steps[usize::from(call.step)].op {
            Op::Sql { keyspace, rows, write, .. } => {
                Statement { keyspace, rows, writes: write, locks: write, session: None }
            }
            Op::Get { keyspace, .. } => {
                Statement { keyspace, rows: 0, writes: false, locks: false, session: None }
            }
            Op::Session { record, writes } => {
                let keyspace = self.records.get(record).keyspace;
                Statement { keyspace, rows: 0, writes, locks: true, session: Some(record) }
            }
            op => unreachable!("{op:?} sends no statement"),
        }
    }

    /// The row of a statement's first key.
    fn first_row(&self, slot: u32, keyspace: u16) -> Row {
        if let Op::Session { .. } = self.steps[usize::from(self.calls[slot].step)].op {
            return (keyspace, self.record_key(slot));
        }
        let keys = self.draws.keys(self.calls[slot].id, self.keys[usize::from(keyspace)].id);
        (keyspace, keys.into_iter().next().unwrap_or(0))
    }

    /// A statement has its connection: what changes a row, or keeps others from changing it, waits for it.
    fn start_statement(&mut self, slot: u32) {
        self.limit_statement(slot);
        let at = self.calls[slot].leaf;
        let index = usize::from(self.instances[usize::from(at)].index);
        if self.databases[index].lock_wait.is_none() && !self.calls[slot].is(HOLDS_ROW) {
            return self.read_pages(slot);
        }
        let statement = self.statement(slot);
        if statement.session.is_some() && self.calls[slot].is(HOLDS_ROW) {
            if !self.still_holds_row(slot, at) {
                return self.leave_database(slot, Flow::Failed);
            }
        } else if let Some(wait) = self.databases[index].lock_wait.filter(|_| statement.locks) {
            let row = self.first_row(slot, statement.keyspace);
            if !self.databases[index].locks.take(&mut self.calls, row, slot) {
                return self.wait_until(slot, self.now + wait, Phase::LockWait);
            }
        }
        self.read_pages(slot);
    }

    /// A statement has waited too long for its row, which fails it.
    pub(crate) fn lock_timed_out(&mut self, slot: u32) {
        let index = usize::from(self.instances[usize::from(self.calls[slot].leaf)].index);
        self.databases[index].counts.lock_timeouts += 1;
        self.give_up_row(slot);
    }

    /// A statement that waits for its row waits no longer, and fails.
    fn give_up_row(&mut self, slot: u32) {
        let at = self.calls[slot].leaf;
        let row = self.first_row(slot, self.statement(slot).keyspace);
        let index = usize::from(self.instances[usize::from(at)].index);
        self.databases[index].locks.give_up(&mut self.calls, row, slot);
        self.leave_database(slot, Flow::Failed);
    }

    /// Reads what is not in the buffer pool.
    pub(crate) fn read_pages(&mut self, slot: u32) {
        let call = &self.calls[slot];
        let instance = &self.instances[usize::from(call.leaf)];
        let (index, host, at) = (usize::from(instance.index), usize::from(instance.host), call.leaf);
        let looks = self.databases[index].pool.is_some()
            || self.groups[usize::from(self.databases[index].group)].replicas.is_some();
        if !looks {
            // Which rows they are makes no difference.
            return self.execute_statement(slot);
        }
        let statement = self.statement(slot);
        let Self { databases, draws, keys, missed, groups, calls, now, seed, .. } = self;
        let call = &calls[slot];
        let SqlStore { pool, group, counts, .. } = &mut databases[index];
        let group = &mut groups[usize::from(*group)];
        let wanted = &keys[usize::from(statement.keyspace)];
        let mut absent = 0;
        let mut stale = false;
        let mut touch = |key: u64| {
            if let Some(pool) = pool.as_mut() {
                absent += u32::from(!pool.touch(statement.keyspace, key, *now));
            }
            if let Some(replicas) = group.replicas.as_mut().filter(|_| !statement.writes) {
                stale |= replicas.state.is_stale(*now, at - group.base, (statement.keyspace, key));
            }
        };
        if statement.rows > 0 {
            draws.keys(call.id, wanted.id).take(statement.rows as usize).for_each(&mut touch);
        } else if call.missed != crate::call::NONE {
            let missed = missed.get(call.missed);
            missed.keys.iter().copied().for_each(&mut touch);
            // Keys that are not followed are seldom asked for: as good as any.
            let mut stream = Stream::new(*seed, OTHERS.of(u64::from(call.step)), call.id.0);
            (0..missed.others).for_each(|_| touch(stream.below(wanted.keyspace.keys)));
        }
        counts.stale_reads += u64::from(stale);
        match &mut self.disks[host] {
            Some(disk) if absent > 0 => {
                let done = disk.read_pages(self.now, absent);
                self.wait_until(slot, done, Phase::DiskRead);
            }
            _ => self.execute_statement(slot),
        }
    }

    /// A statement has its pages: it takes a core.
    pub(crate) fn execute_statement(&mut self, slot: u32) {
        let call = &self.calls[slot];
        let step = &self.steps[usize::from(call.step)];
        let law = match &step.op {
            Op::Sql { law, .. } => law,
            Op::Get { miss: Some(miss), .. } => &miss.law,
            Op::Session { record, writes } => {
                let laws = self.records.get(*record).laws.as_ref();
                &laws.expect("only records that are rows are asked of databases")[usize::from(*writes)]
            }
            op => unreachable!("{op:?} sends no statement"),
        };
        let ahead = self.calls.drawn(slot, step.draw);
        let work =
            ahead.unwrap_or_else(|| self.draws.statement(call.id, call.draw(step.draw), law).as_nanos());
        let database = call.leaf;
        self.take_core(database, slot, work, Phase::Statement);
    }

    /// A statement has had its processor time: an update writes the log.
    pub(crate) fn statement_executed(&mut self, slot: u32) {
        let host = usize::from(self.instances[usize::from(self.calls[slot].leaf)].host);
        let writes = self.disks[host].is_some() && self.statement(slot).writes;
        if let Some(disk) = self.disks[host].as_mut().filter(|_| writes) {
            let done = disk.ask(self.now, Operation::Write);
            return self.wait_until(slot, done, Phase::DiskWrite);
        }
        self.answer_statement(slot);
    }

    /// Commits, and sends the result, unless the process is stopped; takes the next statement.
    pub(crate) fn answer_statement(&mut self, slot: u32) {
        self.answer_statement_with(slot, Flow::Done);
    }

    fn answer_statement_with(&mut self, slot: u32, flow: Flow) {
        let at = self.calls[slot].leaf;
        let instance = &mut self.instances[usize::from(at)];
        if instance.stopped > 0 {
            self.calls[slot].phase = Phase::StatementDone;
            let generation = self.calls[slot].generation;
            let what = Continuation::StatementDone(flow);
            return instance.parked.push(Parked { slot, generation, what });
        }
        self.statement_ends(slot, flow);
    }

    /// A statement ends: its row is free, its change is on its way to the replicas.
    pub(crate) fn statement_ends(&mut self, slot: u32, flow: Flow) {
        let at = self.calls[slot].leaf;
        let index = usize::from(self.instances[usize::from(at)].index);
        let SqlStore { group, lock_wait, .. } = &self.databases[index];
        if lock_wait.is_none() && self.groups[usize::from(*group)].replicas.is_none() {
            return self.leave_database(slot, flow);
        }
        let statement = self.statement(slot);
        if statement.writes && flow == Flow::Done {
            self.replicate(slot, at, statement);
        }
        if statement.locks && self.databases[index].lock_wait.is_some() {
            let row = self.first_row(slot, statement.keyspace);
            match statement.session {
                Some(record) if !statement.writes && flow == Flow::Done => {
                    self.hold_row(slot, record, at, row);
                }
                Some(_) if self.calls[slot].is(HOLDS_ROW) => self.give_row_back(slot),
                _ => self.release_row(at, row),
            }
        }
        self.leave_database(slot, flow);
    }

    /// Gives a statement's connection to the next and tells its caller.
    fn leave_database(&mut self, slot: u32, flow: Flow) {
        let at = self.calls[slot].leaf;
        let database = &mut self.databases[usize::from(self.instances[usize::from(at)].index)];
        database.in_service.down(self.now);
        if let Some(limits) = &mut database.limits {
            limits.end(slot);
        }
        self.instances[usize::from(at)].border.leave(self.now, flow != Flow::Failed);
        let database = &mut self.databases[usize::from(self.instances[usize::from(at)].index)];
        if let Some(hibernation) = &mut database.hibernation {
            hibernation.idle_since = self.now;
        }
        self.start_next_statement(at);
        self.leaf_done(slot, flow);
    }

    pub(crate) fn start_next_statement(&mut self, at: u16) -> bool {
        let instance = &self.instances[usize::from(at)];
        let database = &mut self.databases[usize::from(instance.index)];
        let asleep = database.hibernation.as_ref().is_some_and(|h| h.awake_at > self.now);
        if instance.stopped > 0 || asleep || database.in_service.level() >= database.connections {
            return false;
        }
        let Some(next) = database.waiting.pop(&self.calls) else { return false };
        database.queue.down(self.now);
        database.in_service.up(self.now);
        self.start_statement(next);
        true
    }

    /// The process died: what waited is gone, and what was in memory.
    pub(crate) fn database_lose(&mut self, index: u16) {
        let database = &mut self.databases[usize::from(index)];
        database.waiting = Fifo::new();
        database.queue.set(self.now, 0);
        database.in_service.set(self.now, 0);
        database.locks = Locks::default();
        if let Some(limits) = &mut database.limits {
            limits.lose();
        }
        if let Some(pool) = &mut database.pool {
            pool.contents = BufferPool::new(pool.settings);
        }
        if let Some(hibernation) = &mut database.hibernation {
            (hibernation.idle_since, hibernation.awake_at) = (self.now, 0);
        }
    }
}

impl SqlStore {
    /// Says what happened since the last sample, of what there can be here.
    pub(crate) fn sample(&mut self, behind: Option<u64>, put: &mut dyn FnMut(&'static str, f64)) {
        let counts = std::mem::take(&mut self.counts);
        if let Some(pool) = &mut self.pool {
            let pages = pool.contents.take_counts();
            put(sample::HITS, pages.hits as f64);
            put(sample::MISSES, pages.misses as f64);
            put(sample::EVICTIONS, pages.evictions as f64);
        }
        if let Some(behind) = behind {
            put(sample::REPLICATION_QUEUE, behind as f64);
            put(sample::STALE_READS, counts.stale_reads as f64);
            put(sample::LOST_COMMITS, counts.lost_commits as f64);
        }
        if self.lock_wait.is_some() {
            put(sample::LOCK_TIMEOUTS, counts.lock_timeouts as f64);
        }
        if self.limits.is_some() {
            put(sample::STATEMENT_TIMEOUTS, counts.statement_timeouts as f64);
        }
    }
}
