//! The side that asks: waits for agents, gives each its segment and all of them one start, and gathers what they tell.

use std::io::{self, Write as _};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fleet::async_nats::{Message, Subscriber};
use fleet::{Link, StreamExt as _};
use jiff::Timestamp;
use loadgen::engine::most_threads;
use loadgen::run::Over;
use loadgen::system::System;
use loadgen::{Address, Gathering, gather};
use programs::{Problem, Progress};
use results::{Agent, Provenance, RunRecord};
use scenarios::units::SimTime;
use tokio::time::{MissedTickBehavior, interval};

use super::allowed::refuse_files;
use super::offset::day_nanos;
use super::relay::{Relay, relay};
use super::words::{
    self, Call, Hello, Join, MOST_TEXT_BYTES, Offer, Order, Place, REGISTER, Seat, Subjects, Time, To,
    VERSION, Word, tame,
};
use super::{BEAT, LOOK, SILENCE, of_fleet};
use crate::arguments::{Options, Together};
use crate::metrics::Metrics;
use crate::play::{self, TOOL};
use crate::prepare::Prepared;
use crate::stack::StackSystem;
use crate::{problem, progress};

/// Agents are waited for so long where nothing else is said.
const WAIT: SimTime = SimTime::from_secs(120);
/// Agents have so long to read their orders.
const READING: Duration = Duration::from_secs(30);
/// Between the moment when all have accepted and the start: connections are opened in the last seconds of it.
const LEAD: Duration = loadgen::run::AHEAD.saturating_add(Duration::from_secs(2));

/// Has agents play what was prepared; the record of the whole, with its progress `shown`, or none where it was interrupted before it
/// began.
pub(crate) fn conduct(
    prepared: &Prepared,
    options: &Options,
    (together, agents): (&Together, NonZeroU32),
    (stop, (metrics, shown)): (&AtomicBool, (Option<&Metrics>, bool)),
) -> Result<Option<RunRecord>, Problem> {
    let scenario = &prepared.scenario;
    check(prepared, options, agents)?;
    let (place, system) = match &options.target {
        Some(url) => (Place::Target { url: url.clone() }, None),
        None => {
            let Some(system) = play::start(scenario, !shown, stop)? else { return Ok(None) };
            (stack(&system, prepared)?, Some(system))
        }
    };
    let file = scenario.source.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let order = Order {
        file,
        text: scenario.source.text.clone(),
        hash: scenario.source.hash.clone(),
        segment: 0,
        of: agents.get(),
        to: place,
        threads: options.threads.get(),
        max_body_bytes: options.max_body.get(),
    };
    let run = words::unique();
    let assembly = Assembly {
        run: &run,
        subjects: Subjects::of(&run),
        wanted: agents.get() as usize,
        order,
        until: Instant::now() + together.wait.unwrap_or(WAIT).as_duration(),
        stop,
        shown,
        members: Vec::new(),
        ordered: None,
    };
    let runtime = fleet::runtime().context("nothing can wait for messages")?;
    let assembled = runtime.block_on(assembly.assemble(together, options.start_at))?;
    let Some(Assembled { link, up, subjects, members, start }) = assembled else { return Ok(None) };
    let run = Gathering {
        scenario,
        directory: &prepared.directory,
        provenance: Provenance::here(TOOL).of_part(prepared.part.clone()),
        stop,
        start,
        agents: members.iter().zip(1..).map(|(member, segment)| member.facts(segment)).collect(),
    };
    let ids = members.into_iter().map(|member| member.join.id).collect();
    let over = AtomicBool::new(false);
    let (told, received) = mpsc::channel();
    let record = thread::scope(|scope| {
        let relayed = Relay { link: &link, subjects: &subjects, ids, told, stop, over: &over };
        scope.spawn(|| runtime.block_on(relay(relayed, up)));
        let _at_the_end = Over(&over);
        let mut progress = Progress::new(shown);
        let system = system.as_ref().map(|system| system as &dyn System);
        let record = gather(run, &received, system, &mut |snapshot| {
            if let Some(metrics) = metrics {
                metrics.show(snapshot);
            }
            progress.show(progress::share(snapshot), || progress::line(snapshot, scenario.run.warmup));
        });
        progress.end();
        record
    });
    record.map_err(problem::of_loadgen)
}

/// What can be known before anybody is asked.
fn check(prepared: &Prepared, options: &Options, agents: NonZeroU32) -> Result<(), Problem> {
    let scenario = &prepared.scenario;
    let (threads, of, most) = (options.threads.get(), agents.get(), most_threads(scenario));
    if threads.saturating_mul(of) > most {
        return Err(problem::of_loadgen(loadgen::Error::Segments { of, threads, most }));
    }
    if options.trusted.is_given() {
        return Err(Problem::configuration(anyhow::anyhow!(
            "--ca-file, --sni, --insecure: found with --agents, expected on the agents' own command lines: they open the connections"
        )));
    }
    let bytes = scenario.source.text.len();
    if bytes > MOST_TEXT_BYTES {
        return Err(Problem::configuration(anyhow::anyhow!(
            "found a scenario of {bytes} bytes, expected at most {MOST_TEXT_BYTES} where agents play"
        )));
    }
    refuse_files(&scenario.source.text).map_err(Problem::configuration)
}

/// Where agents of this machine find the stack that was started on it.
fn stack(system: &StackSystem, prepared: &Prepared) -> Result<Place, Problem> {
    let entries = system.entries(&prepared.scenario)?.by_traffic;
    let of_traffic = |entries: Vec<loadgen::Entry>| {
        let places = entries.into_iter().map(|entry| match entry.address {
            Address::Tcp(address) => Ok((address, entry.host)),
            other => Err(Problem::Failure(anyhow::anyhow!("agents cannot be told of an entry at {other}"))),
        });
        places.collect::<Result<Vec<_>, Problem>>()
    };
    Ok(Place::Stack { entries: entries.into_iter().map(of_traffic).collect::<Result<_, _>>()? })
}

/// An agent that takes part.
#[derive(Debug)]
struct Member {
    join: Join,
    heard: Instant,
    /// How far its clock is ahead, and how far that may be off, in seconds; none until it has found out.
    clock: Option<(f64, f64)>,
    accepted: bool,
}

impl Member {
    fn facts(&self, segment: u32) -> Agent {
        let (clock_offset_s, clock_error_s) = self.clock.unwrap_or_default();
        Agent {
            name: self.join.name.clone(),
            segment,
            cores: self.join.cores,
            limits: self.join.findings.iter().map(|finding| finding.what.clone()).collect(),
            clock_offset_s,
            clock_error_s,
            ..Agent::default()
        }
    }
}

/// A run that is about to begin.
struct Assembled {
    link: Link,
    /// What comes to the coordinator.
    up: Subscriber,
    subjects: Subjects,
    members: Vec<Member>,
    start: Timestamp,
}

/// A run that looks for its agents.
struct Assembly<'a> {
    run: &'a str,
    subjects: Subjects,
    wanted: usize,
    /// What each is told, but for its segment.
    order: Order,
    until: Instant,
    stop: &'a AtomicBool,
    shown: bool,
    members: Vec<Member>,
    /// When the orders were sent.
    ordered: Option<Instant>,
}

impl Assembly<'_> {
    /// Waits for all agents, gives them their orders and, when all have accepted, the start; none where it is interrupted.
    async fn assemble(
        mut self,
        together: &Together,
        start_at: Option<Timestamp>,
    ) -> Result<Option<Assembled>, Problem> {
        let client = format!("rehearsal run {}", self.run);
        let link = together.nats.connect(&client).await.map_err(of_fleet)?;
        let mut up = link.listen(self.subjects.up()).await.map_err(of_fleet)?;
        let mut seekers = link.listen(REGISTER).await.map_err(of_fleet)?;
        self.say(&format!("waits for {} agents at {}", self.wanted, link.place()));
        let gathered = self.wait(&link, &mut seekers, &mut up).await;
        let all = self.subjects.all();
        if !matches!(gathered, Ok(true)) {
            // Those who came need not wait in vain; where they cannot be told, silence says the same.
            let _ = link.send("a call", all, &Call::Stop).await;
            let _ = link.flush().await;
            return gathered.map(|_| None);
        }
        let lead = jiff::SignedDuration::try_from(LEAD).expect("some seconds");
        let start = start_at.unwrap_or_else(|| Timestamp::now() + lead);
        let at_ns =
            i64::try_from(start.as_nanosecond()).context("--start-at: expected a time before 2262")?;
        link.send("a call", all, &Call::Start { at_ns }).await.map_err(of_fleet)?;
        link.flush().await.map_err(of_fleet)?;
        self.say(&format!("all of {} agents begin at {start}", self.wanted));
        let Self { subjects, members, .. } = self;
        Ok(Some(Assembled { link, up, subjects, members, start }))
    }

    fn say(&self, what: &str) {
        if self.shown {
            // Nobody is left to tell where standard error is closed.
            let _ = writeln!(io::stderr(), "run {}: {what}", self.run);
        }
    }

    /// Until all are there and have accepted; `false` where it is interrupted.
    async fn wait(
        &mut self,
        link: &Link,
        seekers: &mut Subscriber,
        up: &mut Subscriber,
    ) -> Result<bool, Problem> {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut called = Instant::now();
        loop {
            tokio::select! {
                Some(seeker) = seekers.next() => self.offer(link, &seeker).await?,
                Some(message) = up.next() => self.hear(link, &message).await?,
                _ = look.tick() => {
                    if called.elapsed() >= BEAT {
                        called = Instant::now();
                        link.send("a call", self.subjects.all(), &Call::Beat).await.map_err(of_fleet)?;
                    }
                    self.look()?;
                }
            }
            if self.stop.load(Ordering::Relaxed) {
                return Ok(false);
            }
            let ready = self.members.len() == self.wanted && self.members.iter().all(|m| m.clock.is_some());
            if ready && self.ordered.is_none() {
                self.ordered = Some(Instant::now());
                for (member, segment) in self.members.iter().zip(1..) {
                    let order = Order { segment, ..self.order.clone() };
                    let subject = self.subjects.order(&member.join.id);
                    link.send("an order", subject, &order).await.map_err(of_fleet)?;
                }
            }
            if ready && self.members.iter().all(|member| member.accepted) {
                return Ok(true);
            }
        }
    }

    /// Offers a place to who looks for one; who looks when there is none goes on looking.
    async fn offer(&self, link: &Link, seeker: &Message) -> Result<(), Problem> {
        let fits = |hello: Hello| hello.version == VERSION;
        if self.members.len() < self.wanted
            && fleet::read("a look for a run", &seeker.payload).is_ok_and(fits)
        {
            let offer = Offer { run: self.run.to_owned() };
            link.answer("an offer", seeker, &offer).await.map_err(of_fleet)?;
        }
        Ok(())
    }

    async fn hear(&mut self, link: &Link, message: &Message) -> Result<(), Problem> {
        match self.subjects.read(message.subject.as_str()) {
            Some(To::Clock) => tell_the_time(link, message).await,
            Some(To::Join) => {
                let seat = match self.join(message) {
                    Ok(()) => Seat::Taken,
                    Err(why) => Seat::Refused { why },
                };
                link.answer("a place", message, &seat).await.map_err(of_fleet)
            }
            Some(To::Told(id)) => {
                let Some(member) = self.members.iter_mut().find(|member| member.join.id == id) else {
                    return Ok(());
                };
                member.heard = Instant::now();
                let name = &member.join.name;
                let failed = |mut why: String| {
                    tame(&mut why);
                    Err(Problem::configuration(anyhow::anyhow!("agent {name}: {why}")))
                };
                match fleet::read::<Word>("what an agent says", &message.payload).map_err(of_fleet)? {
                    Word::Clock { offset_s, error_s } if offset_s.is_finite() && error_s >= 0.0 => {
                        member.clock = Some((offset_s, error_s));
                        Ok(())
                    }
                    Word::Accepted { hash } if hash == self.order.hash => {
                        member.accepted = true;
                        Ok(())
                    }
                    Word::Refused { why } | Word::Failed { why } => failed(why),
                    Word::Alive => Ok(()),
                    other => failed(format!("it said {other:?} before the run began")),
                }
            }
            None => Ok(()),
        }
    }

    /// Takes an agent in.
    fn join(&mut self, message: &Message) -> Result<(), String> {
        let join = fleet::read::<Join>("the wish to take part", &message.payload);
        let join = join.map_err(|error| error.to_string()).and_then(Join::tamed)?;
        if self.members.iter().any(|member| member.join.id == join.id) {
            return Ok(());
        }
        if self.members.len() >= self.wanted {
            return Err(format!("all {} agents are there", self.wanted));
        }
        let (number, wanted) = (self.members.len() + 1, self.wanted);
        self.say(&format!("agent {} is there ({number} of {wanted}), {} cores", join.name, join.cores));
        for finding in join.findings.iter().filter(|finding| !finding.good) {
            let hint = finding.hint.as_deref().unwrap_or_default();
            self.say(&format!("agent {}: {}; hint: {hint}", join.name, finding.what));
        }
        self.members.push(Member { join, heard: Instant::now(), clock: None, accepted: false });
        Ok(())
    }

    /// Whether it takes too long.
    fn look(&mut self) -> Result<(), Problem> {
        let late = |problem: String| Err(Problem::configuration(anyhow::anyhow!(problem)));
        let gone = self.members.iter().position(|member| member.heard.elapsed() > SILENCE);
        if let Some(gone) = gone {
            let name = self.members[gone].join.name.clone();
            if self.ordered.is_some() {
                return late(format!(
                    "agent {name}: silent for {} s before the run began",
                    SILENCE.as_secs()
                ));
            }
            self.say(&format!("agent {name} is gone"));
            self.members.remove(gone);
        }
        if self.ordered.is_some_and(|at| at.elapsed() > READING) {
            let silent = self.members.iter().filter(|member| !member.accepted);
            let names: Vec<&str> = silent.map(|member| member.join.name.as_str()).collect();
            return late(format!("agent {}: did not say whether it plays its segment", names.join(", ")));
        }
        if self.ordered.is_none() && Instant::now() > self.until {
            let names: Vec<&str> = self.members.iter().map(|member| member.join.name.as_str()).collect();
            let came = if names.is_empty() { String::new() } else { format!(" ({})", names.join(", ")) };
            return late(format!(
                "found {} of {} agents{came} in the time that they were waited for\nhint: start loadgen agent --nats URL --allow TARGET \
                 on each machine; --wait gives them longer",
                names.len(),
                self.wanted
            ));
        }
        Ok(())
    }
}

/// Answers who asks what time it is.
pub(super) async fn tell_the_time(link: &Link, asked: &Message) -> Result<(), Problem> {
    let day_ns = i64::try_from(day_nanos()).context("the clock is past 2262")?;
    link.answer("the time", asked, &Time { day_ns }).await.map_err(of_fleet)
}
