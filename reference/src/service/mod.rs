//! The service: Apache's and PHP's role. Answers a request by walking the steps of its class, with a bounded number of
//! workers and a real backlog.
//!
//! - [`workers`]: how many requests are worked on, how many wait, when connections are no longer accepted; [`manager`]: who
//!   starts and ends them
//! - [`request`]: which class a request belongs to
//! - [`program`]: the steps of all classes, spelled out; [`walk`]: the way through them; [`steps`]: what is asked of stores and
//!   databases; [`calls`]: what is asked of other services; [`messages`]: what goes to queues and comes from them
//! - [`guard`]: calls under a policy; [`policy`]: the rules for them
//! - [`sessions`]: users who are known here; [`session_file`]: those who are so after the process's death
//! - [`backends`]: connections to stores and other services; [`database`]: to SQL stores, and what they are asked
//! - [`caching`]: what HTTP caches are told; [`purge`]: what they are to throw out
//! - [`answer`]: the JSON that goes back

mod answer;
mod backends;
mod caching;
mod calls;
mod database;
mod guard;
mod manager;
mod messages;
mod policy;
pub(crate) mod program;
mod purge;
mod ready;
mod request;
mod session_file;
mod sessions;
mod steps;
mod walk;
mod workers;

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use scenarios::scenario::{Service as Settings, WorkerHolds};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::component::{Context, Metrics};
use crate::edge::Trust;
use crate::http::{Body, Connection, Next, Patience, Requests, plain_answer, refuse};
use crate::log;
use crate::resp::Failed;
use crate::socket::Listener;
use backends::Backends;
use caching::Caching;
use guard::Guards;
use program::Program;
pub(crate) use ready::Ready;
pub(crate) use request::{ATTEMPT_HEADER, CLASS_HEADER, REQUEST_HEADER, STEPS_HEADER};
use request::{Asked, Incoming};
use sessions::Sessions;
use walk::Errand;
use workers::{Permit, Workers};

/// Connections held at once, beyond which none is accepted.
const CONNECTIONS_LIMIT: i64 = 16_384;

/// How long a new connection is counted as if it had brought a request.
const FIRST_REQUEST: Duration = Duration::from_millis(5);

/// The service's state.
#[derive(Debug)]
struct Service {
    context: Rc<Context>,
    holds: WorkerHolds,
    keep_alive: Duration,
    memory: (u64, u64),
    workers: Rc<Workers>,
    program: Program,
    guards: Guards,
    backends: Backends,
    sessions: Sessions,
    caching: Caching,
    listener: Rc<Listener>,
    connections: Cell<i64>,
    requests: Cell<u64>,
    failures: Cell<u64>,
    name: String,
    /// Whether connections begin with whose they are.
    is_announced: bool,
}

/// Starts the service on the context's listener and returns where its figures come from.
///
/// # Errors
/// Where the address cannot be listened on.
pub(crate) fn start(context: &Rc<Context>, settings: &Settings) -> io::Result<Metrics> {
    let program = Program::new(&context.scenario).map_err(|class| {
        io::Error::other(format!("{} has too many steps", context.scenario.class(class).name))
    })?;
    let listener = context.listen(settings.backlog)?;
    let service = Rc::new(Service {
        holds: settings.worker_holds,
        keep_alive: settings.keep_alive.as_duration(),
        memory: (settings.memory_base.get(), settings.memory_per_worker.get()),
        workers: Workers::new(settings, Rc::clone(&listener)),
        guards: Guards::new(&program.sites),
        program,
        backends: Backends::new(context),
        sessions: Sessions::new(&context.scenario, context.disk.as_deref())?,
        caching: Caching::new(&context.scenario),
        name: context.name(),
        is_announced: context.is_announced(),
        context: Rc::clone(context),
        listener,
        connections: Cell::new(0),
        requests: Cell::new(0),
        failures: Cell::new(0),
    });
    tokio::task::spawn_local(accept(Rc::clone(&service)));
    messages::start(&service);
    let workers = Rc::clone(&service.workers);
    context.on_finish(move || workers.busy.get() + workers.waiting.get());
    Ok(Box::new(move |figures| {
        let workers = &service.workers;
        figures.set("cores", f64::from(service.context.cores()));
        figures.set("busy_core_seconds", service.context.cores.busy_seconds());
        figures.set("workers", f64::from(workers.limit()));
        figures.set("workers_alive", f64::from(workers.alive()));
        let (base, per_worker) = service.memory;
        if base + per_worker > 0 {
            let bytes = base.saturating_add(per_worker.saturating_mul(u64::from(workers.alive())));
            figures.set("memory_bytes", bytes as f64);
        }
        if service.holds == WorkerHolds::Connection {
            figures.set("held", workers.held.get() as f64);
        }
        service.guards.tell(figures);
        if service.sessions.are_kept() {
            let [sessions, lost] = service.sessions.figures();
            figures.set("sessions", sessions);
            figures.set("lost_sessions", lost);
        }
        figures.set("busy_worker_seconds", workers.busy.seconds());
        // Who waits for a worker, and who has one and waits for a core.
        figures.set("queue_seconds", workers.waiting.seconds() + service.context.cores.waited_seconds());
        figures.set("in_service", workers.busy.get() as f64);
        figures.set("in_service_max", workers.most_busy() as f64);
        figures.set("waiting", workers.waiting.get() as f64);
        figures.set("connections", service.connections.get() as f64);
        figures.set("requests", service.requests.get() as f64);
        figures.set("failures", service.failures.get() as f64);
    }))
}

async fn accept(service: Rc<Service>) {
    loop {
        if service.context.finishing.get() {
            return;
        }
        service.workers.room().await;
        if service.connections.get() >= CONNECTIONS_LIMIT {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        }
        let stream = service.listener.accept().await;
        let fresh = Fresh::new(&service);
        tokio::task::spawn_local(serve(Rc::clone(&service), stream, fresh));
    }
}

/// A connection that has brought no request yet.
#[derive(Debug)]
struct Fresh(Rc<Service>);

impl Fresh {
    fn new(service: &Rc<Service>) -> Self {
        service.workers.expect();
        Self(Rc::clone(service))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        self.0.workers.expect_no_more();
    }
}

/// Waits for what a connection brings. One that brings nothing soon is not fresh any more: it must not keep others out.
async fn while_fresh<F: Future>(fresh: &mut Option<impl Sized>, mut coming: Pin<&mut F>) -> F::Output {
    if fresh.is_some() {
        if let Ok(come) = timeout(FIRST_REQUEST, &mut coming).await {
            return come;
        }
        drop(fresh.take());
    }
    coming.await
}

async fn serve(service: Rc<Service>, mut stream: TcpStream, fresh: Fresh) {
    let mut fresh = Some(fresh);
    service.connections.set(service.connections.get() + 1);
    if !service.is_announced {
        // A broken connection concerns its client alone.
        let _ = converse(&service, Connection::new(stream), fresh).await;
    } else if while_fresh(&mut fresh, pin!(Trust::Everybody.welcome(&mut stream))).await.is_some() {
        let _ = converse(&service, Connection::new(stream), fresh).await;
    }
    service.connections.set(service.connections.get() - 1);
}

async fn converse(service: &Service, mut connection: Connection, mut fresh: Option<Fresh>) -> io::Result<()> {
    let mut out = Vec::new();
    let mut requests = Requests::new(None);
    // Taken up with the first request: Linux defers `accept` until then (Apache's `AcceptFilter http data`).
    let mut permit: Option<Permit<'_>> = None;
    let holds_connection = service.holds == WorkerHolds::Connection;
    if holds_connection {
        requests.set_idle(service.keep_alive);
    }
    loop {
        let mut read = |input: &[u8]| request::read(input, &service.context, &service.caching);
        let next = while_fresh(&mut fresh, pin!(requests.next(&mut connection, &mut read))).await;
        let incoming = match next? {
            Next::Head(incoming) => incoming,
            Next::End => return Ok(()),
            Next::Refused(status) => return refuse(connection, status, false, &mut out).await,
        };
        connection.consume(incoming.head_len);
        let skipped = skip_body(&mut connection, &incoming, &mut requests.body).await;
        match skipped {
            Ok(true) => {}
            Ok(false) => return refuse(connection, 400, incoming.is_head, &mut out).await,
            Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                return refuse(connection, 408, incoming.is_head, &mut out).await;
            }
            Err(error) => return Err(error),
        }
        let close = !incoming.keep_alive || service.context.finishing.get();
        drop(fresh.take());
        if !holds_connection {
            permit = None;
        }
        answer(service, &incoming, &mut permit, close, &mut out).await;
        // Who does not read his answer holds no worker for it for ever.
        requests.body.limit(connection.write_all(&out)).await?;
        out.clear();
        if close {
            return Ok(());
        }
        if let Some(permit) = &mut permit {
            permit.rest();
        }
    }
}

impl Service {
    /// Takes a class's steps, within the user's session where the answer is nobody else's.
    ///
    /// # Errors
    /// The first failure.
    async fn make_page(
        &self,
        errand: Errand,
        incoming: &Incoming,
        cookies: &mut Vec<u8>,
    ) -> Result<(), Failed> {
        let steps = self.walk(errand, self.program.of_class(errand.class));
        if incoming.wanted.is_some() {
            return steps.await;
        }
        let session = self.open_session(errand.id, incoming.session).await?;
        steps.await?;
        self.close_session(session, cookies).await
    }

    /// Writes down why a request failed.
    fn complain(&self, incoming: &Incoming, done: Result<(), Failed>) {
        let (Err(error), true) = (done, log::is_on()) else { return };
        let (Asked::Class(errand) | Asked::Steps { errand, .. }) = incoming.asked else { return };
        let (id, class) =
            (format!("{:016x}", errand.id.0), &self.context.scenario.requests[errand.class].name);
        let more = [("request", id.as_str()), ("class", class.as_str())];
        log::write(log::Level::Error, "request", &self.name, &error.to_string(), &more);
    }
}

/// Reads a request's body away; false where it is malformed.
async fn skip_body(
    connection: &mut Connection,
    incoming: &Incoming,
    patience: &mut Patience,
) -> io::Result<bool> {
    let mut body = Body::new(incoming.framing);
    loop {
        let Ok(taken) = body.take(connection.input()) else { return Ok(false) };
        connection.consume(taken);
        if body.is_done() {
            return Ok(true);
        }
        patience.limit(connection.more()).await?;
    }
}

/// Answers a request with the worker that waits on its connection, or with another, which is left in `permit` where workers
/// hold connections.
async fn answer<'a>(
    service: &'a Service,
    incoming: &Incoming,
    permit: &mut Option<Permit<'a>>,
    close: bool,
    out: &mut Vec<u8>,
) {
    service.requests.set(service.requests.get() + 1);
    let is_failing = || service.context.is_failing();
    if service.context.fails() {
        return plain_answer(500, close, incoming.is_head, out);
    }
    match incoming.asked {
        Asked::Nothing => return plain_answer(404, close, incoming.is_head, out),
        Asked::Malformed => return plain_answer(400, close, incoming.is_head, out),
        _ => {}
    }
    let worker = match permit.take() {
        Some(mut permit) => {
            permit.work();
            permit
        }
        None => match service.workers.enter().await {
            Some(permit) => permit,
            None => return plain_answer(503, close, incoming.is_head, out),
        },
    };
    let mut cookies = Vec::new();
    // Whoever began to fail while this one waited does nothing for it.
    let done = match incoming.asked {
        _ if is_failing() => Ok(()),
        Asked::Class(errand) => service.make_page(errand, incoming, &mut cookies).await,
        Asked::Steps { errand, list } => service.walk(errand, list).await,
        _ => Ok(()),
    };
    match service.holds {
        WorkerHolds::Connection => *permit = Some(worker),
        _ => drop(worker),
    }
    let (id, class) = match incoming.asked {
        // Whoever began to fail while this one was under way fails it too.
        _ if done.is_err() || is_failing() => {
            service.complain(incoming, done);
            service.failures.set(service.failures.get() + 1);
            return plain_answer(500, close, incoming.is_head, out);
        }
        Asked::Class(errand) => (errand.id, errand.class),
        _ => return plain_answer(200, close, incoming.is_head, out),
    };
    let (draws, law) = (&service.context.draws, &service.context.scenario.requests[class].response);
    // An object is of one size, whoever asks for it first.
    let size = match &incoming.wanted {
        Some(wanted) => draws.object_size(wanted.class, wanted.keys(), law),
        None => draws.response_size(id, law),
    } as usize;
    let mut fields = Vec::new();
    let is_known = service.caching.write(class, incoming.wanted.as_ref(), &mut fields);
    fields.append(&mut cookies);
    let page = incoming.wanted.as_ref().and_then(|w| caching::page(&service.context, class, w.name, size));
    let head = answer::Head { fields: &fields, close, without_body: incoming.is_head };
    match page {
        _ if is_known => answer::write_known(&head, out),
        Some(page) => answer::write_body(&page, &head, out),
        None => answer::write(size, id, &service.name, &head, out),
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::pin::pin;
    use std::rc::Rc;
    use std::time::Duration;

    use tokio::time::timeout;

    use super::while_fresh;

    #[test]
    fn a_connection_that_does_not_say_whose_it_is_soon_is_not_fresh_any_more() {
        let runtime = crate::child::runtime().expect("a runtime can be built");
        runtime.block_on(async {
            let held = Rc::new(());
            let mut fresh = Some(Rc::clone(&held));
            while_fresh(&mut fresh, pin!(ready(()))).await;
            assert_eq!(Rc::strong_count(&held), 2, "one that speaks at once is fresh");
            let mut nothing = pin!(pending::<()>());
            let silent = while_fresh(&mut fresh, nothing.as_mut());
            assert!(timeout(Duration::from_millis(500), silent).await.is_err());
            assert_eq!(Rc::strong_count(&held), 1, "one that is silent is not");
        });
    }
}
