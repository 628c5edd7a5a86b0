//! Sessions. An instance keeps them itself: who comes back to another instance, or to the same one after it died, is not known
//! there. Or its machine does in a file, as PHP does: that outlives the process. Or they are records in a store, or rows of a database,
//! which are locked while a request is worked on. The user's client names the session by a cookie.
//!
//! Only requests of traffic whose sessions have such a `state` are asked for one, and only where the answer is nobody else's:
//! what HTTP caches keep has no cookies.

use std::cell::{Cell, RefCell};
use std::collections::{HashSet, VecDeque};
use std::io::{self, Write};
use std::path::Path;

use scenarios::Scenario;
use scenarios::plan::RequestId;
use scenarios::scenario::{Executor, SessionRecord, SessionState};

use super::Service;
use super::backends::Lent;
use super::database::Database;
use super::session_file::SessionFile;
use crate::resp::Failed;

/// The cookie's name.
const COOKIE: &str = "rehearsal-session";
/// Sessions that are kept; the oldest goes where there are more.
const SESSIONS_LIMIT: usize = 4 << 20;

/// The sessions of an instance.
#[derive(Debug)]
pub(super) struct Sessions {
    /// By traffic: where the sessions of its users are.
    states: Vec<SessionState>,
    known: RefCell<Known>,
    /// Where the machine keeps them, if any are in files.
    file: RefCell<Option<SessionFile>>,
    lost: Cell<u64>,
}

#[derive(Debug, Default)]
struct Known {
    names: HashSet<u64>,
    in_order: VecDeque<u64>,
}

impl Known {
    fn add(&mut self, name: u64) {
        if self.names.insert(name) {
            self.in_order.push_back(name);
        }
        if self.in_order.len() > SESSIONS_LIMIT
            && let Some(oldest) = self.in_order.pop_front()
        {
            self.names.remove(&oldest);
        }
    }
}

impl Sessions {
    /// Those that the machine's file has; nobody else was here yet.
    ///
    /// # Errors
    /// The kernel's, where the file cannot be read.
    pub(super) fn new(scenario: &Scenario, disk: Option<&Path>) -> io::Result<Self> {
        let states = scenario.traffic.iter().map(|traffic| match &traffic.executor {
            Executor::Sessions(session) => session.state,
            _ => SessionState::Stateless,
        });
        let states: Vec<SessionState> = states.collect();
        let (mut known, mut file) = (Known::default(), None);
        if let Some(disk) = disk.filter(|_| states.contains(&SessionState::Files)) {
            let (opened, names) = SessionFile::open(disk, SESSIONS_LIMIT)?;
            names.into_iter().for_each(|name| known.add(name));
            file = Some(opened);
        }
        Ok(Self { states, known: RefCell::new(known), file: RefCell::new(file), lost: Cell::new(0) })
    }

    /// Whether any traffic has sessions that can be lost.
    pub(super) fn are_kept(&self) -> bool {
        self.states.iter().any(|state| *state != SessionState::Stateless)
    }

    fn state(&self, id: RequestId) -> SessionState {
        self.states.get(id.traffic().index()).copied().unwrap_or(SessionState::Stateless)
    }

    /// How many there are, and how many came that were not known.
    pub(super) fn figures(&self) -> [f64; 2] {
        [self.known.borrow().names.len() as f64, self.lost.get() as f64]
    }

    /// A request has a good answer: the session that it named is known to this instance, or one begins, which the answer says.
    ///
    /// # Errors
    /// Where it cannot be written down that it begins.
    fn note(&self, id: RequestId, named: Option<u64>, out: &mut Vec<u8>) -> io::Result<()> {
        let mut known = self.known.borrow_mut();
        if named.is_some_and(|name| known.names.contains(&name)) {
            return Ok(());
        }
        // The request that begins it names it.
        if self.state(id) == SessionState::Files
            && let Some(file) = &mut *self.file.borrow_mut()
        {
            file.add(id.0)?;
        }
        known.add(id.0);
        self.begin(id, named.is_some(), out);
        Ok(())
    }

    /// A session begins, perhaps instead of one that is lost.
    fn begin(&self, id: RequestId, is_lost: bool, out: &mut Vec<u8>) {
        let lost = if is_lost { "; Rehearsal-Lost" } else { "" };
        self.lost.set(self.lost.get() + u64::from(is_lost));
        write!(out, "set-cookie: {COOKIE}={:016x}; Path=/; HttpOnly; SameSite=Lax{lost}\r\n", id.0)
            .expect("writing to a vector cannot fail");
    }
}

/// The session of a request under way.
#[derive(Debug)]
pub(super) struct Opened<'a> {
    id: RequestId,
    state: SessionState,
    /// The session that the request names.
    named: Option<u64>,
    is_found: bool,
    /// The connection in whose transaction the session's row is locked. Whoever drops it closes it, which ends the transaction.
    transaction: Option<Lent<'a, Database>>,
}

impl Service {
    /// Reads the record of the session that a request names, if such sessions have one.
    ///
    /// # Errors
    /// The failure of the store or the database.
    pub(super) async fn open_session(&self, id: RequestId, named: Option<u64>) -> Result<Opened<'_>, Failed> {
        let state = self.sessions.state(id);
        let mut opened = Opened { id, state, named, is_found: true, transaction: None };
        let (SessionState::Record(record), Some(name)) = (state, named) else { return Ok(opened) };
        let key = self.record_key(record, RequestId(name));
        match record.database {
            None => opened.is_found = self.read(record.keyspace, &[key]).await?[0],
            Some(database) => {
                let mut connection = self.backends.database(database).await?;
                let draw = usize::from(SessionRecord::DRAWS[0]);
                self.state_to(&mut connection, "LOCK", id, draw, record.keyspace, &[key]).await?;
                connection.is_owed();
                opened.transaction = Some(connection);
            }
        }
        Ok(opened)
    }

    /// A request was done: its session's record is written, and the fields say what the client is to know.
    ///
    /// # Errors
    /// The failure of the store or the database.
    pub(super) async fn close_session(&self, opened: Opened<'_>, fields: &mut Vec<u8>) -> Result<(), Failed> {
        let Opened { id, state, named, is_found, transaction } = opened;
        match state {
            SessionState::Instance | SessionState::Files => self.sessions.note(id, named, fields)?,
            SessionState::Record(record) => {
                let known = named.filter(|_| is_found);
                let key = self.record_key(record, known.map_or(id, RequestId));
                self.write_record(id, record, key, transaction).await?;
                if known.is_none() {
                    self.sessions.begin(id, named.is_some(), fields);
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn write_record(
        &self,
        id: RequestId,
        record: SessionRecord,
        key: u64,
        transaction: Option<Lent<'_, Database>>,
    ) -> Result<(), Failed> {
        let Some(database) = record.database else { return self.write(id, record.keyspace, &[key]).await };
        let mut connection = match transaction {
            Some(connection) => connection,
            None => self.backends.database(database).await?,
        };
        let draw = usize::from(SessionRecord::DRAWS[1]);
        self.state_to(&mut connection, "UPDATE", id, draw, record.keyspace, &[key]).await?;
        connection.is_done();
        Ok(())
    }

    fn record_key(&self, record: SessionRecord, session: RequestId) -> u64 {
        SessionRecord::key(session, self.context.scenario.keyspace(record.keyspace).keys)
    }
}

/// The session that a `Cookie` field names.
pub(super) fn named(field: &[u8]) -> Option<u64> {
    let value = |pair: &[u8]| {
        let digits = pair.trim_ascii().strip_prefix(COOKIE.as_bytes())?.strip_prefix(b"=")?;
        u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
    };
    field.split(|byte| *byte == b';').find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_lost_where_it_is_not_known_and_begins_anew_there() {
        let text = r#"
title = "Sessions"
[run]
duration = "10s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
[requests.page]
path = "/"
steps = [{ work = "1ms" }]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { page = 1 }
session = { requests = 3, think = "1s", state = "instance" }
"#;
        let scenario = Scenario::parse("sessions.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let note = |sessions: &Sessions, id: u64, named: Option<u64>| {
            let mut out = Vec::new();
            sessions.note(RequestId(id), named, &mut out).expect("nothing is written");
            String::from_utf8(out).expect("text")
        };
        let [here, there] = [(); 2].map(|()| Sessions::new(&scenario, None).expect("nothing is read"));
        let begun = note(&here, 7, None);
        assert!(
            begun.starts_with("set-cookie: rehearsal-session=0000000000000007; ") && !begun.contains("Lost")
        );
        assert_eq!(note(&here, 8, Some(7)), "", "it is known");
        assert!(
            note(&there, 9, Some(7))
                .contains("=0000000000000009; Path=/; HttpOnly; SameSite=Lax; Rehearsal-Lost")
        );
        assert_eq!(note(&there, 10, Some(9)), "", "a loss counts once");
        assert_eq!((here.figures(), there.figures()), ([1.0, 0.0], [1.0, 1.0]));
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        for (field, name) in [
            ("a=b; rehearsal-session=00ff; c", Some(255)),
            ("rehearsal-session=xyz", None),
            ("xrehearsal-session=1", None),
            ("", None),
        ] {
            assert_eq!(named(field.as_bytes()), name, "{field}");
        }
    }
}
