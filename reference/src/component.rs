//! A process that is one instance of a component: set up, run, ordered about by the supervisor.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use scenarios::Scenario;
use scenarios::plan::Draws;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{ComponentId, ComponentKind, Cpu};
use tokio::sync::watch;

use crate::child::{self, Orders, say};
use crate::emulated::clock::process_cpu_seconds;
use crate::emulated::{Cores, Timer};
use crate::log::{self, Level};
use crate::message::{Order, Setup, Word};
use crate::process::complain;
use crate::socket::Listener;
use crate::supervisor::machine::works;
use crate::support::is_announced;
use crate::trouble::{Drag, Trouble};
use crate::{cache, proxy, queue, service, sql, store, vrrp};

const ERROR_RATE: Purpose = Purpose::named("reference-error-rate");

/// How long an instance that is to end may take for what it has under way.
const FINISH_PATIENCE: Duration = Duration::from_secs(1);
/// How often it looks whether that is done.
const FINISH_LOOK: Duration = Duration::from_millis(2);

/// Writes an instance's figures down.
pub(crate) type Metrics = Box<dyn Fn(&mut Figures)>;

/// Throws away all that an instance holds.
pub(crate) struct Flush(Box<dyn Fn()>);

impl std::fmt::Debug for Flush {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Flush")
    }
}

/// How many requests an instance has under way.
struct UnderWay(Box<dyn Fn() -> i64>);

impl fmt::Debug for UnderWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnderWay")
    }
}

/// An instance's figures: counters since its start and levels of the moment.
#[derive(Debug, Default)]
pub(crate) struct Figures(BTreeMap<String, f64>);

impl Figures {
    /// Sets one.
    pub(crate) fn set(&mut self, name: &str, value: f64) {
        self.0.insert(name.to_owned(), value);
    }
}

/// How a copy becomes what it is a copy of.
pub(crate) struct Takeover {
    pub(crate) lead: Box<dyn Fn() -> io::Result<()>>,
    /// How much it knows of what it is a copy of; none where it does not know all until then.
    pub(crate) position: Box<dyn Fn() -> Option<u64>>,
    /// Loses what is on the way from there.
    pub(crate) cut: Box<dyn Fn()>,
}

impl fmt::Debug for Takeover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Takeover")
    }
}

/// What every component needs to know.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) scenario: Scenario,
    pub(crate) draws: Draws,
    /// Which component this process is an instance of.
    pub(crate) component: ComponentId,
    /// Which instance, from zero.
    pub(crate) instance: u32,
    /// Whether it starts for the first time.
    pub(crate) first_start: bool,
    /// Whether it is the one that clients talk to, rather than a copy of it; of stores.
    pub(crate) leads: bool,
    /// What a copy does to become that.
    pub(crate) lead: RefCell<Option<Takeover>>,
    /// The file that it has its records from, and where it saves them; of stores that have one.
    pub(crate) dump: Option<PathBuf>,
    /// The two files that it writes its snapshots into by turns, and has its records from when it starts again; of stores.
    pub(crate) snapshots: Option<[PathBuf; 2]>,
    /// Where everybody listens, by component and instance.
    pub(crate) addresses: Vec<Vec<SocketAddr>>,
    /// A file for what outlives the process.
    pub(crate) disk: Option<PathBuf>,
    /// Steps that are left out; of services.
    pub(crate) switched_off: RefCell<BTreeSet<(usize, u32)>>,
    /// Whether it takes nothing new, as it is about to end.
    pub(crate) finishing: Cell<bool>,
    /// How much is under way; of those that finish it.
    under_way: RefCell<Option<UnderWay>>,
    /// The names of the sockets on which those hear each other that share an address with it.
    pub(crate) peers: Vec<String>,
    /// Whether it has the address that it shares.
    pub(crate) holding: watch::Sender<bool>,
    trouble: Cell<Trouble>,
    /// Who of those that a fault makes fail by chance does.
    luck: RefCell<Stream>,
    /// Slows what is not emulated.
    pub(crate) drag: Rc<Drag>,
    /// Whether there is no room on the disk, for threads that write to it.
    pub(crate) disk_is_full: Arc<AtomicBool>,
    /// The servers that a balancer is to send nothing new.
    pub(crate) held: watch::Sender<BTreeSet<usize>>,
    pub(crate) timer: Timer,
    /// The cores of the host.
    pub(crate) cores: Cores,
    listener: RefCell<Option<Rc<Listener>>>,
    /// Throws away all that this instance holds; of those that can.
    flush: RefCell<Option<Flush>>,
}

impl Context {
    /// What an instance needs to know, from its setup.
    ///
    /// # Errors
    /// Says why it cannot be.
    pub(crate) fn new(setup: Setup) -> Result<Self, String> {
        let scenario = setup.scenario().map_err(|problems| problems.to_string())?;
        let component = scenario
            .component_ids()
            .nth(setup.component)
            .ok_or_else(|| format!("the scenario has no component number {}", setup.component))?;
        let timer = Timer::start().map_err(|error| format!("no timer: {error}"))?;
        let host = scenario.host(scenario.component(component).host);
        let cores = match &setup.book {
            _ if host.cpu == Cpu::Burn && works(scenario.component(component)) => {
                Cores::burning(host.cores, timer.clone())
            }
            Some(book) => Cores::shared(host.cores, book, timer.clone()),
            None => Ok(Cores::new(host.cores, timer.clone())),
        };
        let cores = cores.map_err(|error| format!("no cores: {error}"))?;
        Ok(Self {
            draws: Draws::new(&scenario),
            component,
            instance: setup.instance,
            first_start: setup.first_start,
            leads: setup.leads,
            lead: RefCell::default(),
            dump: setup.dump,
            snapshots: setup.snapshots,
            addresses: setup.addresses,
            disk: setup.disk,
            switched_off: RefCell::new(setup.switched_off.into_iter().collect()),
            finishing: Cell::new(false),
            under_way: RefCell::default(),
            peers: setup.peers,
            holding: watch::Sender::new(setup.leads),
            trouble: Cell::default(),
            luck: RefCell::new(Stream::new(
                scenario.run.seed,
                ERROR_RATE.of(setup.component as u64),
                setup.instance.into(),
            )),
            drag: Rc::new(Drag::none()),
            disk_is_full: Arc::default(),
            held: watch::Sender::default(),
            cores,
            timer,
            listener: RefCell::default(),
            flush: RefCell::default(),
            scenario,
        })
    }

    /// Its name as the file's faults write it: `shop[1]`.
    pub(crate) fn name(&self) -> String {
        format!("{}[{}]", self.scenario.component(self.component).name, self.instance + 1)
    }

    /// How long work takes at present that was drawn to take so long.
    pub(crate) fn slowed(&self, nanos: u64) -> u64 {
        match self.trouble.get().times {
            1.0 => nanos,
            times => (nanos as f64 * times) as u64,
        }
    }

    /// Whether every request fails at present; of those that speak HTTP.
    pub(crate) fn is_failing(&self) -> bool {
        self.trouble.get().failing
    }

    /// Whether a request that comes is to be answered by a 500 at once. To be asked once for each.
    pub(crate) fn fails(&self) -> bool {
        let Trouble { failing, error_share, .. } = self.trouble.get();
        failing || error_share > 0.0 && self.luck.borrow_mut().unit() < error_share
    }

    /// Whether there is no room on the disk.
    pub(crate) fn is_disk_full(&self) -> bool {
        self.trouble.get().disk_full
    }

    fn suffer(&self, trouble: Trouble) {
        let before = self.trouble.replace(trouble);
        self.disk_is_full.store(trouble.disk_full, Ordering::Relaxed);
        if before.times != trouble.times {
            self.drag.set(trouble.times);
        }
        if before.speed != trouble.speed {
            self.cores.set_speed(trouble.speed);
        }
    }

    /// Whether whoever passes requests on to this component says first, by the PROXY protocol, whose connection it is.
    pub(crate) fn is_announced(&self) -> bool {
        is_announced(&self.scenario, self.component)
    }

    /// How many cores its host has.
    pub(crate) fn cores(&self) -> u32 {
        self.scenario.host(self.scenario.component(self.component).host).cores
    }

    /// Where this instance belongs.
    pub(crate) fn address(&self) -> SocketAddr {
        self.addresses[self.component.index()][self.instance as usize]
    }

    /// Listens where this instance belongs.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn listen(&self, backlog: u32) -> io::Result<Rc<Listener>> {
        let listener = Rc::new(Listener::bind(self.address(), backlog)?);
        *self.listener.borrow_mut() = Some(Rc::clone(&listener));
        Ok(listener)
    }

    /// Hands the listener to `accept`: at once if clients find this instance at its address, or when it takes that over.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn serve(
        self: &Rc<Self>,
        backlog: u32,
        accept: impl Fn(Rc<Listener>) + 'static,
    ) -> io::Result<()> {
        if self.leads {
            accept(self.listen(backlog)?);
        }
        // What is returned is held by the context, so it is not to hold that in turn.
        let context = Rc::downgrade(self);
        let lead = Box::new(move || {
            let context = context.upgrade().ok_or_else(|| io::Error::other("the process ends"))?;
            // An order whose answer was lost comes again.
            if !*context.holding.borrow() {
                accept(context.listen(backlog)?);
            }
            context.holding.send_replace(true);
            Ok(())
        });
        *self.lead.borrow_mut() = Some(Takeover { lead, position: Box::new(|| None), cut: Box::new(|| ()) });
        Ok(())
    }

    /// Says how much is under way.
    pub(crate) fn on_finish(&self, under_way: impl Fn() -> i64 + 'static) {
        *self.under_way.borrow_mut() = Some(UnderWay(Box::new(under_way)));
    }

    /// Takes nothing new, and waits until what is under way is done, within limits.
    async fn finish(&self) {
        self.finishing.set(true);
        let deadline = Instant::now() + FINISH_PATIENCE;
        let is_done = || self.under_way.borrow().as_ref().is_none_or(|under_way| (under_way.0)() == 0);
        while !is_done() && Instant::now() < deadline {
            tokio::time::sleep(FINISH_LOOK).await;
        }
    }

    /// Says how all that this instance holds is thrown away.
    pub(crate) fn on_flush(&self, flush: impl Fn() + 'static) {
        *self.flush.borrow_mut() = Some(Flush(Box::new(flush)));
    }

    fn start(self: &Rc<Self>) -> io::Result<Metrics> {
        match &self.scenario.component(self.component).kind {
            ComponentKind::LoadBalancer(settings) => proxy::start(self, settings),
            ComponentKind::HttpCache(settings) => cache::start(self, settings),
            ComponentKind::Service(settings) => service::start(self, settings),
            ComponentKind::KvStore(settings) => store::start(self, settings),
            ComponentKind::SqlStore(settings) => sql::start(self, settings),
            ComponentKind::Queue(settings) => queue::start(self, settings),
            other => Err(io::Error::other(format!("the reference has no {}", other.name()))),
        }
    }
}

/// Runs this process as a component until its standard input ends.
pub(crate) fn run() -> ExitCode {
    child::run(
        "a component",
        async |setup| start(setup),
        async |(context, metrics), orders| {
            obey(&context, &metrics, orders).await;
        },
    )
}

/// Runs this process as a component, without a supervisor, until `end`, which begins when it listens.
///
/// # Errors
/// Says why it cannot.
pub(crate) fn run_alone(setup: Setup, end: impl Future<Output = ()>) -> Result<(), String> {
    child::raise_descriptor_limit();
    let runtime = child::runtime().map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(async {
        let _running = start(setup)?;
        end.await;
        Ok(())
    })
}

fn start(setup: Setup) -> Result<(Rc<Context>, Metrics), String> {
    let context = Rc::new(Context::new(setup)?);
    let started = context.start().and_then(|metrics| vrrp::start(&context).map(|()| metrics));
    let metrics = started.map_err(|error| format!("{}: {error}", context.name()))?;
    let message = format!("listens on {}", context.address());
    log::write(Level::Info, "process", &context.name(), &message, &[]);
    Ok((context, metrics))
}

async fn obey(context: &Context, metrics: &Metrics, mut orders: Orders) {
    while let Some(order) = orders.next().await {
        match order {
            Some(Order::Figures) => say(&Word::Figures(figures(metrics))),
            Some(Order::Suffer(trouble)) => {
                log::write(Level::Warning, "fault", &context.name(), &format!("{trouble:?}"), &[]);
                context.suffer(trouble);
                say(&Word::Done);
            }
            Some(Order::Hold { server, held }) => {
                let server = server as usize;
                context.held.send_modify(|all| {
                    let _was = if held { all.insert(server) } else { all.remove(&server) };
                });
                say(&Word::Done);
            }
            Some(Order::Flush) => {
                if let Some(Flush(flush)) = &*context.flush.borrow() {
                    flush();
                }
                say(&Word::Done);
            }
            Some(Order::Switch { class, step, on }) => {
                let mut off = context.switched_off.borrow_mut();
                let _was = if on { off.remove(&(class, step)) } else { off.insert((class, step)) };
                let class = &context.scenario.requests[class].name;
                let message = format!("step {step} is switched {}", if on { "on" } else { "off" });
                log::write(Level::Info, "admin", &context.name(), &message, &[("class", class)]);
                say(&Word::Done);
            }
            Some(Order::Finish) => {
                context.finish().await;
                say(&Word::Done);
            }
            Some(Order::Unplug) => silence(context),
            Some(Order::Plug) => say(&Word::Done),
            Some(Order::Position) => {
                let takeover = context.lead.borrow();
                say(&Word::Position(takeover.as_ref().and_then(|takeover| (takeover.position)())));
            }
            Some(Order::Cut) => {
                if let Some(takeover) = context.lead.borrow().as_ref() {
                    (takeover.cut)();
                }
                say(&Word::Done);
            }
            Some(Order::Lead) => {
                say(&match context.lead.borrow().as_ref().map(|takeover| (takeover.lead)()) {
                    Some(Ok(())) => Word::Done,
                    Some(Err(error)) => Word::Failed(error.to_string()),
                    None => Word::Failed("this is no copy".to_owned()),
                })
            }
            None => complain("an order was not understood"),
        }
    }
}

/// Blocks the only thread until the supervisor has something to say: nothing is read, written or accepted meanwhile.
fn silence(context: &Context) {
    let listener = context.listener.borrow();
    let blocked = listener.as_ref().map(|listener| listener.block());
    say(&Word::Done);
    let stdin = io::stdin();
    loop {
        match poll(&mut [PollFd::new(&stdin, PollFlags::IN)], None) {
            Err(error) if error == rustix::io::Errno::INTR => {}
            _ => break,
        }
    }
    drop(blocked);
}

/// What an instance tells.
pub(crate) fn figures(metrics: impl Fn(&mut Figures)) -> BTreeMap<String, f64> {
    let mut figures = Figures::default();
    metrics(&mut figures);
    figures.set("cpu_seconds", process_cpu_seconds());
    figures.set("up", 1.0);
    figures.0
}
