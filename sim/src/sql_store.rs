//! The SQL store: so many statements at once, first come first served, each with its processor time on the host's cores.

pub mod buffer_pool;

use crate::call::{Fifo, Phase};
use crate::gauge::Gauge;
use crate::instance::{Continuation, Flow, Parked};
use crate::program::Op;
use crate::world::World;

#[derive(Debug)]
pub(crate) struct SqlStore {
    pub(crate) connections: u32,
    pub(crate) in_service: Gauge,
    pub(crate) waiting: Fifo,
    pub(crate) queue: Gauge,
}

impl World {
    /// Sends the statement of a call's present step.
    pub(crate) fn call_database(&mut self, slot: u32, database: u16) -> Flow {
        self.calls[slot].leaf = database;
        let instance = &self.instances[usize::from(database)];
        if instance.killed > 0 {
            return Flow::Failed;
        }
        let latency = instance.latency;
        if self.delay(slot, latency, Phase::ToSql) { Flow::Suspended } else { self.arrive_at_database(slot) }
    }

    pub(crate) fn arrive_at_database(&mut self, slot: u32) -> Flow {
        let instance = &self.instances[usize::from(self.calls[slot].leaf)];
        if instance.killed > 0 {
            return Flow::Failed;
        }
        if instance.disk_full > 0
            && let Op::Sql { write: true, .. } = self.steps[usize::from(self.calls[slot].step)].op
        {
            return Flow::Failed;
        }
        let database = &mut self.databases[usize::from(instance.index)];
        if instance.stopped == 0 && database.in_service.level() < database.connections {
            database.in_service.up(self.now);
            self.start_statement(slot);
        } else {
            self.calls[slot].phase = Phase::SqlQueue;
            database.waiting.push(&mut self.calls, slot);
            database.queue.up(self.now);
        }
        Flow::Suspended
    }

    fn start_statement(&mut self, slot: u32) {
        let call = &self.calls[slot];
        let step = &self.steps[usize::from(call.step)];
        let law = match &step.op {
            Op::Sql { law, .. } => law,
            Op::Get { miss: Some(miss), .. } => &miss.law,
            op => unreachable!("{op:?} sends no statement"),
        };
        let ahead = if matches!(step.op, Op::Sql { .. }) { self.calls.drawn(slot, step.draw) } else { None };
        let work =
            ahead.unwrap_or_else(|| self.draws.statement(call.id, call.draw(step.draw), law).as_nanos());
        let database = call.leaf;
        self.take_core(database, slot, work, Phase::Statement);
    }

    /// Sends the result, unless the process is stopped, and takes the next statement.
    pub(crate) fn answer_statement(&mut self, slot: u32) {
        let at = self.calls[slot].leaf;
        let instance = &mut self.instances[usize::from(at)];
        if instance.stopped > 0 {
            self.calls[slot].phase = Phase::StatementDone;
            let generation = self.calls[slot].generation;
            return instance.parked.push(Parked { slot, generation, what: Continuation::StatementDone });
        }
        self.databases[usize::from(instance.index)].in_service.down(self.now);
        self.start_next_statement(at);
        self.leaf_done(slot, Flow::Done);
    }

    pub(crate) fn start_next_statement(&mut self, at: u16) -> bool {
        let instance = &self.instances[usize::from(at)];
        let database = &mut self.databases[usize::from(instance.index)];
        if instance.stopped > 0 || database.in_service.level() >= database.connections {
            return false;
        }
        let Some(next) = database.waiting.pop(&self.calls) else { return false };
        database.queue.down(self.now);
        database.in_service.up(self.now);
        self.start_statement(next);
        true
    }

    /// The process died: what waited is gone.
    pub(crate) fn database_lose(&mut self, index: u16) {
        let database = &mut self.databases[usize::from(index)];
        database.waiting = Fifo::new();
        database.queue.set(self.now, 0);
        database.in_service.set(self.now, 0);
    }
}
