//! The service: Apache's and PHP's role. Answers a request by walking the steps of its class, with a bounded number of
//! workers and a real backlog.
//!
//! - [`workers`]: how many requests are worked on, how many wait, when connections are no longer accepted
//! - [`request`]: which class a request belongs to
//! - [`steps`]: what is done for it
//! - [`backends`]: connections to stores and other services
//! - [`caching`]: what HTTP caches are told; [`purge`]: what they are to throw out
//! - [`answer`]: the JSON that goes back

mod answer;
mod backends;
mod caching;
mod purge;
mod request;
mod steps;
mod workers;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use scenarios::plan::RequestId;
use scenarios::scenario::{Service as Settings, WorkerHolds};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::component::{Context, Metrics};
use crate::http::{Body, Connection, Next, Patience, Requests, plain_answer, refuse};
use crate::socket::Listener;
use backends::Backends;
use caching::Caching;
use request::{Asked, Incoming};
pub(crate) use request::{CLASS_HEADER, REQUEST_HEADER, STEP_HEADER};
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
    workers: Workers,
    backends: Backends,
    caching: Caching,
    listener: Rc<Listener>,
    connections: Cell<i64>,
    requests: Cell<u64>,
    failures: Cell<u64>,
    name: String,
}

/// Starts the service on the context's listener and returns where its figures come from.
///
/// # Errors
/// Where the address cannot be listened on.
pub(crate) fn start(context: &Rc<Context>, settings: &Settings) -> io::Result<Metrics> {
    let listener = context.listen(settings.backlog)?;
    let service = Rc::new(Service {
        holds: settings.worker_holds,
        workers: Workers::new(settings.workers, settings.backlog, Rc::clone(&listener)),
        backends: Backends::new(context),
        caching: Caching::new(&context.scenario),
        name: context.name(),
        context: Rc::clone(context),
        listener,
        connections: Cell::new(0),
        requests: Cell::new(0),
        failures: Cell::new(0),
    });
    tokio::task::spawn_local(accept(Rc::clone(&service)));
    Ok(Box::new(move |figures| {
        let workers = &service.workers;
        figures.set("cores", f64::from(service.context.cores()));
        figures.set("busy_core_seconds", service.context.cores.busy_seconds());
        figures.set("workers", f64::from(workers.limit()));
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

async fn serve(service: Rc<Service>, stream: TcpStream, fresh: Fresh) {
    service.connections.set(service.connections.get() + 1);
    // A broken connection concerns its client alone.
    let _ = converse(&service, Connection::new(stream), fresh).await;
    service.connections.set(service.connections.get() - 1);
}

async fn converse(service: &Service, mut connection: Connection, fresh: Fresh) -> io::Result<()> {
    let mut fresh = Some(fresh);
    let mut out = Vec::new();
    let mut requests = Requests::new(None);
    let holds_connection = service.holds == WorkerHolds::Connection;
    let _permit: Option<Permit<'_>> =
        if holds_connection { Some(service.workers.enter().await) } else { None };
    loop {
        let mut read = |input: &[u8]| request::read(input, &service.context, &service.caching);
        let at_once = match fresh {
            Some(_) => timeout(FIRST_REQUEST, requests.next(&mut connection, &mut read)).await.ok(),
            None => None,
        };
        let next = match at_once {
            Some(next) => next,
            None => {
                drop(fresh.take());
                requests.next(&mut connection, &mut read).await
            }
        };
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
        let close = !incoming.keep_alive;
        drop(fresh.take());
        answer(service, &incoming, holds_connection, close, &mut out).await;
        // Who does not read his answer holds no worker for it for ever.
        requests.body.limit(connection.write_all(&out)).await?;
        out.clear();
        if close {
            return Ok(());
        }
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

async fn answer(
    service: &Service,
    incoming: &Incoming,
    holds_connection: bool,
    close: bool,
    out: &mut Vec<u8>,
) {
    service.requests.set(service.requests.get() + 1);
    if service.context.failing.get() {
        return plain_answer(500, close, incoming.is_head, out);
    }
    let (id, class, step) = match incoming.asked {
        Asked::Health => {
            let _permit = if holds_connection { None } else { Some(service.workers.enter().await) };
            return plain_answer(
                if service.context.failing.get() { 500 } else { 200 },
                close,
                incoming.is_head,
                out,
            );
        }
        Asked::Nothing => return plain_answer(404, close, incoming.is_head, out),
        Asked::Malformed => return plain_answer(400, close, incoming.is_head, out),
        Asked::Class { id, class, step } => (id, class, step),
    };
    let permit = if holds_connection { None } else { Some(service.workers.enter().await) };
    let done = match step {
        // Whoever began to fail while this one waited does nothing for it.
        _ if service.context.failing.get() => Ok(()),
        Some(step) => service.one_step(id, class, step).await,
        None => service.all_steps(id, class).await,
    };
    drop(permit);
    // Whoever began to fail while this one was under way fails it too.
    if done.is_err() || service.context.failing.get() {
        service.failures.set(service.failures.get() + 1);
        return plain_answer(500, close, incoming.is_head, out);
    }
    if step.is_some() {
        return plain_answer(200, close, incoming.is_head, out);
    }
    // An object is of one size, whoever asks for it first.
    let sized_by = incoming.wanted.as_ref().map_or(id, |wanted| RequestId(wanted.name));
    let law = &service.context.scenario.requests[class].response;
    let size = service.context.draws.response_size(sized_by, law) as usize;
    let mut fields = Vec::new();
    let is_known = service.caching.write(class, incoming.wanted.as_ref(), &mut fields);
    let page = incoming.wanted.as_ref().and_then(|w| caching::page(&service.context, class, w.name, size));
    let head = answer::Head { fields: &fields, close, without_body: incoming.is_head };
    match page {
        _ if is_known => answer::write_known(&head, out),
        Some(page) => answer::write_body(&page, &head, out),
        None => answer::write(size, id, &service.name, &head, out),
    }
}
