//! What goose's users do: they think, ask, and have their answers judged and recorded.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use ::goose::goose::{GooseMethod, GooseRequest, GooseUser, TransactionResult};
use ::goose::is_killswitch_triggered;
use http::header::HOST;
use results::{Failure, Outcome, Recorder};
use scenarios::Scenario;
use scenarios::plan::{Plan, Planned};
use scenarios::scenario::{Iterations, Method, TrafficId};
use scenarios::units::SimTime;

use super::super::ledger::Ledger;
use super::super::users::{Left, due_after};
use super::super::{Report, Share, Shared};
use super::LOOK;
use super::instance::{Instance, client};
use super::workers::Workers;
use crate::clock::{Clock, monotonic_nanos};
use crate::http::{Answer, Composer, JARS_BYTES, Jar, Judge, Limits, Room, Site, head_of, request_of};
use crate::journal::Event;

/// What goose's users have in common.
pub(super) struct Course {
    pub(super) scenario: Scenario,
    pub(super) plan: Plan,
    pub(super) traffic: TrafficId,
    /// Set when the run begins.
    pub(super) clock: OnceLock<Clock>,
    /// Users that goose has let loose.
    pub(super) here: AtomicU64,
    pub(super) total: SimTime,
    limits: Limits,
    judges: Vec<Judge>,
    composer: Mutex<Composer>,
    pub(super) instances: Vec<Instance>,
    /// What all users have left together.
    left: Left,
    walkers: Mutex<Vec<Walker>>,
    books: Mutex<(Recorder, Ledger)>,
    /// Requests under way.
    pub(super) under_way: AtomicU64,
}

/// A user.
pub(super) struct Walker {
    iteration: u64,
    /// The client that goose's is replaced by as soon as goose lets the user loose.
    client: Option<reqwest::Client>,
    /// When the user's present stretch ends.
    until: SimTime,
    jar: Jar,
}

impl Course {
    pub(super) fn new(shared: &Shared<'_>, instances: Vec<Instance>) -> reqwest::Result<Self> {
        let scenario = shared.scenario.clone();
        let plan = Plan::new(&scenario);
        let traffic = scenario.traffic_ids().next().expect("a scenario has traffic");
        let users = plan.users(traffic).expect("its traffic is a closed loop");
        let room = Room::new(JARS_BYTES);
        let timeout = scenario.traffic[traffic.index()].timeout.as_duration();
        let walker = |user| {
            // The client keeps the cookies.
            let jar = Jar::new(users.iteration(user, 0).id, false, room.clone());
            Ok(Walker { iteration: 0, client: Some(client(timeout)?), until: SimTime::ZERO, jar })
        };
        let walkers = (0..users.count()).map(walker).collect::<reqwest::Result<_>>()?;
        let ledger = Ledger::new(shared.frame, true);
        Ok(Self {
            traffic,
            clock: OnceLock::new(),
            here: AtomicU64::new(0),
            total: shared.total,
            limits: shared.options.limits,
            judges: scenario.requests.iter().map(Judge::new).collect(),
            composer: Mutex::new(Composer::new(&scenario, &shared.entries.base_path)),
            instances,
            left: Left::new(&scenario, Share::WHOLE),
            walkers: Mutex::new(walkers),
            books: Mutex::new((Recorder::new(shared.frame), ledger)),
            under_way: AtomicU64::new(0),
            plan,
            scenario,
        })
    }

    pub(super) fn walkers(&self) -> MutexGuard<'_, Vec<Walker>> {
        self.walkers.lock().expect("nobody panics with the walkers")
    }

    pub(super) fn books(&self) -> MutexGuard<'_, (Recorder, Ledger)> {
        self.books.lock().expect("nobody panics with the books")
    }

    /// The instance that a user keeps to.
    fn instance(&self, number: u32) -> &Instance {
        &self.instances[number as usize % self.instances.len()]
    }

    /// When a user's next request is due; none where there is no other.
    fn next_due(&self, number: u32, clock: Clock) -> Option<SimTime> {
        let users = self.plan.users(self.traffic).expect("its traffic is a closed loop");
        let walker = &mut self.walkers()[number as usize];
        if matches!(users.iterations(), Iterations::Each(most) if walker.iteration >= most) {
            return None;
        }
        due_after(users, (number, walker.iteration), clock.now(), &mut walker.until)
            .filter(|due| *due < self.total)
    }

    /// A user thinks, asks and waits for the answer: what goose calls a transaction.
    pub(super) async fn step(&self, user: &mut GooseUser) -> TransactionResult {
        let number = user.weighted_users_index as u32;
        let Some(clock) = self.clock.get().copied() else {
            let client = self.walkers()[number as usize].client.take();
            if let Some(client) = client {
                (user.client, user.base_url) = (client, self.instance(number).url.clone());
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
                // Whoever came back at once would be asked again at once, and nobody else would have this thread.
                tokio::time::sleep(LOOK).await;
                return Ok(());
            }
            tokio::time::sleep(Duration::from_nanos(left).min(LOOK)).await;
        }
        if is_killswitch_triggered() || !self.left.take(self.traffic) {
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
            let mut books = self.books();
            books.1.planned(due, lag.as_nanos(), true);
            books.1.sent(due);
        }
        self.under_way.fetch_add(1, Ordering::Relaxed);
        let result = self.ask(user, &planned, number).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        let done = clock.now();
        {
            let mut books = self.books();
            books.0.record(&Outcome { class: planned.class, due, sent: Some(sent), done, lag, result });
            books.1.finished(result.is_ok());
        }
        self.walkers()[number as usize].iteration += 1;
        Ok(())
    }

    /// Asks over goose's client, and judges the answer when all of it is there.
    async fn ask(&self, user: &mut GooseUser, planned: &Planned, number: u32) -> Result<(), Failure> {
        let class = &self.scenario.requests[planned.class.index()];
        let instance = self.instance(number);
        let mut text = Vec::new();
        {
            let walkers = self.walkers();
            let mut composer = self.composer.lock().expect("nobody panics with the composer");
            let jar = Some(&walkers[number as usize].jar);
            composer.compose((planned, 0), &instance.host, jar, &mut text);
        }
        let (mut request, body) = request_of(&text, false).ok_or(Failure::Malformed)?;
        let method = match class.method {
            Method::Get => GooseMethod::Get,
            Method::Post => GooseMethod::Post,
            Method::Put => GooseMethod::Put,
            Method::Delete => GooseMethod::Delete,
            _ => return Err(Failure::Malformed),
        };
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let builder = user.get_request_builder(&method, &path).map_err(|_| Failure::Malformed)?;
        request.headers_mut().insert(HOST, instance.field.clone());
        let builder = builder.headers(std::mem::take(request.headers_mut())).body(body);
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
        if jar.remember(Site::default(), &head, &mut kept) { Ok(()) } else { Err(Failure::TooLarge) }
    }

    pub(super) fn finished(&self) -> u64 {
        let mut books = self.books();
        let pulse = books.1.pulse((0, 0), 0);
        pulse.ok + pulse.failed
    }

    pub(super) fn report(&self, events: &Sender<Event>, workers: Option<&mut Workers>) {
        let mut books = self.books();
        if let (Some(workers), Some(clock)) = (workers, self.clock.get()) {
            workers.read(|elapsed_nanos, busy_nanos| books.1.note(clock.now(), elapsed_nanos, busy_nanos));
        }
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
