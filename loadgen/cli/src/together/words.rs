//! What agents and the coordinator say to each other, as JSON, and on which subjects.
//!
//! Subjects begin with `rehearsal.load`; permissions of an agent and of a coordinator are to publish and to subscribe to
//! `rehearsal.load.>` and `_INBOX.>`.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use loadgen::Pulse;
use loadgen::gather::{Ending, Word as Gathered};
use results::{Piece, Status};
use serde::{Deserialize, Serialize};

/// Both sides must be of the same; it grows when a message changes.
pub(super) const VERSION: u32 = 2;
/// Where agents look for a run.
pub(super) const REGISTER: &str = "rehearsal.load.register";
/// The longest text of a scenario that is sent or taken, in bytes; a message has room for it when every character is escaped.
pub(super) const MOST_TEXT_BYTES: usize = 256 << 10;
/// The most findings of an agent's that are taken, and the longest of its texts.
const MOST_FINDINGS: usize = 20;
const MOST_CHARACTERS: usize = 300;

/// The subjects of one run.
#[derive(Clone, Debug)]
pub(super) struct Subjects {
    run: String,
}

impl Subjects {
    /// Of a run of this name, which is a token.
    pub(super) fn of(run: &str) -> Self {
        Self { run: format!("rehearsal.load.{run}") }
    }

    /// All that goes to the coordinator.
    pub(super) fn up(&self) -> String {
        format!("{}.up.>", self.run)
    }

    /// An agent wants to take part.
    pub(super) fn join(&self) -> String {
        format!("{}.up.join", self.run)
    }

    /// An agent asks what time it is.
    pub(super) fn clock(&self) -> String {
        format!("{}.up.clock", self.run)
    }

    /// An agent says something.
    pub(super) fn told(&self, id: &str) -> String {
        format!("{}.up.told.{id}", self.run)
    }

    /// The coordinator says something to all agents.
    pub(super) fn all(&self) -> String {
        format!("{}.all", self.run)
    }

    /// The coordinator says to an agent what it is to play.
    pub(super) fn order(&self, id: &str) -> String {
        format!("{}.order.{id}", self.run)
    }

    /// What of a message that goes to the coordinator its subject says.
    pub(super) fn read<'a>(&self, subject: &'a str) -> Option<To<'a>> {
        match subject.strip_prefix(self.run.as_str())?.strip_prefix(".up.")? {
            "join" => Some(To::Join),
            "clock" => Some(To::Clock),
            told => told.strip_prefix("told.").map(To::Told),
        }
    }
}

/// What a message to the coordinator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum To<'a> {
    Join,
    Clock,
    /// A word of the agent of this identity.
    Told(&'a str),
}

/// A name that nobody else has, as 16 hexadecimal digits: the seed of a standard hasher is the system's randomness.
pub(super) fn unique() -> String {
    format!("{:016x}", RandomState::new().build_hasher().finish())
}

/// An agent looks for a run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hello {
    pub(super) version: u32,
}

/// A coordinator has room for it in this run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Offer {
    pub(super) run: String,
}

/// An agent takes part.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Join {
    pub(super) version: u32,
    /// A token.
    pub(super) id: String,
    pub(super) name: String,
    pub(super) cores: u32,
    pub(super) findings: Vec<Finding>,
}

/// What an agent's look at its machine found.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Finding {
    pub(super) good: bool,
    pub(super) what: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

impl From<loadgen::doctor::Finding> for Finding {
    fn from(finding: loadgen::doctor::Finding) -> Self {
        Self { good: finding.good, what: finding.what, hint: finding.hint }
    }
}

impl Join {
    /// The same, fit to be shown on a terminal and kept in a record; an identity that is none is an error.
    pub(super) fn tamed(mut self) -> Result<Self, String> {
        if !fleet::is_token(&self.id) {
            return Err("expected an identity of letters and digits".to_owned());
        }
        if self.version != VERSION {
            return Err(format!(
                "found version {} of the agents' messages, expected {VERSION}",
                self.version
            ));
        }
        tame(&mut self.name);
        self.findings.truncate(MOST_FINDINGS);
        for finding in &mut self.findings {
            tame(&mut finding.what);
            finding.hint.as_mut().into_iter().for_each(tame);
        }
        Ok(self)
    }
}

/// Takes what a terminal would obey out of a text, and what is too long of it.
pub(super) fn tame(text: &mut String) {
    let shown = text.chars().map(|c| if c == '\n' { ' ' } else { c }).filter(|c| !c.is_control());
    *text = shown.take(MOST_CHARACTERS).collect();
}

/// Whether an agent has its place.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Seat {
    Taken,
    Refused { why: String },
}

/// What time it is by the coordinator's clock, in nanoseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Time {
    pub(super) day_ns: i64,
}

/// What an agent is to play.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    /// The scenario's file, without its directory.
    pub(super) file: String,
    pub(super) text: String,
    pub(super) hash: String,
    /// The segment, from 1, and how many there are.
    pub(super) segment: u32,
    pub(super) of: u32,
    pub(super) to: Place,
    pub(super) threads: u32,
    pub(super) max_body_bytes: u64,
}

/// Where requests go.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Place {
    /// All to one target.
    Target { url: String },
    /// To a stack on the agent's own machine: address and host's name of each entry, by traffic.
    Stack { entries: Vec<Vec<(std::net::SocketAddr, String)>> },
}

/// What the coordinator says to all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Call {
    /// That it is there.
    Beat,
    /// When the run begins, by its clock, in nanoseconds since 1970.
    Start { at_ns: i64 },
    /// That there is no run, or no more of it.
    Stop,
}

/// What an agent says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Word {
    /// That it is there.
    Alive,
    /// How far its clock is ahead of the coordinator's, and how far that may be off, in seconds.
    Clock { offset_s: f64, error_s: f64 },
    /// That it will play what it was told to, of which the hash is this.
    Accepted { hash: String },
    /// That it will not.
    Refused { why: String },
    /// What it recorded since it said so last.
    Second { piece: Box<Piece>, pulse: Beats, start_skew_s: f64 },
    /// That it has told everything.
    Done {
        status: Status,
        reasons: Vec<String>,
        requests: u64,
        send_lag_p99_s: Option<f64>,
        cpu_cores: Option<f64>,
    },
    /// That it plays nothing.
    Failed { why: String },
}

/// How an agent's threads stand: [`Pulse`].
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Beats {
    planned: u64,
    ok: u64,
    failed: u64,
    retries: u64,
    under_way: u64,
    queue: u64,
    connections: u64,
    wakeup_lag_nanos: u64,
    delayed_nanos: u64,
}

impl From<Pulse> for Beats {
    fn from(pulse: Pulse) -> Self {
        Self {
            planned: pulse.planned,
            ok: pulse.ok,
            failed: pulse.failed,
            retries: pulse.retries,
            under_way: pulse.under_way,
            queue: pulse.queue,
            connections: pulse.connections,
            wakeup_lag_nanos: pulse.wakeup_lag_nanos,
            delayed_nanos: pulse.delayed_nanos,
        }
    }
}

impl From<Beats> for Pulse {
    fn from(beats: Beats) -> Self {
        Self {
            planned: beats.planned,
            ok: beats.ok,
            failed: beats.failed,
            retries: beats.retries,
            under_way: beats.under_way,
            queue: beats.queue,
            connections: beats.connections,
            wakeup_lag_nanos: beats.wakeup_lag_nanos,
            delayed_nanos: beats.delayed_nanos,
        }
    }
}

impl From<Ending> for Word {
    fn from(ending: Ending) -> Self {
        let Ending { status, reasons, requests, send_lag_p99_s, cpu_cores } = ending;
        Self::Done { status, reasons, requests, send_lag_p99_s, cpu_cores }
    }
}

impl From<Word> for Gathered {
    fn from(word: Word) -> Self {
        match word {
            Word::Alive | Word::Clock { .. } | Word::Accepted { .. } => Self::Alive,
            Word::Refused { mut why } | Word::Failed { mut why } => {
                tame(&mut why);
                Self::Failed(why)
            }
            Word::Second { piece, pulse, start_skew_s } => {
                Self::Second { piece, pulse: pulse.into(), start_skew_s }
            }
            Word::Done { status, mut reasons, requests, send_lag_p99_s, cpu_cores } => {
                reasons.truncate(MOST_FINDINGS);
                reasons.iter_mut().for_each(tame);
                Self::Done(Ending { status, reasons, requests, send_lag_p99_s, cpu_cores })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_says_what_a_message_is() {
        let subjects = Subjects::of("4711");
        assert_eq!(subjects.read(&subjects.join()), Some(To::Join));
        assert_eq!(subjects.read(&subjects.clock()), Some(To::Clock));
        assert_eq!(subjects.read(&subjects.told("a1")), Some(To::Told("a1")));
        assert_eq!(subjects.read(&subjects.all()), None);
        assert_eq!(subjects.read(&Subjects::of("4712").join()), None);
    }

    #[test]
    fn names_are_unique_tokens() {
        let (one, two) = (unique(), unique());
        assert_ne!(one, two);
        assert!(fleet::is_token(&one) && one.len() == 16, "{one}");
    }

    #[test]
    fn what_an_agent_says_of_itself_is_fit_for_a_terminal() {
        let join = |id: &str, version| Join {
            version,
            id: id.to_owned(),
            name: "web\u{1b}[2J1".to_owned() + &"x".repeat(1_000),
            cores: 4,
            findings: vec![
                Finding { good: false, what: "a\nb".to_owned(), hint: Some("c\rd".to_owned()) };
                100
            ],
        };
        let tamed = join("a1", VERSION).tamed().expect("it may take part");
        assert!(tamed.name.starts_with("web[2J1x") && tamed.name.len() == MOST_CHARACTERS, "{}", tamed.name);
        assert_eq!(tamed.findings.len(), MOST_FINDINGS);
        assert_eq!((tamed.findings[0].what.as_str(), tamed.findings[0].hint.as_deref()), ("a b", Some("cd")));
        assert!(join("a.b", VERSION).tamed().is_err());
        let refused = join("a1", VERSION + 1).tamed().expect_err("of another version");
        assert!(refused.contains("expected 2"), "{refused}");
    }

    #[test]
    fn messages_are_short_json() {
        let text = |call: Call| serde_json::to_string(&call).expect("JSON");
        assert_eq!(text(Call::Beat), "\"beat\"");
        assert_eq!(text(Call::Start { at_ns: 7 }), "{\"start\":{\"at_ns\":7}}");
    }
}
