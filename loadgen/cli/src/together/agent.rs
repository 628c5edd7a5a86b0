//! The side that plays: dials out, looks for a run, plays its segment, and stops when nobody wants it any more.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use fleet::async_nats::{Message, Subscriber};
use fleet::{Link, StreamExt as _};
use programs::{Problem, interrupt};
use results::Status;
use scenarios::exit;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::allowed::{Accepted, Allowed};
use super::offset::Offset;
use super::part::Part;
use super::words::{
    self, Call, Finding, Hello, Join, Offer, Order, REGISTER, Seat, Subjects, VERSION, Word, tame,
};
use super::{BEAT, LOOK, SILENCE, of_fleet};
use crate::arguments::Agency;
use crate::problem;

/// Between two looks for a run, and how long an answer may take.
const AGAIN: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(2);

/// Plays what coordinators ask for and the command line allows; the exit code.
pub(crate) fn agent(agency: &Agency) -> Result<u8, Problem> {
    let interrupted = interrupt::listen().context("cannot listen for signals")?;
    let allowed = Allowed::new(agency).map_err(Problem::configuration)?;
    let findings = match agency.no_doctor {
        true => Vec::new(),
        false => loadgen::doctor::examine(&std::env::temp_dir()).map_err(problem::of_loadgen)?,
    };
    let agent = Agent {
        name: agency.name.clone().unwrap_or_else(fleet::own_name),
        allowed,
        findings: findings.into_iter().map(Finding::from).collect(),
        agency,
        interrupted: &interrupted,
    };
    let runtime = fleet::runtime().context("nothing can wait for messages")?;
    runtime.block_on(agent.serve())
}

/// An agent, as its command line made it.
struct Agent<'a> {
    name: String,
    allowed: Allowed,
    findings: Vec<Finding>,
    agency: &'a Agency,
    interrupted: &'a AtomicBool,
}

/// One run, from an agent's side.
struct Session<'a> {
    link: &'a Link,
    subjects: Subjects,
    id: String,
    offset: Offset,
    accepted: Option<Accepted>,
    part: Option<Part>,
    /// Whether the coordinator said that it is over.
    called_off: bool,
    /// Why the part is not as it was asked for.
    failure: Option<String>,
    heard: Instant,
    words: UnboundedSender<Word>,
}

impl Agent<'_> {
    /// Serves one run, or run after run; the exit code.
    async fn serve(&self) -> Result<u8, Problem> {
        let id = words::unique();
        let client = format!("rehearsal agent {}", self.name);
        let link = self.agency.nats.connect(&client).await.map_err(of_fleet)?;
        loop {
            let Some(run) = self.find(&link).await? else { return Ok(exit::INTERRUPTED) };
            match self.take_part(&link, &run, &id).await {
                _ if self.interrupted() => return Ok(exit::INTERRUPTED),
                Ok(Some(code)) if !self.agency.stay => return Ok(code),
                Err(problem) if !self.agency.stay => return Err(problem),
                Ok(_) => {}
                Err(problem) => {
                    let _ = problem.report();
                }
            }
        }
    }

    fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    fn say(&self, what: &str) {
        if !self.agency.quiet {
            // Nobody is left to tell where standard error is closed.
            let _ = writeln!(io::stderr(), "{}: {what}", self.name);
        }
    }

    /// Looks for a run that has room; none where it is interrupted before.
    async fn find(&self, link: &Link) -> Result<Option<String>, Problem> {
        self.say(&format!("waits for a run at {}", link.place()));
        while !self.interrupted() {
            let hello = Hello { version: VERSION };
            match link.ask::<Offer>("a look for a run", REGISTER, &hello, PATIENCE).await {
                Ok(offer) if fleet::is_token(&offer.run) => return Ok(Some(offer.run)),
                // Nobody answers, or nobody of ours: that may change.
                Ok(_) | Err(_) => sleep(AGAIN).await,
            }
        }
        Ok(None)
    }

    /// Takes part in a run; the exit code, or none where others had taken the last places.
    async fn take_part(&self, link: &Link, run: &str, id: &str) -> Result<Option<u8>, Problem> {
        let subjects = Subjects::of(run);
        let mut orders = link.listen(subjects.order(id)).await.map_err(of_fleet)?;
        let mut calls = link.listen(subjects.all()).await.map_err(of_fleet)?;
        let join = Join {
            version: VERSION,
            id: id.to_owned(),
            name: self.name.clone(),
            cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
            findings: self.findings.clone(),
        };
        match link.ask("the wish to take part", subjects.join(), &join, PATIENCE).await.map_err(of_fleet)? {
            Seat::Taken => self.say(&format!("takes part in run {run}")),
            Seat::Refused { mut why } => {
                tame(&mut why);
                self.say(&format!("is refused by run {run}: {why}"));
                sleep(AGAIN).await;
                return Ok(None);
            }
        }
        let offset = Offset::measure(link, &subjects.clock()).await.map_err(of_fleet)?;
        let (words, said) = mpsc::unbounded_channel();
        let session = Session {
            link,
            subjects,
            id: id.to_owned(),
            offset,
            accepted: None,
            part: None,
            called_off: false,
            failure: None,
            heard: Instant::now(),
            words,
        };
        let clock = Word::Clock { offset_s: offset.seconds(), error_s: offset.error_seconds() };
        session.tell(&clock).await.map_err(of_fleet)?;
        self.stand_by(session, (&mut orders, &mut calls), said).await.map(Some)
    }

    /// Listens and plays until the run is over; the exit code.
    async fn stand_by(
        &self,
        mut session: Session<'_>,
        (orders, calls): (&mut Subscriber, &mut Subscriber),
        mut said: UnboundedReceiver<Word>,
    ) -> Result<u8, Problem> {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = Instant::now();
        loop {
            tokio::select! {
                Some(order) = orders.next() => self.ordered(&mut session, &order).await?,
                Some(call) = calls.next() => self.called(&mut session, &call),
                Some(word) = said.recv() => {
                    told = Instant::now();
                    session.carry(word).await;
                }
                _ = look.tick() => {
                    if told.elapsed() >= BEAT {
                        told = Instant::now();
                        session.carry(Word::Alive).await;
                    }
                    if session.heard.elapsed() > SILENCE && session.failure.is_none() {
                        session.give_up(format!("the coordinator was silent for {} s", SILENCE.as_secs()));
                    }
                }
            }
            if self.interrupted() {
                session.stop();
            }
            match &session.part {
                Some(part) if part.is_over() => return self.end(session, said).await,
                Some(_) => {}
                None if session.called_off || self.interrupted() => {
                    self.say("the run was called off");
                    return Ok(exit::INTERRUPTED);
                }
                None => {
                    if let Some(why) = session.failure.take() {
                        let failed = Word::Failed { why: why.clone() };
                        // Whoever is silent may hear it all the same.
                        let _ = session.tell(&failed).await;
                        let _ = session.link.flush().await;
                        return Err(Problem::Failure(anyhow::anyhow!(why)));
                    }
                }
            }
        }
    }

    /// The coordinator says what to play.
    async fn ordered(&self, session: &mut Session<'_>, message: &Message) -> Result<(), Problem> {
        session.heard = Instant::now();
        let accepted = fleet::read::<Order>("an order", &message.payload)
            .map_err(anyhow::Error::from)
            .and_then(|order| self.allowed.accept(&order));
        match accepted {
            Ok(accepted) if session.part.is_none() => {
                let hash = accepted.scenario.source.hash.clone();
                let (share, threads) = (accepted.options.share, accepted.options.threads);
                self.say(&format!(
                    "is to play segment {}/{} of {:?} on {threads} threads",
                    share.number(),
                    share.of(),
                    accepted.scenario.title,
                ));
                session.accepted = Some(accepted);
                session.tell(&Word::Accepted { hash }).await.map_err(of_fleet)
            }
            // One run at a time; whoever asks again is told nothing.
            Ok(_) => Ok(()),
            Err(error) => {
                let why = format!("{error:#}");
                session.tell(&Word::Refused { why: why.clone() }).await.map_err(of_fleet)?;
                session.link.flush().await.map_err(of_fleet)?;
                Err(Problem::configuration(error.context("the agent refuses")))
            }
        }
    }

    /// The coordinator says something to all.
    fn called(&self, session: &mut Session<'_>, message: &Message) {
        // What is none of ours is not heard either.
        let Ok(call) = fleet::read::<Call>("a call", &message.payload) else { return };
        session.heard = Instant::now();
        match call {
            Call::Beat => {}
            Call::Stop => {
                session.called_off = true;
                session.stop();
            }
            Call::Start { at_ns } => {
                let Some(accepted) = session.accepted.take() else { return };
                let words = session.words.clone();
                match Part::start(accepted, (at_ns, session.offset), &self.agency.out, words) {
                    Ok(part) => session.part = Some(part),
                    Err(error) => session.give_up(format!("{:#}", anyhow::Error::from(error))),
                }
            }
        }
    }

    /// The part has ended: tells what is left of it, and how it ended.
    async fn end(&self, mut session: Session<'_>, mut said: UnboundedReceiver<Word>) -> Result<u8, Problem> {
        let part = session.part.take().expect("it has just ended");
        let directory = part.directory().display().to_string();
        let ended = part.end();
        while let Ok(word) = said.try_recv() {
            session.carry(word).await;
        }
        let (word, result) = match ended {
            Ok(ending) => {
                let code = match ending.status {
                    Status::Complete if ending.reasons.is_empty() => exit::GOOD,
                    Status::Complete => exit::INVALID,
                    // Stopped as it was told to: nothing is wrong with it.
                    _ if session.called_off => exit::GOOD,
                    _ => exit::INTERRUPTED,
                };
                for reason in &ending.reasons {
                    self.say(&format!("invalid: {reason}"));
                }
                (Word::from(ending), Ok(code))
            }
            Err(error) => {
                let why = format!("{error}");
                (Word::Failed { why }, Err(problem::of_loadgen(error)))
            }
        };
        let word = match session.failure.take() {
            Some(why) => {
                self.say(&format!("stopped: {why}"));
                Word::Failed { why }
            }
            None => word,
        };
        // Where nobody hears it any more, the record says it all the same.
        let _ = session.tell(&word).await;
        let _ = session.link.flush().await;
        if result.is_ok() {
            writeln!(io::stdout(), "{directory}").context("cannot say where the record is")?;
        }
        result
    }
}

impl Session<'_> {
    async fn tell(&self, word: &Word) -> Result<(), fleet::Error> {
        self.link.send("what an agent says", self.subjects.told(&self.id), word).await
    }

    /// Tells; where that cannot be told, the part ends.
    async fn carry(&mut self, word: Word) {
        if self.failure.is_none()
            && let Err(error) = self.tell(&word).await
        {
            self.give_up(error.to_string());
        }
    }

    fn give_up(&mut self, why: String) {
        self.failure.get_or_insert(why);
        self.stop();
    }

    fn stop(&self) {
        if let Some(part) = &self.part {
            part.stop();
        }
    }
}
