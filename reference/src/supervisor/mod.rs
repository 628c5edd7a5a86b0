//! The supervisor: starts a process for every instance of every component, breaks and mends them, stops them all.
//!
//! It runs on one thread, its main thread, because the kernel ties the death signal of its children to the thread that
//! started them.
//!
//! - [`instance`]: one instance of a component; [`child`]: its process; [`words`]: what that says
//! - [`disk`]: files that outlive children and nobody else
//! - [`machine`]: how fast the machines' cores go, and who shares them; [`job`]: what else runs there
//! - [`network`]: what lies between them; [`address`]: addresses that several share
//! - [`faults`]: what breaks; [`deployment`]: what is replaced, one after the other; [`failover`]: copies that take over
//! - [`autoscale`]: what comes and goes with the load
//! - [`life`]: who dies without being told to, and is started again
//! - [`control`]: the socket on which orders come; [`admin`]: the same by HTTP, and figures

mod address;
mod admin;
mod autoscale;
mod child;
mod control;
mod deployment;
mod disk;
mod failover;
mod faults;
mod instance;
mod job;
mod life;
pub(crate) mod machine;
pub(crate) mod network;
mod words;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, BufRead, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::rc::Rc;

use rustix::process::{getpid, set_child_subreaper};
use scenarios::Scenario;
use scenarios::scenario::{ComponentId, ComponentKind, Executor, SessionState, Traffic};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;
use tokio::sync::Notify;

use crate::child::{raise_descriptor_limit, runtime};
use crate::message::{self, Opening, Place, Stage};
use crate::process::complain;
use crate::support;
use address::SharedAddresses;
use autoscale::Fleets;
use child::Child;
use deployment::Phase;
use failover::Copies;
use instance::Instance;
use job::Jobs;
use machine::Machines;
use network::Network;

/// Everything that the supervisor holds.
#[derive(Debug)]
struct Supervisor {
    scenario: Scenario,
    /// Component by component, instance by instance.
    instances: Vec<Rc<Instance>>,
    /// Copies of stores, by the instance that they are copies of.
    copies: Copies,
    shared: SharedAddresses,
    network: Network,
    machines: Machines,
    jobs: Jobs,
    fleets: Fleets,
    stop: Notify,
    deployments: RefCell<Vec<deployment::Deployment>>,
    /// Held by whoever brings an instance into another state.
    applying: tokio::sync::Mutex<()>,
    /// Steps that services leave out: classes and the steps' numbers.
    switched_off: RefCell<BTreeSet<(usize, u32)>>,
}

/// Runs this process as the supervisor until it is told to stop or its standard input ends.
pub(crate) fn run() -> ExitCode {
    let mut line = String::new();
    // A scenario is at most a few megabytes, escaped perhaps twice that.
    let read = io::stdin().lock().take(64 << 20).read_line(&mut line);
    let Some(stage) = read.ok().and_then(|_| message::read::<Stage>(&line)) else {
        complain("the supervisor was started without a scenario");
        return ExitCode::FAILURE;
    };
    raise_descriptor_limit();
    match runtime() {
        Ok(runtime) => runtime.block_on(supervise(stage)),
        Err(error) => fail(format!("no runtime: {error}")),
    }
}

fn fail(message: String) -> ExitCode {
    open(&Opening::Failed { message });
    ExitCode::FAILURE
}

fn open(opening: &Opening) {
    let mut out = io::stdout().lock();
    // If nobody reads, nobody is left, and the end of standard input will say so.
    let _ = out.write_all(message::line(opening).as_bytes()).and_then(|()| out.flush());
}

async fn supervise(stage: Stage) -> ExitCode {
    // Whatever our children might leave behind comes to us, and goes with us.
    let _ = set_child_subreaper(Some(getpid()));
    let supervisor = match Supervisor::new(&stage) {
        Ok(supervisor) => Rc::new(supervisor),
        Err(message) => return fail(message),
    };
    let started = tokio::select! {
        started = supervisor.start(&stage) => started,
        // Filling a store can take long, and nobody may be left who wants it.
        () = lifeline() => Err("the start was given up".to_owned()),
    };
    let code = match started {
        Ok((control, admin, token)) => {
            let places = supervisor.instances.iter().map(|i| supervisor.place(i)).collect();
            open(&Opening::Ready { control, admin, token, listeners: places });
            tokio::select! {
                () = lifeline() => {}
                () = supervisor.stop.notified() => {}
            }
            supervisor.finish().await;
            ExitCode::SUCCESS
        }
        Err(message) => fail(message),
    };
    supervisor.children().for_each(Child::kill);
    for child in supervisor.children() {
        child.gone().await;
    }
    code
}

/// The name of a process's log: `shop[1]` becomes `shop-1.log`.
fn log_name(process: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
    let name: String = process.replace([']', ')'], "").chars().map(plain).collect();
    format!("{name}.log")
}

/// Returns when standard input ends, which is when the one who wanted this stack is gone.
async fn lifeline() {
    let own = io::stdin().as_fd().try_clone_to_owned().and_then(pipe::Receiver::from_owned_fd);
    let Ok(mut stdin) = own else { return };
    let mut ignored = [0; 64];
    while matches!(stdin.read(&mut ignored).await, Ok(1..)) {}
}

impl Supervisor {
    fn new(stage: &Stage) -> Result<Self, String> {
        let scenario = stage.scenario().map_err(|problems| problems.to_string())?;
        support::check(&scenario).map_err(|problems| problems.to_string())?;
        let secret = control::token().map_err(|error| format!("no randomness: {error}"))?;
        let shared = SharedAddresses::new(&scenario, stage, &secret)?;
        let mut instances = Vec::new();
        for id in scenario.component_ids() {
            let host = scenario.component(id).host.index();
            // The clients' door has the port that they are told.
            let port = if network::clients_have_door(&scenario, id) { 0 } else { stage.port(id.index())? };
            for instance in 0..scenario.instances(id) {
                let name = format!("{}[{}]", scenario.component(id).name, instance + 1);
                let reserved = Instance::new(name.clone(), id, instance, host, shared.of(id), port)
                    .and_then(
                        |instance| if keeps(&scenario, id) { instance.with_disk() } else { Ok(instance) },
                    )
                    .and_then(|instance| match scenario.component(id).server() {
                        Some(_) => instance.with_server(),
                        None => instance.with_snapshots(takes_snapshots(&scenario, id)),
                    })
                    .map_err(|error| format!("no port for {name}: {error}"))?;
                instances.push(Rc::new(reserved));
            }
        }
        let copies = Copies::new(&scenario, &instances)
            .map_err(|error| format!("no files for the copies of a store: {error}"))?;
        let network = Network::new(&scenario, stage, &instances)?;
        let machines = Machines::new(&scenario)?;
        let jobs = Jobs::new(&scenario, &machines)?;
        let fleets = Fleets::new(&instances, &scenario);
        Ok(Self {
            scenario,
            instances,
            copies,
            shared,
            network,
            machines,
            jobs,
            fleets,
            stop: Notify::new(),
            deployments: RefCell::default(),
            applying: tokio::sync::Mutex::default(),
            switched_off: RefCell::default(),
        })
    }

    /// Starts all children and the control socket.
    async fn start(self: &Rc<Self>, stage: &Stage) -> Result<(SocketAddr, SocketAddr, String), String> {
        if let Some(directory) = &stage.logs {
            self.children().for_each(|child| child.log_to(directory.join(log_name(&child.name))));
        }
        self.network.start(stage).await.map_err(|error| format!("the network: {error}"))?;
        for instance in self.instances.iter().chain(self.copies.all()) {
            let peers = self.shared.names(instance.component);
            let book = self.machines.book(instance);
            instance.prepare(stage, self.addresses(instance), peers, book);
            if instance.phase.get() == Phase::Absent {
                instance.state.set(instance.state.get().fenced());
                continue;
            }
            instance.spawn().map_err(|error| format!("{}: {error}", instance.name()))?;
        }
        let has_child = |i: &&Rc<Instance>| i.phase.get() != Phase::Absent;
        for instance in self.instances.iter().chain(self.copies.all()).filter(has_child) {
            instance.child.ready().await.map_err(|error| format!("{}: {error}", instance.name()))?;
        }
        for instance in self.instances.iter().chain(self.copies.all()) {
            tokio::task::spawn_local(Rc::clone(self).watch_over(Rc::clone(instance)));
        }
        tokio::task::spawn_local(Rc::clone(self).watch_over_network());
        for instance in &self.instances {
            // Machines may be slow from the start.
            self.apply(instance).await?;
        }
        self.break_down();
        self.steal();
        self.scale_all();
        for instance in self.instances.iter().filter(|i| self.shared.of(i.component).is_some()) {
            tokio::task::spawn_local(Rc::clone(self).hear_claims(Rc::clone(instance)));
        }
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(|error| format!("no control socket: {error}"))?;
        let address = listener.local_addr().map_err(|error| format!("no control socket: {error}"))?;
        let token = control::token().map_err(|error| format!("no randomness: {error}"))?;
        tokio::task::spawn_local(control::listen(Rc::clone(self), listener, token.clone()));
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(|error| format!("no admin socket: {error}"))?;
        let admin = listener.local_addr().map_err(|error| format!("no admin socket: {error}"))?;
        tokio::task::spawn_local(admin::listen(Rc::clone(self), listener, token.clone()));
        Ok((address, admin, token))
    }

    /// Lets services end what they have under way, all at once and within limits.
    async fn finish(&self) {
        let is_service = |id| matches!(self.scenario.component(id).kind, ComponentKind::Service(_));
        let finishing = self.instances.iter().filter(|instance| {
            is_service(instance.component) && instance.child.is_alive() && !instance.state.get().is_silent()
        });
        let tasks: Vec<_> = finishing
            .map(|instance| {
                let instance = Rc::clone(instance);
                tokio::task::spawn_local(async move { instance.order(message::Order::Finish).await })
            })
            .collect();
        for task in tasks {
            // Whoever does not answer is killed like the others.
            let _ = task.await;
        }
    }

    /// All processes but this one.
    fn children(&self) -> impl Iterator<Item = &Child> {
        let instances = self.instances.iter().chain(self.copies.all());
        instances.map(|instance| &instance.child).chain(self.network.child())
    }

    /// Where an instance finds all of them, by component and number.
    fn addresses(&self, from: &Instance) -> Vec<Vec<SocketAddr>> {
        let mut addresses = vec![Vec::new(); self.scenario.components.len()];
        for to in &self.instances {
            let address = self.network.address(Some((from.host, from.number)), to);
            addresses[to.component.index()].push(address);
        }
        addresses
    }

    /// Where clients find an instance.
    fn place(&self, instance: &Instance) -> Place {
        Place {
            component: instance.component.index(),
            instance: instance.number,
            address: self.network.address(None, instance),
            pid: instance.child.pid().unwrap_or(0),
        }
    }

    /// The instances of a component, or all on a machine.
    fn those(&self, keep: impl Fn(ComponentId, usize, u32) -> bool) -> Vec<Rc<Instance>> {
        let kept = self.instances.iter().filter(|i| keep(i.component, i.host, i.number));
        kept.cloned().collect()
    }
}

/// How many processes the stack of a scenario has at most, all that can be there of what grows with its load included: this one,
/// the instances, with the servers of other makes in their places, the copies of stores, and the network.
pub(crate) fn processes(scenario: &Scenario) -> u32 {
    let of = |id| {
        let copies = match &scenario.component(id).kind {
            ComponentKind::KvStore(store) => store.replicas,
            _ => 0,
        };
        let kept = u32::from(scenario.component(id).server().is_some());
        scenario.instances(id) * (1 + copies + kept)
    };
    let instances: u32 = scenario.component_ids().map(of).sum();
    1 + instances + u32::from(!network::ways(scenario).is_empty())
}

/// Whether a store's records are saved from time to time.
fn takes_snapshots(scenario: &Scenario, id: ComponentId) -> bool {
    matches!(&scenario.component(id).kind, ComponentKind::KvStore(store) if store.snapshot.is_some())
}

/// Whether a component keeps what outlives its process.
fn keeps(scenario: &Scenario, id: ComponentId) -> bool {
    match &scenario.component(id).kind {
        ComponentKind::Queue(queue) => queue.durable,
        ComponentKind::Service(_) => scenario.traffic.iter().any(has_sessions_in_files),
        _ => false,
    }
}

/// Whether the sessions of a traffic are in files of the machines that began them.
fn has_sessions_in_files(traffic: &Traffic) -> bool {
    matches!(&traffic.executor, Executor::Sessions(session) if session.state == SessionState::Files)
}
