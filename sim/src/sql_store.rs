//! The SQL store: so many statements at once, first come first served, each with its processor time on the host's cores.

use crate::gauge::Gauge;
use crate::host::Share;
use crate::program::Op;
use crate::request::{Fifo, ORPHAN, Phase};
use crate::world::{Delay, Flow, World};

#[derive(Debug)]
pub(crate) struct SqlStore {
    pub(crate) component: u16,
    pub(crate) host: u16,
    pub(crate) connections: u32,
    pub(crate) latency: Delay,
    pub(crate) in_service: Gauge,
    pub(crate) waiting: Fifo,
    pub(crate) queue: Gauge,
    pub(crate) share: Share,
    pub(crate) killed: u32,
    pub(crate) stopped: u32,
    /// Whether it answers.
    pub(crate) up: Gauge,
    pub(crate) parked: Vec<u32>,
}

impl World {
    /// Sends the statement of a request's present step.
    pub(crate) fn call_database(&mut self, slot: u32, database: u16) -> Flow {
        self.requests[slot].store = database;
        let database = &self.databases[usize::from(database)];
        if database.killed > 0 {
            return Flow::Failed;
        }
        let latency = database.latency;
        if self.delay(slot, latency, Phase::ToSql) { Flow::Suspended } else { self.arrive_at_database(slot) }
    }

    pub(crate) fn arrive_at_database(&mut self, slot: u32) -> Flow {
        let database = &mut self.databases[usize::from(self.requests[slot].store)];
        if database.killed > 0 {
            return Flow::Failed;
        }
        if database.stopped == 0 && database.in_service.level() < database.connections {
            database.in_service.up(self.now);
            self.start_statement(slot);
        } else {
            self.requests[slot].phase = Phase::SqlQueue;
            database.waiting.push(&mut self.requests, slot);
            database.queue.up(self.now);
        }
        Flow::Suspended
    }

    fn start_statement(&mut self, slot: u32) {
        let request = &self.requests[slot];
        let step = usize::from(request.step);
        let law = match &self.programs[request.class.index()].ops[step] {
            Op::Sql { law, .. } => law,
            Op::Get { miss: Some(miss), .. } => &miss.law,
            op => unreachable!("{op:?} sends no statement"),
        };
        let work = self.draws.statement(request.id, step, law).as_nanos();
        let host = self.databases[usize::from(request.store)].host;
        self.take_core(host, slot, work, Phase::Statement);
    }

    pub(crate) fn statement_done(&mut self, slot: u32) {
        let host = self.databases[usize::from(self.requests[slot].store)].host;
        self.release_core(host, slot);
        self.answer_statement(slot);
    }

    /// Sends the result, unless the process is stopped, and takes the next statement.
    pub(crate) fn answer_statement(&mut self, slot: u32) {
        let index = self.requests[slot].store;
        let database = &mut self.databases[usize::from(index)];
        if database.stopped > 0 {
            self.requests[slot].phase = Phase::StatementDone;
            database.parked.push(slot);
            return;
        }
        database.in_service.down(self.now);
        self.start_next_statement(index);
        let request = &self.requests[slot];
        let op = self.programs[request.class.index()].ops[usize::from(request.step)];
        let flow = match op {
            _ if request.is(ORPHAN) => Flow::Done,
            Op::Get { miss, .. } => self.fill(slot, miss.is_some_and(|m| m.fill)),
            _ => Flow::Done,
        };
        self.go_on(slot, flow);
    }

    pub(crate) fn start_next_statement(&mut self, index: u16) -> bool {
        let database = &mut self.databases[usize::from(index)];
        if database.stopped > 0 || database.in_service.level() >= database.connections {
            return false;
        }
        let Some(next) = database.waiting.pop(&self.requests) else { return false };
        database.queue.down(self.now);
        database.in_service.up(self.now);
        self.start_statement(next);
        true
    }
}
