//! The records of sessions: read before a request's steps and written after them, in a key-value store or as a row that is
//! locked meanwhile. Rules: `docs/traffic.md`, "Session records".
//!
//! Each class begins and ends with a step for every kind of record that its users may have; whose they are not, pass them by.

use std::collections::BTreeMap;

use scenarios::Scenario;
use scenarios::law::DurationLaw;
use scenarios::plan::RequestId;
use scenarios::scenario::{ClassId, ComponentId, SessionRecord};

use crate::call::{HOLDS_ROW, LOST_SESSION};
use crate::event::Token;
use crate::instance::Flow;
use crate::kv_store::{READ, READING, SETTING};
use crate::program::{Op, Range, Step};
use crate::sql_store::locks::Row;
use crate::world::World;

/// Where the records of some sessions are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    meant: SessionRecord,
    pub(crate) keyspace: u16,
    /// The first instance of the store that has them.
    store: u16,
    /// Processor time of the statements that read and write them, where they are rows.
    pub(crate) laws: Option<[DurationLaw; 2]>,
}

/// A row that a call has locked: of which record, at which instance, in which of its lives.
#[derive(Clone, Copy, Debug)]
struct Held {
    record: u16,
    at: u16,
    lives: u32,
    row: Row,
}

/// All places where sessions have records.
#[derive(Debug, Default)]
pub(crate) struct Records {
    all: Vec<Record>,
    /// By traffic: its place in the list.
    of_traffic: Vec<Option<u16>>,
    /// By slot.
    held: BTreeMap<u32, Held>,
}

impl Records {
    /// As the scenario's traffic has them; the databases and stores stand at these places.
    pub(crate) fn new(scenario: &Scenario, places: &dyn Fn(ComponentId) -> Range) -> Self {
        let mut records = Self::default();
        for traffic in &scenario.traffic {
            let place = traffic.session_record().map(|meant| {
                let known = records.all.iter().position(|record| record.meant == meant);
                known.unwrap_or_else(|| {
                    records.all.push(Record::new(scenario, meant, places));
                    records.all.len() - 1
                }) as u16
            });
            records.of_traffic.push(place);
        }
        records
    }

    /// Whether any session has one.
    pub(crate) fn any(&self) -> bool {
        !self.all.is_empty()
    }

    /// Whether the sessions of a traffic have them.
    pub(crate) fn are_kept(&self, traffic: u16) -> bool {
        self.of_traffic[usize::from(traffic)].is_some()
    }

    pub(crate) fn get(&self, number: u16) -> &Record {
        &self.all[usize::from(number)]
    }

    /// A class's steps, with those for its users' records around them.
    pub(crate) fn around(&self, scenario: &Scenario, class: ClassId, steps: Vec<Step>) -> Vec<Step> {
        let asks = |number: usize| {
            let of_it = scenario.traffic.iter().zip(&self.of_traffic);
            of_it.into_iter().any(|(traffic, place)| {
                *place == Some(number as u16) && traffic.mix.iter().any(|(one, _)| *one == class)
            })
        };
        if scenario.is_for_everybody(class) {
            return steps;
        }
        let [reads, writes] = [false, true].map(|writes| {
            let draw = SessionRecord::DRAWS[usize::from(writes)];
            let step = move |number| Step { op: Op::Session { record: number as u16, writes }, draw };
            (0..self.all.len()).filter(|number| asks(*number)).map(step).collect::<Vec<Step>>()
        });
        reads.into_iter().chain(steps).chain(writes).collect()
    }

    #[cfg(test)]
    pub(crate) fn are_at_rest(&self) -> bool {
        self.held.is_empty()
    }
}

impl Record {
    fn new(scenario: &Scenario, meant: SessionRecord, places: &dyn Fn(ComponentId) -> Range) -> Self {
        let laws = meant
            .database
            .and_then(|id| Some([scenario.statement_law(id, false)?, scenario.statement_law(id, true)?]));
        let store = meant.database.unwrap_or(scenario.keyspace(meant.keyspace).store);
        Self { meant, keyspace: meant.keyspace.index() as u16, store: places(store).0, laws }
    }
}

impl World {
    /// Reads the record of a request's session, or writes it.
    pub(crate) fn session_step(&mut self, slot: u32, number: u16, writes: bool) -> Flow {
        let record = *self.records.get(number);
        // What is held may be the record of another traffic's sessions, which this step is not about.
        let held = self.records.held.get(&slot).filter(|held| writes && held.record == number);
        let held = held.map(|held| held.row.1);
        let keys = &self.keys[usize::from(record.keyspace)];
        let named =
            || self.session_of(slot, number, writes).map(|name| SessionRecord::key(name, keys.keyspace.keys));
        let Some(key) = held.or_else(named) else { return Flow::Done };
        let shard = keys.ring.as_ref().map_or(0, |ring| ring.shard(key));
        let list = self.missed.take();
        let asked = self.missed.get(list);
        asked.keys.push(key);
        asked.asked = 1;
        let call = &mut self.calls[slot];
        call.missed = list;
        if record.laws.is_some() {
            call.stage = READ;
            return self.call_database(slot, record.store);
        }
        call.stage = if writes { SETTING } else { READING };
        call.leaf = record.store + shard;
        self.call_store(slot)
    }

    /// The session whose record a request reads, if it names one, or writes.
    fn session_of(&self, slot: u32, number: u16, writes: bool) -> Option<RequestId> {
        let (root, user) = self.page_of(slot)?;
        let request = &self.calls[root];
        if self.records.of_traffic[usize::from(request.traffic)] != Some(number) {
            return None;
        }
        let known = self.users.session(user).filter(|_| !writes || !request.is(LOST_SESSION));
        // Whoever has none begins one, named after the request.
        known.or_else(|| writes.then_some(request.id))
    }

    /// The key of the record that a call's present step is about.
    pub(crate) fn record_key(&self, slot: u32) -> u64 {
        self.missed.look(self.calls[slot].missed).keys[0]
    }

    /// A store executes the command for a record. What is not there is a session that is lost.
    pub(crate) fn execute_session(&mut self, slot: u32, number: u16, writes: bool) -> Flow {
        let key = self.record_key(slot);
        let call = &mut self.calls[slot];
        call.stage = READ;
        let id = call.id;
        let keys = &self.keys[usize::from(self.records.get(number).keyspace)];
        let store = &mut self.stores[usize::from(self.instances[usize::from(call.leaf)].index)];
        let contents = &mut store.contents;
        if writes {
            if !contents.make_room(self.now) {
                return Flow::Failed;
            }
            if !keys.keyspace.persistent && !keys.write(contents, &self.draws, id, key, self.now) {
                return Flow::Failed;
            }
            store.replication.note_writes(self.now, keys.name(key), 1);
            return Flow::Done;
        }
        contents.expire_before_sleep(self.now);
        contents.make_room(self.now);
        let found = keys.keyspace.persistent || contents.read(keys.name(key), self.now);
        contents.counts.hits += u64::from(found);
        contents.counts.misses += u64::from(!found);
        if let Some((root, _)) = self.page_of(slot).filter(|_| !found) {
            self.calls[root].flags |= LOST_SESSION;
        }
        Flow::Done
    }

    /// A call has locked the row of its session, and keeps it until it has written it or ends.
    pub(crate) fn hold_row(&mut self, slot: u32, record: u16, at: u16, row: Row) {
        let lives = self.instances[usize::from(at)].lives;
        self.calls[slot].flags |= HOLDS_ROW;
        self.records.held.insert(slot, Held { record, at, lives, row });
    }

    /// Whether the transaction in which a call has locked its row is still open at this instance: it ends with it.
    pub(crate) fn still_holds_row(&self, slot: u32, at: u16) -> bool {
        let lives = self.instances[usize::from(at)].lives;
        self.records.held.get(&slot).is_some_and(|held| (held.at, held.lives) == (at, lives))
    }

    /// A call has its row no longer.
    #[cold]
    pub(crate) fn give_row_back(&mut self, slot: u32) {
        self.calls[slot].flags &= !HOLDS_ROW;
        let Some(Held { at, lives, row, .. }) = self.records.held.remove(&slot) else { return };
        // Those of a database that died are gone with it.
        if self.instances[usize::from(at)].lives == lives {
            self.release_row(at, row);
        }
    }

    /// A row is free: whoever waited longest for it has it.
    pub(crate) fn release_row(&mut self, at: u16, row: Row) {
        let index = usize::from(self.instances[usize::from(at)].index);
        if let Some(next) = self.databases[index].locks.release(&self.calls, row) {
            self.calls[next].awaits = Token::NONE;
            self.read_pages(next);
        }
    }
}
