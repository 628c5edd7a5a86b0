//! The key-value store: Redis's role, Redis's protocol, one thread, commands in order.
//!
//! - [`data`]: records, expiry, memory
//! - [`eviction`]: volatile-lru by sampling
//! - [`command`]: what the commands do; [`administration`]: those that are not about keys
//! - [`prefill`]: what is there before the run starts; [`standing`]: the part of it that nobody has written since

mod administration;
mod command;
mod data;
mod eviction;
mod prefill;
mod standing;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use scenarios::scenario::{Eviction, KvStore};
use tokio::net::TcpStream;

use crate::component::{Context, Metrics};
use crate::emulated::clock::process_cpu_seconds;
use crate::http::Connection;
use crate::resp::Writer;
use crate::resp::request::parse_command;
use command::{Session, execute};
use data::{Data, Limits};
pub(crate) use prefill::{FILLER, key_name};

/// Replies that are not sent yet, above which they are sent before the next command of a pipeline is read.
const OUTPUT_SIZE: usize = 1 << 20;
/// Redis's `hz`: ten active expiry cycles a second.
const EXPIRY_PERIOD: Duration = Duration::from_millis(100);
/// The longest that one active cycle keeps clients waiting.
const EXPIRY_LIMIT_NANOS: u64 = 5_000_000;

/// The store's state.
#[derive(Debug)]
struct Store {
    data: RefCell<Data>,
    connections: Cell<i64>,
    commands: Cell<u64>,
}

/// Fills the store, starts it on the context's listener and returns where its figures come from.
///
/// # Errors
/// Where the address cannot be listened on.
pub(crate) fn start(context: &Rc<Context>, settings: &KvStore) -> io::Result<Metrics> {
    let limits = Limits {
        max_memory: settings.max_memory.map(|bytes| bytes.get()),
        eviction: settings.eviction,
        samples: settings.samples,
    };
    let mut data = Data::new(limits, context.scenario.run.seed);
    prefill::fill(&mut data, context);
    let store =
        Rc::new(Store { data: RefCell::new(data), connections: Cell::new(0), commands: Cell::new(0) });
    let listener = context.listen(1024)?;
    tokio::task::spawn_local({
        let store = Rc::clone(&store);
        async move {
            loop {
                let stream = listener.accept().await;
                tokio::task::spawn_local(serve(Rc::clone(&store), stream));
            }
        }
    });
    tokio::task::spawn_local(expire(Rc::clone(&store)));
    Ok(Box::new(move |figures| {
        let mut data = store.data.borrow_mut();
        data.tick();
        let counts = data.counts();
        // The one thread is not emulated: it is as busy as it really is.
        figures.set("cores", 1.0);
        figures.set("busy_core_seconds", process_cpu_seconds());
        figures.set("hits", counts.hits as f64);
        figures.set("misses", counts.misses as f64);
        figures.set("evictions", counts.evicted as f64);
        figures.set("expired", counts.expired as f64);
        figures.set("keys", data.len() as f64);
        figures.set("keys_with_ttl", data.volatile_len() as f64);
        figures.set("memory_bytes", data.memory() as f64);
        figures.set("connections", store.connections.get() as f64);
        figures.set("commands", store.commands.get() as f64);
    }))
}

async fn expire(store: Rc<Store>) {
    loop {
        tokio::time::sleep(EXPIRY_PERIOD).await;
        let mut data = store.data.borrow_mut();
        data.tick();
        data.expire_cycle(EXPIRY_LIMIT_NANOS);
    }
}

async fn serve(store: Rc<Store>, stream: TcpStream) {
    store.connections.set(store.connections.get() + 1);
    // A broken connection concerns its client alone.
    let _ = converse(&store, Connection::new(stream)).await;
    store.connections.set(store.connections.get() - 1);
}

async fn converse(store: &Store, mut connection: Connection) -> io::Result<()> {
    let mut session = Session::default();
    let mut arguments = Vec::new();
    let mut out = Vec::new();
    loop {
        let mut used = 0;
        let mut malformed = false;
        {
            let mut data = store.data.borrow_mut();
            let input = connection.input();
            if !input.is_empty() {
                data.start_clock();
            }
            data.tick();
            while !session.over && out.len() < OUTPUT_SIZE {
                match parse_command(&input[used..], &mut arguments) {
                    Ok(None) => break,
                    Ok(Some(len)) => {
                        if !arguments.is_empty() {
                            store.commands.set(store.commands.get() + 1);
                            execute(&mut data, &mut session, &input[used..], &arguments, &mut out);
                        }
                        used += len;
                    }
                    Err(error) => {
                        Writer::new(&mut out, false).error(&format!("ERR {error}"));
                        malformed = true;
                        break;
                    }
                }
            }
        }
        connection.consume(used);
        if !out.is_empty() {
            connection.write_all(&out).await?;
            out.clear();
            // One wide answer must not keep its memory for ever.
            out.shrink_to(OUTPUT_SIZE);
        }
        if malformed || session.over {
            return Ok(());
        }
        if used == 0 && connection.fill().await? == 0 {
            return Ok(());
        }
    }
}

/// Redis's name of a policy.
fn policy_name(eviction: Eviction) -> &'static str {
    match eviction {
        Eviction::VolatileLru => "volatile-lru",
        _ => "noeviction",
    }
}
