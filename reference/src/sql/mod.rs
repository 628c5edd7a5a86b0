//! The SQL tier: MySQL's role, with SQLite inside. Statements come as RESP commands:
//! `SELECT table request step key…` answers with an array of row values, `UPDATE table request step key…` with the
//! number of rows. `LOCK table request step key` is `SELECT … FOR UPDATE`: it opens a transaction, which the next
//! `UPDATE` of that row on the same connection commits. The processor time of a statement is drawn from the scenario
//! by request and step, and held on a core of this host; then the real statement runs.
//!
//! - [`engine`]: what executes statements in the end; [`database`]: the tables in SQLite; `mysql`: those of a server elsewhere
//! - [`wire`]: MySQL's protocol, as services speak it to a real server
//! - [`locks`]: rows that are being updated; [`sleep`]: a database that nobody asks

mod database;
mod engine;
mod locks;
#[cfg(feature = "mysql")]
mod mysql;
mod sleep;
pub(crate) mod wire;

use std::cell::Cell;
use std::io;
use std::rc::Rc;

use scenarios::plan::RequestId;
use scenarios::scenario::{KeyspaceId, SqlStore};
use tokio::sync::{OnceCell, Semaphore};

use crate::component::{Context, Metrics};
use crate::emulated::Level;
use crate::emulated::clock::now_nanos;
use crate::resp::guests::{Ended, Guest, Guests, Rules};
use crate::resp::request::{Limits, Range};
use crate::resp::{Writer, integer};
use engine::Engine;
use locks::{Locked, Locks};
use sleep::Sleep;

/// The longest answer to a statement.
const ANSWER_LIMIT: usize = 64 << 20;

/// The SQL server's state.
#[derive(Debug)]
struct Server {
    context: Rc<Context>,
    settings: SqlStore,
    /// Open once it could be opened.
    engine: OnceCell<Engine>,
    locks: Locks,
    lock_timeouts: Cell<u64>,
    statement_timeouts: Cell<u64>,
    sleep: Option<Sleep>,
    /// One permit for each statement that may be executed at once; fair, so the others wait in order.
    permits: Semaphore,
    busy: Level,
    waiting: Level,
    guests: Rc<Guests>,
    statements: Cell<u64>,
}

/// Starts the server on the context's listener and returns where its figures come from.
///
/// # Errors
/// Where the address cannot be listened on or SQLite fails.
pub(crate) fn start(context: &Rc<Context>, settings: &SqlStore) -> io::Result<Metrics> {
    let server = Rc::new(Server {
        engine: OnceCell::new(),
        locks: Locks::default(),
        lock_timeouts: Cell::new(0),
        statement_timeouts: Cell::new(0),
        sleep: settings.hibernation.map(|rules| Sleep::new(rules, context.scenario.run.seed, now_nanos())),
        context: Rc::clone(context),
        settings: settings.clone(),
        permits: Semaphore::new(settings.connections as usize),
        busy: Level::default(),
        waiting: Level::default(),
        guests: Guests::new(Rules::new(&context.scenario), &Limits::STATEMENT),
        statements: Cell::new(0),
    });
    context.serve(1024, {
        let server = Rc::clone(&server);
        move |listener| {
            let server = Rc::clone(&server);
            tokio::task::spawn_local(async move {
                loop {
                    if let Some(guest) = server.guests.enter(listener.accept().await) {
                        tokio::task::spawn_local(serve(Rc::clone(&server), guest));
                    }
                }
            });
        }
    })?;
    Ok(Box::new(move |figures| {
        figures.set("cores", f64::from(server.context.cores()));
        figures.set("busy_core_seconds", server.context.cores.busy_seconds());
        figures.set("workers", f64::from(server.settings.connections));
        figures.set("busy_worker_seconds", server.busy.seconds());
        // Who waits for a connection, and who has one and waits for a core.
        figures.set("queue_seconds", server.waiting.seconds() + server.context.cores.waited_seconds());
        figures.set("in_service", server.busy.get() as f64);
        figures.set("waiting", server.waiting.get() as f64);
        figures.set("connections", server.guests.count() as f64);
        figures.set("refused", server.guests.refused() as f64);
        figures.set("statements", server.statements.get() as f64);
        if server.settings.lock_wait.is_some() {
            figures.set("lock_timeouts", server.lock_timeouts.get() as f64);
        }
        if server.settings.statement_timeout.is_some() {
            figures.set("statement_timeouts", server.statement_timeouts.get() as f64);
        }
    }))
}

async fn serve(server: Rc<Server>, mut guest: Guest) {
    if let Err(ended) = converse(&server, &mut guest).await {
        guest.leave(ended).await;
    }
}

/// Answers statement by statement until the client leaves. Why it is to go, where it does not by itself.
async fn converse(server: &Server, guest: &mut Guest) -> Result<(), Ended> {
    let mut out = Vec::new();
    // The row of the transaction that is open: its lock ends with the connection at the latest.
    let mut transaction = None;
    loop {
        match guest.read()? {
            Some(length) => {
                let (input, arguments) = guest.command();
                if !arguments.is_empty() {
                    let statement = server.read(input, arguments);
                    server.execute(statement, guest, &mut transaction, &mut out).await;
                    guest.answer(&mut out).await?;
                }
                guest.consume(length);
            }
            None if guest.more().await? => {}
            None => return Ok(()),
        }
    }
}

/// A statement as it was asked for.
#[derive(Debug, PartialEq, Eq)]
enum Statement {
    Ping,
    Rows { verb: Verb, table: KeyspaceId, request: RequestId, step: usize, keys: Vec<u64> },
    Malformed(&'static str),
}

/// What is done with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Read,
    Update,
    /// Read, and kept from others.
    Lock,
}

impl Server {
    fn read(&self, input: &[u8], arguments: &[Range]) -> Statement {
        let scenario = &self.context.scenario;
        let argument = |index: usize| {
            arguments.get(index).map_or(&[][..], |range| &input[range.0 as usize..range.1 as usize])
        };
        let verb = match argument(0) {
            b"PING" => return Statement::Ping,
            b"SELECT" => Verb::Read,
            b"UPDATE" => Verb::Update,
            b"LOCK" => Verb::Lock,
            _ => return Statement::Malformed("ERR unknown statement"),
        };
        let table = scenario.keyspace_ids().find(|id| scenario.keyspace(*id).name.as_bytes() == argument(1));
        let request = std::str::from_utf8(argument(2)).ok().and_then(|d| u64::from_str_radix(d, 16).ok());
        let step = integer(argument(3)).and_then(|n| usize::try_from(n).ok());
        let (Some(table), Some(request), Some(step)) = (table, request, step) else {
            return Statement::Malformed("ERR expected a table, a request and a step");
        };
        let limit = scenario.keyspace(table).keys;
        let key = |index| integer(argument(index)).and_then(|n| u64::try_from(n).ok()).filter(|n| *n < limit);
        match (4..arguments.len()).map(key).collect() {
            Some(keys) => Statement::Rows { verb, table, request: RequestId(request), step, keys },
            None => Statement::Malformed("ERR no such key"),
        }
    }

    async fn execute<'a>(
        &'a self,
        statement: Statement,
        guest: &Guest,
        transaction: &mut Option<Locked<'a>>,
        out: &mut Vec<u8>,
    ) {
        let mut reply = Writer::new(out, false);
        let (verb, table, request, step, keys) = match statement {
            Statement::Ping => return reply.simple("PONG"),
            Statement::Malformed(message) => return reply.error(message),
            Statement::Rows { verb, table, request, step, keys } => (verb, table, request, step, keys),
        };
        let update = verb == Verb::Update;
        if update && self.context.is_disk_full() {
            // What MySQL answers where InnoDB finds no room.
            return reply.error("ERR 1114 (HY000): The table is full");
        }
        if let Some(sleep) = &self.sleep {
            let begins = sleep.wake(now_nanos());
            self.context.timer.sleep_until(begins).await;
        }
        let row = keys.first().filter(|_| verb != Verb::Read).map(|key| (table.index(), *key));
        let own = transaction.take_if(|locked| Some(locked.row()) == row);
        // A transaction has its connection already: those who wait for its row may have all the others.
        let _permit = match &own {
            Some(_) => None,
            None => {
                let _waiting = self.waiting.hold();
                Some(self.permits.acquire().await.expect("the semaphore is never closed"))
            }
        };
        let _busy = self.busy.hold();
        self.statements.set(self.statements.get() + 1);
        let limit = self.settings.statement_timeout.map(|limit| limit.as_duration());
        let deadline = limit.map(|limit| now_nanos().saturating_add(limit.as_nanos() as u64));
        let locked = match (row, self.settings.lock_wait.map(|wait| wait.as_duration())) {
            _ if own.is_some() => own,
            (Some(row), Some(wait)) => {
                match self.locks.take(row, limit.map_or(wait, |l| l.min(wait))).await {
                    Some(locked) => Some(locked),
                    None if limit.is_some_and(|limit| limit < wait) => return self.took_too_long(&mut reply),
                    None => {
                        self.lock_timeouts.set(self.lock_timeouts.get() + 1);
                        return reply.error(
                            "ERR 1205 (HY000): Lock wait timeout exceeded; try restarting transaction",
                        );
                    }
                }
            }
            _ => None,
        };
        let law = if update { &self.settings.write } else { &self.settings.read };
        let nanos = self.context.slowed(self.context.draws.statement(request, step, law).as_nanos());
        let is_done = match deadline {
            Some(deadline) => self.context.cores.work_until(nanos, deadline).await,
            None => {
                self.context.cores.work(nanos).await;
                true
            }
        };
        if !is_done {
            return self.took_too_long(&mut reply);
        }
        let engine = match self.engine().await {
            Ok(engine) => engine,
            Err(error) => return reply.error(&format!("ERR {}", one_line(&error))),
        };
        let start = reply.len();
        let result = if update {
            engine.update(table, &keys).await.map(|rows| reply.integer(rows as i64))
        } else {
            select(engine, table, &keys, guest, &mut reply).await
        };
        match result {
            Ok(()) if verb == Verb::Lock => *transaction = locked,
            Ok(()) => {}
            Err(error) => {
                // Some of the rows may be written already.
                reply.take_back(start);
                reply.error(&format!("ERR {}", one_line(&error)));
            }
        }
    }

    /// Fails a statement whose time is over.
    fn took_too_long(&self, reply: &mut Writer<'_>) {
        self.statement_timeouts.set(self.statement_timeouts.get() + 1);
        reply.error("ERR 1969 (70100): Query execution was interrupted (max_statement_time exceeded)");
    }

    /// The engine. One that could not be reached is tried again.
    async fn engine(&self) -> Result<&Engine, String> {
        let open = || async {
            let meant = &self.context.scenario.component(self.context.component).engine;
            Engine::open(meant, &self.context.scenario, self.context.draws.clone()).await
        };
        self.engine.get_or_try_init(open).await
    }
}

/// Answers with rows, of which so many are read at a time that others have their turn.
///
/// # Errors
/// The engine's, or why there is no room for so many.
async fn select(
    engine: &Engine,
    table: KeyspaceId,
    keys: &[u64],
    guest: &Guest,
    reply: &mut Writer<'_>,
) -> Result<(), String> {
    let start = reply.len();
    reply.array(keys.len());
    for some in keys.chunks(engine.rows_at_once()) {
        let rows = engine.select(table, some).await?;
        rows.iter().flatten().for_each(|row| reply.bulk(row));
        if rows.is_none() || reply.len() - start > ANSWER_LIMIT {
            return Err(format!("the rows are longer than {} MiB", ANSWER_LIMIT >> 20));
        }
        guest.hold(reply.len()).map_err(|ended| ended.to_string())?;
        if some.len() < keys.len() {
            tokio::task::yield_now().await;
        }
    }
    Ok(())
}

fn one_line(error: &str) -> String {
    error.replace(['\r', '\n'], " ")
}
