//! The simulated world: all components, the clock, and the dispatch of events.
//!
//! Owns what is shared between component kinds; what each does stands in its own file, as methods of [`World`]. Calls
//! between components are plain function calls at the same instant; only time that passes makes an event.

use std::collections::VecDeque;

use scenarios::law::{DurationLaw, SizeLaw};
use scenarios::plan::Draws;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{KeyspaceId, Sampling};
use scenarios::units::Seed;

use crate::balancer::Balancer;
use crate::balancer::health::Check;
use crate::balancer::vip::Vip;
use crate::call::{Calls, Phase, TRACED};
use crate::cdn::Cdn;
use crate::client::Client;
use crate::companion::Noted;
use crate::connect::Pools;
use crate::event::{EventQueue, LaneId, Token};
use crate::fault::FaultPlan;
use crate::guard::Guards;
use crate::host::disk::Disk;
use crate::host::memory::Memory;
use crate::host::{Cores, Due};
use crate::http_cache::instance::Cache;
use crate::http_cache::purge::{PurgeRule, Purging};
use crate::http_cache::rules::ClassRule;
use crate::instance::Instance;
use crate::job::Job;
use crate::kv_store::{Keys, KvStore, Lists};
use crate::network::Network;
use crate::program::{Range, Step};
use crate::queue::Queue;
use crate::sample::Sampler;
use crate::service::Service;
use crate::service::fleet::Fleet;
use crate::session::Records;
use crate::sql_store::{Group, SqlStore};
use crate::trace::Tracer;
use crate::user::Users;

/// Slots from here on are timers, those below requests.
pub(crate) const TIMER_BASE: u32 = 1 << 23;

/// Something that happens at a time and is no request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Timer {
    /// The end of a sampling interval.
    Sample,
    /// A fault starts.
    Break(u32),
    /// A fault ends.
    Mend(u32),
    /// A health check starts.
    Check(u32),
    /// A health check has taken too long.
    CheckTimeout(u32),
    /// The oldest request of a traffic may have timed out.
    ClientTimeout(u32),
    /// The oldest request that a balancer forwarded may have timed out.
    ServerTimeout(u32),
    /// The oldest request in a balancer's queue may have timed out.
    QueueTimeout(u32),
    /// A balancer looks at servers whose limit grows.
    WarmUp(u16),
    /// A virtual address may have a new holder.
    Takeover(u32),
    /// The oldest attempt at a site of a policy may have timed out.
    CallTimeout(u32),
    /// The oldest attempt at a site of a policy may be slow enough for another beside it.
    Hedge(u32),
    /// A process manager looks after an instance's workers.
    Workers(u16),
    /// New workers of an instance are ready.
    WorkersReady(u16),
    /// Connections that an instance's workers hold may have been idle for too long.
    KeepAlive(u16),
    /// An autoscaler decides.
    Scale(u32),
    /// A new instance is ready.
    ScaleReady(u32),
    /// Instances that drain may be idle.
    ScaleDrain(u32),
    /// The oldest request that a cache sent to its back end may have timed out.
    FetchTimeout(u32),
    /// A purge comes.
    Purge(u32),
    /// A store looks for expired keys.
    Expiry(u32),
    /// An instance that died has started again.
    Started(u16),
    /// A hibernating SQL store has woken.
    DatabaseAwake(u32),
    /// Statements of an SQL store may have taken too long.
    StatementTimeout(u32),
    /// A store's copy takes over.
    Failover(u32),
    /// A store's pause ends.
    Pause(u32),
    /// A store's snapshot is on the disk, or is to be tried again.
    Save(u32),
    /// A store makes a snapshot.
    Snapshot(u32),
    /// Consumers of a queue may have been silent for too long.
    Heartbeat(u32),
    /// A job is to start.
    Job(u16),
    /// A look at a machine's memory.
    Memory(u16),
    /// Something at a machine.
    Host(u16, Due),
    /// A user has thought.
    User(u32),
}

/// A delay that occupies nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delay {
    /// None at all: no event either.
    None,
    /// Always the same, so the order of arrival is the order of departure.
    Constant(u64, LaneId),
    /// Drawn for each passage.
    Drawn(DurationLaw, Purpose),
}

pub(crate) struct World {
    pub(crate) now: u64,
    pub(crate) seed: Seed,
    pub(crate) events: EventQueue,
    pub(crate) timers: Vec<Timer>,
    pub(crate) calls: Calls,
    /// Calls that got what they waited for in the course of the present event.
    pub(crate) ready: VecDeque<u32>,
    pub(crate) clients: Vec<Client>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) pools: Pools,
    pub(crate) balancers: Vec<Balancer>,
    pub(crate) checks: Vec<Check>,
    pub(crate) vips: Vec<Vip>,
    pub(crate) cdns: Vec<Cdn>,
    pub(crate) caches: Vec<Cache>,
    /// What caches do with each class.
    pub(crate) cache_rules: Vec<ClassRule>,
    /// By component: a cache whose pages come out of it, where they do.
    pub(crate) page_makers: Vec<Option<u16>>,
    pub(crate) purge_rules: Vec<PurgeRule>,
    pub(crate) purging: Vec<Purging>,
    pub(crate) services: Vec<Service>,
    /// Whether the workers of any service hold connections.
    pub(crate) any_holding: bool,
    /// The components whose instances come and go.
    pub(crate) fleets: Vec<Fleet>,
    pub(crate) stores: Vec<KvStore>,
    pub(crate) databases: Vec<SqlStore>,
    pub(crate) queues: Vec<Queue>,
    pub(crate) jobs: Vec<Job>,
    /// Messages of a queue that has just died.
    pub(crate) lost_messages: Vec<u32>,
    /// The instances of each SQL store together.
    pub(crate) groups: Vec<Group>,
    pub(crate) cores: Vec<Cores>,
    /// By machine.
    pub(crate) disks: Vec<Option<Disk>>,
    /// By machine, where it says how much it has.
    pub(crate) memories: Vec<Option<Memory>>,
    /// The rank among those that want a core, by component and class; empty where all are equal.
    pub(crate) ranks: Vec<u8>,
    pub(crate) keys: Vec<Keys>,
    /// All steps, and the range of each class.
    pub(crate) steps: Vec<Step>,
    pub(crate) classes: Vec<Range>,
    /// The branches of parallel steps.
    pub(crate) branches: Vec<Range>,
    pub(crate) guards: Guards,
    /// The keyspaces in each class's path.
    pub(crate) paths: Vec<Vec<KeyspaceId>>,
    pub(crate) draws: Draws,
    /// Whether stores follow every key.
    pub(crate) sampling: Sampling,
    pub(crate) faults: FaultPlan,
    pub(crate) network: Network,
    /// The size of an answer, by class.
    pub(crate) response_sizes: Vec<SizeLaw>,
    /// What became of requests, until it is recorded.
    pub(crate) noted: Vec<Noted>,
    pub(crate) sampler: Sampler,
    /// Follows single requests, where somebody asked for it.
    pub(crate) tracer: Option<Box<Tracer>>,
    /// Requests due and not yet answered or given up.
    pub(crate) in_flight: u64,
    pub(crate) users: Users,
    /// The records of their sessions.
    pub(crate) records: Records,
    pub(crate) counts: Counts,
    pub(crate) missed: Lists,
    /// The keys of the command being executed.
    pub(crate) scratch: Vec<u64>,
}

/// What became of the requests so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that came due.
    pub due: u64,
    /// Good answers.
    pub ok: u64,
    /// Everything else.
    pub failed: u64,
}

impl World {
    /// Handles one event and all that follows from it at the same instant.
    #[inline(always)]
    pub(crate) fn handle(&mut self, at: u64, token: Token) {
        self.now = at;
        let slot = token.slot();
        if slot >= TIMER_BASE {
            self.on_timer(slot - TIMER_BASE, token);
        } else if self.calls[slot].awaits == token {
            self.advance(slot);
        }
        self.drain();
        if self.tracer.is_some() {
            self.look();
        }
    }

    /// A call that a followed call made is followed too.
    #[inline]
    pub(crate) fn follow_child(&mut self, slot: u32, parent: u32) {
        if let Some(tracer) = &mut self.tracer
            && self.calls[parent].is(TRACED)
        {
            self.calls[slot].flags |= TRACED;
            tracer.join(slot, &self.calls[slot], Some(parent), self.now);
        }
    }

    /// Looks where the followed requests stand.
    #[cold]
    pub(crate) fn look(&mut self) {
        if let Some(tracer) = &mut self.tracer {
            tracer.look(self.now, &self.calls, &self.instances);
        }
    }

    /// Lets everything that got ready go on.
    #[inline]
    pub(crate) fn drain(&mut self) {
        // Mostly nothing did.
        if !self.ready.is_empty() || self.guards.lets_in() {
            self.drain_all();
        }
    }

    fn drain_all(&mut self) {
        loop {
            while let Some(slot) = self.ready.pop_front() {
                match self.calls[slot].phase {
                    Phase::Connection => self.send(slot),
                    Phase::Queued => self.begin(slot),
                    phase => unreachable!("nothing that is {phase:?} waits to get ready"),
                }
            }
            if !self.let_in() {
                return;
            }
        }
    }

    #[inline(always)]
    fn advance(&mut self, slot: u32) {
        match self.calls[slot].phase {
            Phase::Work => {
                self.release_core(slot);
                self.wake(slot);
            }
            Phase::LentWork => {
                self.release_core(slot);
                self.lent_work_done(slot);
            }
            Phase::Timed => self.wake(slot),
            Phase::InTransit => self.arrive(slot),
            Phase::ToEntry => self.enter(slot),
            Phase::Pause => self.send_again(slot),
            Phase::Connecting => self.try_syn_again(slot),
            Phase::Handshake => self.shake_hands(slot),
            Phase::Returning => self.deliver(slot),
            Phase::FromLeaf => self.leaf_heard(slot),
            Phase::ToStore => {
                let flow = self.arrive_at_store(slot);
                self.leaf_done(slot, flow);
            }
            Phase::StoreRun => self.command_done(slot),
            Phase::ToSql => {
                let flow = self.arrive_at_database(slot);
                self.leaf_done(slot, flow);
            }
            Phase::Statement => {
                self.release_core(slot);
                self.statement_executed(slot);
            }
            Phase::LockWait => self.lock_timed_out(slot),
            Phase::DiskRead => self.execute_statement(slot),
            Phase::DiskWrite => self.answer_statement(slot),
            phase => unreachable!("nothing that is {phase:?} waits for an event"),
        }
    }

    #[cold]
    fn on_timer(&mut self, index: u32, token: Token) {
        match self.timers[index as usize] {
            Timer::Sample => {
                self.sample();
                self.look_at_all_memory();
            }
            Timer::Break(fault) => self.break_(fault),
            Timer::Mend(fault) => self.mend(fault),
            Timer::Check(check) => self.start_check(check),
            Timer::CheckTimeout(check) => self.check_timed_out(check, token),
            Timer::ClientTimeout(traffic) => self.client_timeouts(traffic),
            Timer::ServerTimeout(balancer) => self.server_timeouts(balancer),
            Timer::QueueTimeout(balancer) => self.queue_timeouts(balancer),
            Timer::WarmUp(at) => self.warm_up(at),
            Timer::Takeover(vip) => self.take_over(vip, token),
            Timer::CallTimeout(site) => self.call_timeouts(site),
            Timer::Hedge(site) => self.hedge_timeouts(site),
            Timer::Workers(at) => self.maintain_workers(at),
            Timer::WorkersReady(at) => self.workers_booted(at),
            Timer::KeepAlive(at) => self.close_idle(at),
            Timer::Scale(fleet) => self.scale(fleet),
            Timer::ScaleReady(fleet) => self.instance_booted(fleet),
            Timer::ScaleDrain(fleet) => self.look_at_draining(fleet),
            Timer::FetchTimeout(cache) => self.fetch_timeouts(cache),
            Timer::Purge(purging) => self.purge_later(purging),
            Timer::Expiry(store) => self.expire_some(store),
            Timer::Started(at) => self.process_started(at),
            Timer::DatabaseAwake(at) => self.database_awake(at),
            Timer::StatementTimeout(at) => self.end_slow_statements(at),
            Timer::Failover(store) => self.fail_over(store as u16, token),
            Timer::Pause(store) => self.end_pause(store as u16),
            Timer::Save(store) => self.save_due(store as u16),
            Timer::Snapshot(store) => self.snapshot(store as u16),
            Timer::Heartbeat(queue) => self.heartbeats_missed(queue),
            Timer::Job(at) => self.start_job(at),
            Timer::Memory(host) => self.look_at_memory_again(host, token.slot()),
            Timer::Host(host, due) => self.host_due(host, due, token),
            Timer::User(user) => self.user_is_due(user),
        }
    }

    /// Makes a timer; [`World::set`] starts it.
    pub(crate) fn add_timer(&mut self, timer: Timer) -> u32 {
        self.timers.push(timer);
        TIMER_BASE + self.timers.len() as u32 - 1
    }

    /// Has a request wait until `at`.
    #[inline]
    pub(crate) fn wait_until(&mut self, slot: u32, at: u64, phase: Phase) {
        let token = self.events.schedule(at, slot);
        let call = &mut self.calls[slot];
        call.awaits = token;
        call.phase = phase;
    }

    /// Whether what takes this delay is there at the same instant.
    #[inline(always)]
    pub(crate) fn is_at_once(&self, delay: &Delay) -> bool {
        !self.network.active && matches!(delay, Delay::None)
    }

    /// Has a request wait for a component's delay, if there is one.
    #[inline(always)]
    pub(crate) fn delay(&mut self, slot: u32, delay: Delay, phase: Phase) -> bool {
        // Mostly there is none.
        (self.network.active || !matches!(delay, Delay::None)) && self.delay_for(slot, delay, phase)
    }

    fn delay_for(&mut self, slot: u32, delay: Delay, phase: Phase) -> bool {
        if self.network.active
            && let Some(nanos) = self.way_there(slot, phase)
        {
            let nanos = nanos + self.delay_nanos(slot, delay);
            self.wait_until(slot, self.now + nanos, phase);
            return true;
        }
        match delay {
            Delay::None => return false,
            Delay::Constant(nanos, lane) => {
                let token = self.events.schedule_in(lane, self.now + nanos, slot);
                let call = &mut self.calls[slot];
                call.awaits = token;
                call.phase = phase;
            }
            Delay::Drawn(..) => {
                let nanos = self.delay_nanos(slot, delay);
                self.wait_until(slot, self.now + nanos, phase);
            }
        }
        true
    }

    pub(crate) fn delay_nanos(&self, slot: u32, delay: Delay) -> u64 {
        match delay {
            Delay::None => 0,
            Delay::Constant(nanos, _) => nanos,
            Delay::Drawn(law, purpose) => {
                let call = &self.calls[slot];
                // A request may pass the same component once in each stage of each step.
                let passage = u64::from(call.tries) << 24 | u64::from(call.step) << 8 | u64::from(call.stage);
                law.sample(&mut Stream::new(self.seed, purpose.of(passage), call.id.0)).as_nanos()
            }
        }
    }
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World").field("now", &self.now).field("counts", &self.counts).finish_non_exhaustive()
    }
}
