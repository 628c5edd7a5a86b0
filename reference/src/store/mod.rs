//! The key-value store: Redis's role, Redis's protocol, one thread, commands in order.
//!
//! - [`data`]: records, expiry, memory; [`index`] finds them, [`record`] and [`fields`] are what is kept, [`clock`] tells
//!   their time
//! - [`eviction`], [`lfu`], [`expiry`]: which records go, by Redis's rules
//! - [`server`]: records and [`clients`], with [`settings`]; [`poll`]: the clients' sockets; [`output`]: what may be pending
//!   for them; [`latency`]: what took long
//! - [`commands`]: what the commands do
//! - [`replication`]: copies of the store; [`save`] and [`load`]: files of what it holds; [`rdb`]: records on their way
//! - [`prefill`]: what is there before the run starts; [`standing`]: the part of it that nobody has written since
//!
//! Eviction is written apart from the simulator's, so that their agreement says something.

mod clients;
mod clock;
mod commands;
mod data;
mod eviction;
mod expiry;
mod fields;
mod glob;
mod index;
mod latency;
mod lfu;
mod load;
mod output;
mod poll;
mod prefill;
mod rdb;
mod record;
mod replication;
mod save;
mod server;
mod settings;
mod standing;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use scenarios::scenario::{KvStore, Snapshot};
use tokio::time::Instant;

use crate::component::{Context, Metrics, Takeover};
use crate::emulated::clock::{now_nanos, process_cpu_seconds};
use data::{Data, Limits};
use poll::Poll;
pub(crate) use prefill::{FILLER, key_name, of_ranks};
use replication::copy::{Original, follow};
use save::Place;
use server::Server;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;

/// After a snapshot that failed the next is tried so much later (`CONFIG_BGSAVE_RETRY_DELAY`, server.h).
const SAVE_RETRY: Duration = Duration::from_secs(5);

/// Fills the store, starts it on the context's listener and returns where its figures come from.
///
/// # Errors
/// Where the address cannot be listened on.
pub(crate) fn start(context: &Rc<Context>, settings: &KvStore) -> io::Result<Metrics> {
    let max_memory = settings.max_memory.map(|bytes| bytes.get());
    let limits = Limits::new(max_memory, settings.eviction, settings.samples);
    let mut data = Data::new(limits, context.scenario.run.seed);
    prefill::fill(&mut data, context);
    let server = Rc::new(RefCell::new(Server::new(data, context.address().port())));
    server.borrow_mut().me = Rc::downgrade(&server);
    server.borrow_mut().drag = Rc::clone(&context.drag);
    let poll = Rc::new(Poll::new(Rc::clone(&server))?);
    if let Some(dump) = &context.dump {
        server.borrow_mut().saves.files.place = Some(Place::Named(dump.clone()));
        load::load(&server, dump)?;
    }
    if let Some(files) = &context.snapshots {
        let mut server = server.borrow_mut();
        let saves = &mut server.saves;
        saves.files.place = Some(Place::ByTurns(files.clone()));
        saves.files.are_scheduled = true;
        saves.disk_is_full = Arc::clone(&context.disk_is_full);
    }
    if let Some(files) = context.snapshots.as_ref().filter(|_| context.leads && !context.first_start) {
        // A copy gets all from the store.
        load::load_newest(&server, files);
    }
    if context.leads {
        tokio::task::spawn_local(vital(Rc::clone(&poll).accept(context.listen(BACKLOG)?)));
    } else {
        let lag = settings.replication_lag.as_duration();
        let original = Original { address: context.address(), shares_standing: true, lag };
        server.borrow_mut().replication.is_whole = false;
        follow(&mut server.borrow_mut(), Rc::clone(&server), original);
        *context.lead.borrow_mut() = Some(takeover(context, &server, &poll));
    }
    if settings.replicas > 0 {
        // From the start on, so that a copy that comes first needs no other moment.
        server.borrow_mut().replication.keep();
    }
    if let Some(snapshot) = settings.snapshot {
        tokio::task::spawn_local(take_snapshots(Rc::clone(&server), snapshot));
    }
    context.on_flush({
        let server = Rc::clone(&server);
        move || server.borrow_mut().data.flush_caches()
    });
    tokio::task::spawn_local(vital(poll.serve()));
    tokio::task::spawn_local(vital(look_after(Rc::clone(&server))));
    Ok(Box::new(move |figures| {
        let mut server = server.borrow_mut();
        server.data.tick();
        let counts = server.data.counts();
        // The one thread is not emulated: it is as busy as it really is.
        figures.set("cores", 1.0);
        figures.set("busy_core_seconds", process_cpu_seconds());
        figures.set("hits", counts.hits as f64);
        figures.set("misses", counts.misses as f64);
        figures.set("evictions", counts.evicted as f64);
        figures.set("expired", counts.expired as f64);
        figures.set("keys", server.data.len() as f64);
        figures.set("keys_with_ttl", server.data.volatile_len() as f64);
        figures.set("memory_bytes", server.data.memory() as f64);
        figures.set("connections", server.clients.len() as f64);
        figures.set("history_bytes", server.replication.offset as f64);
        figures.set("commands", server.totals.commands as f64);
    }))
}

/// What a copy does to become the store.
fn takeover(context: &Rc<Context>, server: &Rc<RefCell<Server>>, poll: &Rc<Poll>) -> Takeover {
    let position = {
        let server = Rc::clone(server);
        Box::new(move || server.borrow().replication.position())
    };
    let cut = {
        let server = Rc::clone(server);
        Box::new(move || server.borrow_mut().forget_original())
    };
    // The context holds what is returned, so it is not to be held in turn.
    let (context, server, poll) = (Rc::downgrade(context), Rc::clone(server), Rc::clone(poll));
    let lead = Box::new(move || {
        let context = context.upgrade().ok_or_else(|| io::Error::other("the process ends"))?;
        let listener = context.listen(BACKLOG)?;
        server.borrow_mut().lead();
        tokio::task::spawn_local(vital(Rc::clone(&poll).accept(listener)));
        Ok(())
    });
    Takeover { lead, position, cut }
}

/// Stands still for each fork, as long as one takes for so much memory, and saves what there is then.
#[allow(clippy::disallowed_methods, reason = "the one thread answers nothing while its process forks")]
async fn take_snapshots(server: Rc<RefCell<Server>>, snapshot: Snapshot) {
    let every = snapshot.every.as_duration();
    let ended = Rc::clone(&server.borrow().saves.ended);
    let mut due = Instant::now() + every;
    loop {
        tokio::time::sleep_until(due).await;
        let began = Instant::now();
        due = began + every;
        if !server.borrow().can_be_saved() {
            continue;
        }
        let gigabytes = server.borrow().data.memory() as f64 / 1e9;
        std::thread::sleep(snapshot.fork_per_gb.as_duration().mul_f64(gigabytes));
        {
            let mut server = server.borrow_mut();
            server.begin_save();
            server.nudge.notify_one();
        }
        while server.borrow().saves.is_under_way() {
            ended.notified().await;
        }
        if server.borrow().saves.failed {
            due = Instant::now() + SAVE_RETRY;
        }
    }
}

/// Ends the process where the store's own task panics: one that lives and answers nobody would look well to the supervisor.
#[derive(Debug)]
struct Vital;

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            std::process::abort();
        }
    }
}

async fn vital(task: impl Future<Output = ()>) {
    let _vital = Vital;
    task.await;
}

/// Wakes the store when it has to look after itself and no client wakes it.
async fn look_after(server: Rc<RefCell<Server>>) {
    loop {
        let due = server.borrow().cron_due_nanos;
        tokio::time::sleep(Duration::from_nanos(due.saturating_sub(now_nanos()))).await;
        server.borrow_mut().cron_if_due();
    }
}
