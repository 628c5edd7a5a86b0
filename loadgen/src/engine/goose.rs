//! A closed loop on goose, embedded: its users, its waits between requests, its HTTP client. An independent check of our own.
//!
//! What goose does is brought into our terms here: a response time runs to the body's end, where goose's own clock stops at the
//! head; a user is due when goose's wait is over; what failed has our names. Goose's throttle hides the wait and is not used, and
//! neither are its controllers, which would listen on ports. It handles SIGINT for the whole process: a run that it
//! ends so is an interrupted one.

use std::net::TcpStream;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use ::goose::config::GooseConfiguration;
use ::goose::goose::{
    GooseMethod, GooseRequest, GooseUser, Scenario as Walk, Transaction, TransactionResult,
};
use ::goose::{GooseAttack, is_killswitch_triggered, trigger_killswitch};
use results::{Failure, Outcome, Recorder};
use scenarios::Scenario;
use scenarios::plan::{Plan, Planned};
use scenarios::scenario::{Executor, Iterations, LoopEngine, Method, TrafficId};
use scenarios::units::SimTime;

use super::ledger::{Account, Ledger};
use super::{Address, Ready, Report, Shared};
use crate::clock::{Clock, monotonic_nanos};
use crate::error::Error;
use crate::http::{Answer, Composer, JARS_BYTES, Jar, Judge, Limits, Room, head_of, request_of};
use crate::run::Event;

/// How long somebody is waited for before the run.
const OPENING: Duration = Duration::from_secs(4);
/// Whoever waits looks this often whether the run is over.
const LOOK: Duration = Duration::from_millis(100);
/// Goose is a process's own: its state is global.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// What goose's users have in common.
struct Course {
    scenario: Scenario,
    plan: Plan,
    traffic: TrafficId,
    /// Set when the run begins.
    clock: OnceLock<Clock>,
    /// Users that goose has let loose.
    here: AtomicU64,
    total: SimTime,
    limits: Limits,
    judges: Vec<Judge>,
    composer: Mutex<Composer>,
    /// What all users have left together.
    left: AtomicU64,
    walkers: Mutex<Vec<Walker>>,
    books: Mutex<(Recorder, Ledger)>,
    /// Requests under way.
    under_way: AtomicU64,
}

/// A user.
struct Walker {
    iteration: u64,
    /// Whether goose has let it loose.
    here: bool,
    /// When the user's present stretch ends.
    until: SimTime,
    jar: Jar,
}

/// Plays a closed loop; only the first thread has work.
pub(super) fn play(
    shared: &Shared<'_>,
    thread: u32,
    ready: Sender<Ready>,
    events: &Sender<Event>,
) -> Result<Vec<Account>, Error> {
    let engine = |source| Error::Engine { source };
    let entry = &shared.entries.by_traffic[0][0];
    let address = match &entry.address {
        Address::Tcp(address) => *address,
        Address::Named(named) => named.current(),
        Address::Unix(_) => {
            let problem = "goose knows no sockets in the file system";
            return Err(engine(std::io::Error::new(std::io::ErrorKind::Unsupported, problem)));
        }
    };
    let open = u32::from(thread == 0 && TcpStream::connect_timeout(&address, OPENING).is_ok());
    let (start, started) = mpsc::channel();
    if thread > 0 || open == 0 {
        let _ = ready.send(Ready { open: vec![0], problem: None, start });
        drop(ready);
        let _ = started.recv();
        return Ok(Vec::new());
    }
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let course = Arc::new(Course::new(shared));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(shared.options.threads.get() as usize)
        .enable_all()
        .build()
        .map_err(engine)?;
    let attack =
        attack(&course, address).map_err(|problem| engine(std::io::Error::other(problem.to_string())))?;
    let users = course.walkers().len() as u64;
    let mut waiting = Some((ready, Ready { open: vec![open], problem: None, start }));
    let counted = runtime.block_on(async {
        let attack = attack.execute();
        tokio::pin!(attack);
        let mut report_nanos = u64::MAX;
        loop {
            tokio::select! {
                ended = &mut attack => return ended,
                () = tokio::time::sleep(LOOK) => {}
            }
            // Goose takes a second or two to begin: the run's time starts when all its users are there.
            if course.here.load(Ordering::Relaxed) >= users
                && let Some((ready, here)) = waiting.take()
            {
                let _ = ready.send(here);
                drop(ready);
                match started.recv() {
                    Ok(clock) => {
                        report_nanos = clock.absolute_nanos(SimTime::ZERO) + 1_000_000_000;
                        let _ = course.clock.set(clock);
                        course.books.lock().expect("nobody panics with the books").1.begin();
                    }
                    Err(_) => trigger_killswitch("the run does not begin"),
                }
            }
            let Some(clock) = course.clock.get() else { continue };
            let over = clock.now() >= course.total && course.under_way.load(Ordering::Relaxed) == 0;
            if shared.stop.load(Ordering::Relaxed) || over {
                trigger_killswitch("the run is over");
            } else if is_killswitch_triggered() && clock.now() < course.total {
                shared.stop.store(true, Ordering::Relaxed);
            }
            if monotonic_nanos() >= report_nanos {
                report_nanos += 1_000_000_000;
                course.report(events);
            }
        }
    });
    runtime.shutdown_timeout(LOOK);
    course.report(events);
    match counted {
        Err(problem) => Err(engine(std::io::Error::other(problem.to_string()))),
        Ok(metrics) => {
            let counts = metrics.requests.values().map(|request| request.success_count + request.fail_count);
            let (goose, ours) = (counts.sum::<usize>() as u64, course.finished());
            if goose != ours {
                let what = format!("goose counted {goose} requests and {ours} were recorded");
                let _ = events.send(Event::Unsound(what));
            }
            let books = course.books.lock().expect("nobody panics with the books");
            Ok(books.1.accounts())
        }
    }
}

/// Goose with its users, ready to be let loose.
fn attack(course: &Arc<Course>, address: std::net::SocketAddr) -> Result<GooseAttack, ::goose::GooseError> {
    let users = course.plan.users(course.traffic).expect("its traffic is a closed loop").count();
    // It is ended when the run is over.
    let seconds = course.total.as_secs_f64().ceil() as u64 + 3_600;
    let timeout = course.scenario.traffic[course.traffic.index()].timeout;
    let options = [
        format!("--host=http://{address}"),
        format!("--users={users}"),
        // All of them at once: who is to come later waits for that by the scenario.
        "--increase-rate=100000".to_owned(),
        format!("--run-time={seconds}s"),
        format!("--timeout={}", timeout.as_secs_f64()),
        "--no-gzip".to_owned(),
        "--no-transaction-metrics".to_owned(),
        "--no-scenario-metrics".to_owned(),
        "--no-print-metrics".to_owned(),
        "--no-error-summary".to_owned(),
        "--no-telnet".to_owned(),
        "--quiet".to_owned(),
        "--quiet".to_owned(),
    ];
    let configuration = GooseConfiguration::parse_args_default(&options)?;
    let course = Arc::clone(course);
    let step = Transaction::new(Arc::new(move |user: &mut GooseUser| {
        let course = Arc::clone(&course);
        Box::pin(async move { course.step(user).await })
            as Pin<Box<dyn Future<Output = TransactionResult> + Send + '_>>
    }));
    let walk = Walk::new("rehearsal").register_transaction(step);
    Ok(GooseAttack::initialize_with_config(configuration)?.register_scenario(walk))
}

impl Course {
    fn new(shared: &Shared<'_>) -> Self {
        let scenario = shared.scenario.clone();
        let plan = Plan::new(&scenario);
        let traffic = scenario.traffic_ids().next().expect("a scenario has traffic");
        let users = plan.users(traffic).expect("its traffic is a closed loop");
        let room = Room::new(JARS_BYTES);
        let walker = |user| {
            // Goose keeps the cookies.
            let jar = Jar::new(users.iteration(user, 0).id, false, room.clone());
            Walker { iteration: 0, here: false, until: SimTime::ZERO, jar }
        };
        let left = match users.iterations() {
            Iterations::Shared(iterations) => iterations,
            _ => u64::MAX,
        };
        let ledger = Ledger::new(shared.frame, true);
        Self {
            traffic,
            clock: OnceLock::new(),
            here: AtomicU64::new(0),
            total: shared.total,
            limits: shared.options.limits,
            judges: scenario.requests.iter().map(Judge::new).collect(),
            composer: Mutex::new(Composer::new(&scenario, &shared.entries.base_path)),
            left: AtomicU64::new(left),
            walkers: Mutex::new((0..users.count()).map(walker).collect()),
            books: Mutex::new((Recorder::new(shared.frame), ledger)),
            under_way: AtomicU64::new(0),
            plan,
            scenario,
        }
    }

    fn walkers(&self) -> std::sync::MutexGuard<'_, Vec<Walker>> {
        self.walkers.lock().expect("nobody panics with the walkers")
    }

    /// When a user's next request is due; none where there is no other.
    fn next_due(&self, number: u32, clock: Clock) -> Option<SimTime> {
        let users = self.plan.users(self.traffic).expect("its traffic is a closed loop");
        let walker = &mut self.walkers()[number as usize];
        if matches!(users.iterations(), Iterations::Each(most) if walker.iteration >= most) {
            return None;
        }
        let think = users.iteration(number, walker.iteration).think;
        let mut from = clock.now();
        loop {
            let due = from.saturating_add(think);
            if due < walker.until {
                return Some(due).filter(|due| *due < self.total);
            }
            let (start, end) = users.stretch(number, from.max(walker.until))?;
            walker.until = end;
            // Whoever thinks longer than a stretch lasts says nothing in it.
            from = if start.saturating_add(think) >= end { end } else { start };
        }
    }

    /// Takes one of the iterations that all users have together.
    fn take(&self) -> bool {
        self.left.load(Ordering::Relaxed) == u64::MAX
            || self
                .left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1))
                .is_ok()
    }

    /// A user thinks, asks and waits for the answer: what goose calls a transaction.
    async fn step(&self, user: &mut GooseUser) -> TransactionResult {
        let number = user.weighted_users_index as u32;
        let Some(clock) = self.clock.get().copied() else {
            if !std::mem::replace(&mut self.walkers()[number as usize].here, true) {
                self.here.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
            return Ok(());
        };
        let due = self.next_due(number, clock);
        let Some(due) = due else {
            // Goose asks again and again what there is to do.
            tokio::time::sleep(LOOK).await;
            return Ok(());
        };
        loop {
            let left = clock.absolute_nanos(due).saturating_sub(monotonic_nanos());
            if left == 0 {
                break;
            }
            if is_killswitch_triggered() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_nanos(left).min(LOOK)).await;
        }
        if is_killswitch_triggered() || !self.take() {
            tokio::time::sleep(LOOK).await;
            return Ok(());
        }
        let users = self.plan.users(self.traffic).expect("its traffic is a closed loop");
        let iteration = self.walkers()[number as usize].iteration;
        let next = users.iteration(number, iteration);
        let planned = Planned { due, id: next.id, traffic: self.traffic, class: next.class };
        let sent = clock.now();
        let lag = sent.saturating_sub(due);
        {
            let mut books = self.books.lock().expect("nobody panics with the books");
            books.1.planned(due, lag.as_nanos(), true);
            books.1.sent(due);
        }
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let result = self.ask(user, &planned, number).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        let done = clock.now();
        {
            let mut books = self.books.lock().expect("nobody panics with the books");
            books.0.record(&Outcome { class: planned.class, due, sent: Some(sent), done, lag, result });
            books.1.finished(result.is_ok());
        }
        self.walkers()[number as usize].iteration += 1;
        Ok(())
    }

    /// Asks over goose's client, and judges the answer when all of it is there.
    async fn ask(&self, user: &mut GooseUser, planned: &Planned, number: u32) -> Result<(), Failure> {
        let class = &self.scenario.requests[planned.class.index()];
        let mut text = Vec::new();
        {
            let walkers = self.walkers();
            let mut composer = self.composer.lock().expect("nobody panics with the composer");
            composer.compose(planned, "goose", Some(&walkers[number as usize].jar), &mut text);
        }
        let (request, body) = request_of(&text, false).ok_or(Failure::Malformed)?;
        let method = match class.method {
            Method::Get => GooseMethod::Get,
            Method::Post => GooseMethod::Post,
            Method::Put => GooseMethod::Put,
            Method::Delete => GooseMethod::Delete,
            _ => return Err(Failure::Malformed),
        };
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let builder = user.get_request_builder(&method, &path).map_err(|_| Failure::Malformed)?;
        let builder = builder.headers(request.headers().clone()).body(body);
        // One name a class, or goose would keep figures for every path.
        let request = GooseRequest::builder().method(method).path(path.as_str()).name(class.name.as_str());
        let request = request.set_request_builder(builder).build();
        let answered = user.request(request).await.map_err(|_| Failure::Reset)?;
        let mut response = answered.response.map_err(|error| of_error(&error, false))?;
        let (status, judge) = (response.status().as_u16(), &self.judges[planned.class.index()]);
        let mut head = Vec::new();
        if judge.wanted.head {
            head_of(status, response.headers(), &mut head);
        }
        let (mut body, mut bytes) = (Vec::new(), 0);
        while let Some(piece) = response.chunk().await.map_err(|error| of_error(&error, true))? {
            bytes += piece.len() as u64;
            if bytes > self.limits.body_bytes {
                return Err(Failure::TooLarge);
            }
            let left = judge.wanted.body_bytes.saturating_sub(body.len());
            body.extend_from_slice(&piece[..piece.len().min(left)]);
        }
        let mut kept = Vec::new();
        judge.judge(Answer { status, head: &head, body: &body }, &mut kept)?;
        let jar = &mut self.walkers()[number as usize].jar;
        // Without room for it an answer is longer than this client accepts.
        if kept.into_iter().all(|(number, value)| jar.keep(number, value)) {
            Ok(())
        } else {
            Err(Failure::TooLarge)
        }
    }

    fn finished(&self) -> u64 {
        let mut books = self.books.lock().expect("nobody panics with the books");
        let pulse = books.1.pulse((0, 0), 0);
        pulse.ok + pulse.failed
    }

    fn report(&self, events: &Sender<Event>) {
        let mut books = self.books.lock().expect("nobody panics with the books");
        let under_way = self.under_way.load(Ordering::Relaxed);
        let pulse = books.1.pulse((under_way, 0), 0);
        let delta = books.0.take();
        let _ = events.send(Event::Report(Box::new(Report { thread: 0, delta, pulse })));
    }
}

/// What it means that goose's client has failed.
fn of_error(error: &(dyn std::error::Error + 'static), begun: bool) -> Failure {
    let mut cause = Some(error);
    let mut text = String::new();
    while let Some(error) = cause {
        text.push_str(&error.to_string());
        text.push('\n');
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            match error.kind() {
                std::io::ErrorKind::ConnectionRefused => return Failure::Refused,
                std::io::ErrorKind::TimedOut => {}
                _ => return if begun { Failure::Truncated } else { Failure::Reset },
            }
        }
        cause = error.source();
    }
    // The client's own errors tell their kind only in words (reqwest and hyper).
    let says = |word: &str| text.contains(word);
    match () {
        () if says("timed out") && begun => Failure::Stalled,
        () if says("timed out") => Failure::Timeout,
        () if says("connect") && !says("closed") => Failure::Refused,
        () if begun => Failure::Truncated,
        () if says("parse") || says("invalid") => Failure::Malformed,
        () => Failure::Reset,
    }
}

/// Whether a scenario's traffic is to be played by goose.
pub(super) fn plays(scenario: &Scenario) -> bool {
    scenario.traffic.iter().any(
        |traffic| matches!(&traffic.executor, Executor::Users(users) if users.engine == LoopEngine::Goose),
    )
}
