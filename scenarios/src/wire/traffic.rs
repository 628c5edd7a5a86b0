//! Sources of requests, as written.

use crate::law::{CountLaw, DurationLaw};
use crate::logs::Unmatched;
use crate::rate::Growth;
use crate::scenario::{LoopEngine, Origin, Reuse};
use crate::units::{Rate, Ratio, SimTime};

use super::policy::Retries;
use super::prelude::*;

tagged! {
    /// A source of requests.
    Traffic: TrafficCommon, "executor" => Executor {
        "constant-arrival-rate" => Constant,
        "ramping-arrival-rate" => Ramping,
        "curve-arrival-rate" => Curve,
        "replay" => Replay,
        "constant-vus" => ConstantUsers,
        "ramping-vus" => RampingUsers,
        "per-vu-iterations" => IterationsEach,
        "shared-iterations" => IterationsShared,
    }
}

impl Traffic {
    /// Whether answers decide when its next requests are due.
    pub(crate) fn is_closed_loop(&self) -> bool {
        use Executor::{ConstantUsers, IterationsEach, IterationsShared, RampingUsers};
        matches!(
            self.kind,
            Some(ConstantUsers(_) | RampingUsers(_) | IterationsEach(_) | IterationsShared(_))
        )
    }
}

table! {
    /// What every traffic has.
    TrafficCommon {
        /// The component that requests meet first.
        required to: String,
        /// How long after it was sent a client gives a request up.
        default timeout: SimTime = SimTime::from_secs(10),
        /// How users press reload: what failed, or was given up, is sent again. Response time runs from the first due time.
        optional retries: Retries,
        /// Whether connections carry one request after another, or every request or every visit of a session opens one of its own.
        default reuse: Reuse = Reuse::Always,
        /// How old a connection may become; it is then closed after the answer under way, and another opened.
        optional max_connection_age: SimTime,
        /// How long a connection may take to open; without it a request waits for as long as its timeout.
        optional connect_timeout: SimTime,
        /// Whether clients speak HTTP/2: over TLS as agreed there (ALPN), else with prior knowledge. Several requests then share
        /// a connection.
        default http2: bool = false,
        /// Requests at once on each connection of HTTP/2; without it 100. A user of a closed loop makes one at a time.
        optional streams: Count<1, 1000>,
    }
}

/// Declares an executor at whose rate requests arrive, whatever becomes of those before.
macro_rules! open {
    ($(#[doc = $about:literal])* $name:ident { $($own:tt)* }) => {
        table! {
            $(#[doc = $about])*
            $name {
                $($own)*
                /// The classes of request and their shares, in any unit.
                required mix: Named<Share>,
                /// How arrivals are spread within the rate.
                default arrivals: Arrivals = Arrivals::Poisson,
                /// The bursts of `arrivals = "bursty"`.
                optional burst: Burst,
                /// Crowds that come at once.
                default flash: List<Flash> = List::default(),
                /// Growth from the timeline's zero on, compounding: `2%/week`.
                optional growth: Growth,
                /// Makes each arrival a user who walks through a session; the rate is then one of sessions.
                optional session: Session,
                /// Connections that the clients keep; a due request that finds none free waits for one.
                default connections: Some1M = Count(100),
                /// Requests under way and waiting at once, above which a due request is dropped and counts as failed.
                default max_in_flight: Some1M = Count(10_000),
            }
        }

        impl $name {
            pub(crate) fn open(&self) -> Open {
                Open {
                    arrivals: self.arrivals,
                    burst: self.burst.clone(),
                    flash: self.flash.clone(),
                    growth: self.growth,
                    session: self.session.clone(),
                    connections: self.connections,
                    max_in_flight: self.max_in_flight,
                }
            }
        }
    };
}

/// What all executors with a rate of arrivals share.
#[derive(Clone, Debug)]
pub(crate) struct Open {
    pub(crate) arrivals: Arrivals,
    pub(crate) burst: Option<Burst>,
    pub(crate) flash: List<Flash>,
    pub(crate) growth: Option<Growth>,
    pub(crate) session: Option<Session>,
    pub(crate) connections: Some1M,
    pub(crate) max_in_flight: Some1M,
}

open! {
    /// The same rate always.
    Constant {
        /// Arrivals per time.
        required rate: Rate,
    }
}

open! {
    /// Straight lines between rates, from the timeline's zero; constant before the first and after the last.
    Ramping {
        /// The rate at the timeline's zero.
        required start_rate: Rate,
        /// What follows.
        required stages: List<Stage>,
    }
}

open! {
    /// A named curve that repeats.
    Curve {
        /// Arrivals expected per period of the curve, flash crowds and growth apart.
        required expected: Count<1, 6_000_000_000_000>,
        /// The curve's name: `retail-week`, `retail-day`, or one of the file's own `curves`.
        required curve: String,
    }
}

table! {
    /// A straight line to a rate.
    Stage {
        /// How long it takes.
        required length("for"): SimTime,
        /// The rate at its end.
        required to: Rate,
    }
}

/// How arrivals are spread, as a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrivals {
    Poisson,
    Uniform,
    Bursty,
}

words!(Arrivals { "poisson" => Poisson, "uniform" => Uniform, "bursty" => Bursty });

table! {
    /// Arrivals that come in bursts.
    Burst {
        /// Arrivals in each burst. Counted over spans much longer than a burst, the variance of the number of arrivals is
        /// this many times its mean (the index of dispersion; a Poisson process has 1).
        required size: Count<2, 1000>,
        /// The time over which a burst spreads.
        required within: SimTime,
    }
}

table! {
    /// A crowd that comes at once: a straight rise, a while at the top, a straight fall.
    Flash {
        /// When the rise starts, on the timeline.
        required at: SimTime,
        /// How long the rise takes.
        default rise: SimTime = SimTime::from_secs(60),
        /// How long the rate stays up.
        required hold: SimTime,
        /// How long the fall takes.
        default fall: SimTime = SimTime::from_secs(600),
        /// The rate at the top, as a multiple of what it would be.
        required times: Share,
    }
}

table! {
    /// A user's walk: request, answer, pause, request.
    Session {
        /// How many requests a visit has: a number, or `geometric(mean=6)`.
        required requests: CountLaw,
        /// The pause between an answer and the next request.
        required think: DurationLaw,
        /// Users who come back after a visit, and when; without it nobody does.
        optional returns: Returns,
        /// The chance that a user's network address has changed since the request before.
        default address_change: Ratio = Ratio::new(0.0),
        /// Whether the users' clients send cookies back, such as a balancer's sticky one.
        default cookies: bool = true,
        /// Where the session's state is kept: in the memory of the service instance that began it (`instance`), in files of its
        /// machine (`files`), in a record (`{ keyspace = "sessions" }`), or nowhere that can be lost (`stateless`).
        default state: SessionState = SessionState::STATELESS,
    }
}

words!(LoopEngine { "rehearsal" => Rehearsal, "goose" => Goose });
words!(Reuse { "always" => Always, "never" => Never, "session" => Session });
table! {
    /// A record for each session: it is read before a request's steps, and written after them.
    SessionRecord {
        /// The SQL store that has it as a row of the keyspace's table; without it, the keyspace's own store has it as a key.
        /// Where the SQL store has a `lock_wait`, the row is locked while a request of the session is worked on.
        optional database("in"): String,
        /// The keyspace whose keys are the sessions.
        required keyspace: String,
    }
}

/// Where a session's state is kept.
#[derive(Clone, Debug)]
pub(crate) enum SessionState {
    Word(StateWord),
    Record(SessionRecord),
}

/// A place that has no name in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateWord {
    Stateless,
    Instance,
    Files,
}

words!(StateWord { "stateless" => Stateless, "instance" => Instance, "files" => Files });

impl SessionState {
    const STATELESS: Self = Self::Word(StateWord::Stateless);

    /// Whether it is found again by a cookie.
    pub(crate) fn needs_cookies(&self) -> bool {
        !matches!(self, Self::Word(StateWord::Stateless))
    }
}

impl Decode for SessionState {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        if node.get_ref().is_table() {
            SessionRecord::decode(node, at, d).map(Self::Record)
        } else {
            StateWord::decode(node, at, d).map(Self::Word)
        }
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        serde_json::json!({ "anyOf": [StateWord::schema(definitions), SessionRecord::schema(definitions)] })
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Word(word) => word.to_json(),
            Self::Record(_) => serde_json::Value::Null,
        }
    }
}

table! {
    /// Users who come back.
    Returns {
        /// The chance after each visit.
        required share: Ratio,
        /// How long after the visit's last answer.
        required after: DurationLaw,
    }
}

table! {
    /// Requests from a recorded file, at the file's times.
    Replay {
        /// A file, relative to the scenario's.
        required file: String,
        /// What it is: `csv` with a header of `time_s` (or `time_ms`, `time_us`), `class` and perhaps `key`, in order of
        /// time; `jsonl` with the same keys in an object per line, or `method` and `path` instead of `class`; `access-log`
        /// in the Common or Combined log format; `har`. Methods and paths are held against those of the request classes.
        default format: ReplayFormat = ReplayFormat::Csv,
        /// What becomes of requests whose method and path no class has: `refuse` the file, or `skip` them, and with them lines of
        /// a log that cannot be read.
        default unmatched: Unmatched = Unmatched::Refuse,
        /// How many times as fast as recorded.
        default speed: Share = Share(1.0),
        /// What falls on the timeline's zero: the file's `first-row`, or the `file`'s own zero.
        default origin: Origin = Origin::FirstRow,
        /// The share of the rows that is kept, drawn by the seed.
        default share: Ratio = Ratio::new(1.0),
        /// Connections that the clients keep; a due request that finds none free waits for one.
        default connections: Some1M = Count(100),
        /// Requests under way and waiting at once, above which a due request is dropped and counts as failed.
        default max_in_flight: Some1M = Count(10_000),
    }
}

/// What a recorded file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplayFormat {
    Csv,
    JsonLines,
    AccessLog,
    Har,
}

words!(ReplayFormat { "csv" => Csv, "jsonl" => JsonLines, "access-log" => AccessLog, "har" => Har });
words!(Unmatched { "refuse" => Refuse, "skip" => Skip });
words!(Origin { "first-row" => FirstRow, "file" => File });

/// Declares an executor whose users each think, ask, wait for the answer, and think again.
macro_rules! closed {
    ($(#[doc = $about:literal])* $name:ident { $($own:tt)* }) => {
        table! {
            $(#[doc = $about])*
            $name {
                $($own)*
                /// Which load generator plays it: this project's own, or `goose`, embedded in a build with that feature.
                default engine: LoopEngine = LoopEngine::Rehearsal,
                /// How long a user thinks before each request.
                required think: DurationLaw,
                /// The classes of request and their shares, in any unit.
                required mix: Named<Share>,
            }
        }
    };
}

closed! {
    /// A closed loop: always as many users, each with a connection of its own.
    ConstantUsers {
        /// The users.
        required vus: Some1M,
    }
}

closed! {
    /// A closed loop whose number of users follows straight lines, from the timeline's zero; constant before the first and
    /// after the last. A user whose time is over still waits for the answer under way.
    RampingUsers {
        /// The users at the timeline's zero.
        default start_vus: Count<0, 1_000_000> = Count(1),
        /// What follows.
        required stages: List<UserStage>,
    }
}

table! {
    /// A straight line to a number of users.
    UserStage {
        /// How long it takes.
        required length("for"): SimTime,
        /// The users at its end.
        required to: Count<0, 1_000_000>,
    }
}

closed! {
    /// A closed loop whose users each make so many requests.
    IterationsEach {
        /// The users.
        required vus: Some1M,
        /// Requests of each user.
        required iterations: Count<1, 1_000_000_000_000>,
    }
}

closed! {
    /// A closed loop whose users make so many requests together: whoever is free makes the next.
    IterationsShared {
        /// The users.
        required vus: Some1M,
        /// Requests of all users together.
        required iterations: Count<1, 1_000_000_000_000>,
    }
}

impl Decode for CountLaw {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        if let toml::de::DeValue::String(text) = node.get_ref() {
            return d.read(text, at, str::parse::<Self>);
        }
        Count::<1, 1024>::decode(node, at, d).map(|Count(count)| Self::Constant(count as u32))
    }

    fn schema(_: &mut Definitions) -> serde_json::Value {
        let law = serde_json::json!({ "type": "string", "pattern": r"^\s*geometric\(.*\)\s*$", "examples": ["geometric(mean=6)"] });
        serde_json::json!({ "anyOf": [Count::<1, 1024>::schema(&mut Definitions::new()), law] })
    }
}

quantities! {
    Growth: r"^\s*[0-9][0-9_.]*\s*%\s*/\s*(day|week|month|year)\s*$", "2%/week";
}
