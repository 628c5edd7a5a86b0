//! Who asks, and how fast.

use super::Validator;
use super::rate::CurveShape;
use crate::law::DurationLaw;
use crate::rate::RateCurve;
use crate::scenario::{
    Arrivals, Burst, ClassId, Component, ComponentId, ComponentKind, Executor, Iterations, Keyspace,
    KeyspaceId, LoopEngine, RequestClass, Reuse, Run, Session, SessionRecord, SessionState, Traffic, Users,
};
use crate::units::{Ratio, SimTime};
use crate::wire::decode::{Count, Named, Share};
use crate::wire::{self, Open};

/// A request's id has six bits for its traffic.
const TRAFFIC_LIMIT: usize = 64;
/// No burst lasts longer, so that it ends in the next slice of the plan.
const BURST_LIMIT: SimTime = SimTime::from_secs(1800);
/// Arrivals in the length of a burst at the peak: they are in memory at once.
const BURST_REQUESTS_LIMIT: f64 = 1e6;
/// Requests of a user over all visits, on average: a session has at most 1024.
const SESSION_LIMIT: f64 = 200.0;
/// A closed loop's users have at most this many requests a second between them, were answers instant.
const USERS_RATE_LIMIT: f64 = 1e7;

/// Requests at once on a connection of HTTP/2, where nothing else is said: the least that RFC 9113, section 6.5.2, advises
/// servers to allow.
const STREAMS: u32 = 100;

/// What the validation of traffic needs to know of the rest.
pub(super) struct Around<'a> {
    pub(super) run: &'a Run,
    pub(super) components: &'a [Component],
    pub(super) keyspaces: &'a [Keyspace],
    pub(super) requests: &'a [RequestClass],
}

/// What an executor makes of a traffic, but for what all have.
struct Made {
    executor: Executor,
    arrivals: Arrivals,
    rate: RateCurve,
    mix: Vec<(ClassId, Ratio)>,
    connections: u32,
    max_in_flight: u32,
}

impl Validator<'_> {
    pub(super) fn traffic(&mut self, around: &Around<'_>) -> Vec<Traffic> {
        let curves = self.curves();
        let files: Vec<(String, wire::Traffic)> =
            self.file.traffic.iter().flat_map(|t| &t.0).cloned().collect();
        if self.file.traffic.is_some() && !(1..=TRAFFIC_LIMIT).contains(&files.len()) {
            self.problem("traffic", format!("from 1 to {TRAFFIC_LIMIT} kinds of traffic"), None);
        }
        let mut all = Vec::new();
        for (name, file) in &files {
            let at = format!("traffic.{name}");
            let to_at = format!("{at}.to");
            let to = file.common.to.as_ref().and_then(|to| self.resolve(|v| &v.components, &to_at, to));
            if let Some(to) = to {
                self.entry(&to_at, to, around.components);
                self.never_scaled(&to_at, &around.components[usize::from(to)].kind);
            }
            let timeout = self.positive(&format!("{at}.timeout"), file.common.timeout);
            let Some(kind) = &file.kind else { continue };
            let Some(made) = self.executor(&at, kind, around, &curves) else { continue };
            if file.common.reuse == Reuse::Session && !matches!(made.executor, Executor::Sessions(_)) {
                let hint = Some("add session = { requests = 5, think = \"2s\" }".to_owned());
                self.problem(&format!("{at}.reuse"), "no \"session\" where traffic has none", hint);
            }
            if let Some(service) = to.and_then(|to| self.served_by(to, around.components)) {
                for (class, _) in &made.mix {
                    self.no_cycle_of_calls(*class, service, around.components, around.requests);
                }
            }
            all.push(Traffic {
                name: name.clone(),
                to: ComponentId(to.unwrap_or(0)),
                executor: made.executor,
                arrivals: made.arrivals,
                rate: made.rate,
                mix: made.mix,
                connections: made.connections,
                max_in_flight: made.max_in_flight,
                timeout,
                reuse: file.common.reuse,
                max_connection_age: (file.common.max_connection_age)
                    .map(|age| self.positive(&format!("{at}.max_connection_age"), age)),
                connect_timeout: (file.common.connect_timeout)
                    .map(|limit| self.positive(&format!("{at}.connect_timeout"), limit)),
                http2_streams: self.streams(&at, &file.common, kind),
                retries: file.common.retries.as_ref().map(|r| self.retries(&format!("{at}.retries"), r)),
            });
        }
        all
    }

    /// Requests at once on a connection of HTTP/2.
    fn streams(&mut self, at: &str, common: &wire::TrafficCommon, kind: &wire::Executor) -> Option<u32> {
        let closed = matches!(
            kind,
            wire::Executor::ConstantUsers(_)
                | wire::Executor::RampingUsers(_)
                | wire::Executor::IterationsEach(_)
                | wire::Executor::IterationsShared(_)
        );
        if common.streams.is_some() && (closed || !common.http2) {
            let expected = "no streams without http2 = true and an executor with a rate";
            self.problem(&format!("{at}.streams"), expected, None);
        }
        let streams = common.streams.map_or(STREAMS, |Count(streams)| streams as u32);
        common.http2.then_some(if closed { 1 } else { streams })
    }

    fn executor(
        &mut self,
        at: &str,
        kind: &wire::Executor,
        around: &Around<'_>,
        curves: &[(String, Option<CurveShape>)],
    ) -> Option<Made> {
        let users = |count: &Option<wire::Some1M>| count.map(|Count(n)| n as u32);
        match kind {
            wire::Executor::Constant(c) => {
                let mix = self.mix(at, c.mix.as_ref());
                let rate = c.rate.map(|rate| RateCurve::constant(rate.as_per_second()));
                self.open(at, &format!("{at}.rate"), rate, &c.open(), mix, around)
            }
            wire::Executor::Ramping(r) => {
                let mix = self.mix(at, r.mix.as_ref());
                let stages = r.stages.iter().flat_map(|s| &s.0);
                let stages = stages.map(|(i, s)| (*i, s.length, s.to.map(|to| to.as_per_second()))).collect();
                let corners = self.ramps(at, r.start_rate.map_or(1.0, |r| r.as_per_second()), stages);
                let rate = r.start_rate.map(|_| RateCurve::ramps(corners));
                self.open(at, &format!("{at}.start_rate"), rate, &r.open(), mix, around)
            }
            wire::Executor::Curve(c) => {
                let mix = self.mix(at, c.mix.as_ref());
                let rate = self.curve_rate(at, c, curves);
                self.open(at, &format!("{at}.expected"), rate, &c.open(), mix, around)
            }
            wire::Executor::Replay(r) => {
                let replay = self.replay(at, r, around)?;
                let mix = replay.trace.shares(around.requests.len());
                Some(Made {
                    rate: RateCurve::ramps(replay.trace.rate()),
                    executor: Executor::Replay(replay),
                    arrivals: Arrivals::Uniform,
                    mix: mix.into_iter().map(|(class, share)| (class, Ratio::new(share))).collect(),
                    connections: r.connections.0 as u32,
                    max_in_flight: r.max_in_flight.0 as u32,
                })
            }
            wire::Executor::ConstantUsers(u) => {
                let level = users(&u.vus).map(|n| RateCurve::constant(f64::from(n)));
                self.closed(at, level, u.think, u.mix.as_ref(), (Iterations::Unlimited, u.engine))
            }
            wire::Executor::RampingUsers(u) => {
                let stages = u.stages.iter().flat_map(|s| &s.0);
                let stages = stages.map(|(i, s)| (*i, s.length, s.to.map(|Count(n)| n as f64))).collect();
                let level = RateCurve::ramps(self.ramps(at, u.start_vus.0 as f64, stages));
                if level.peak() < 1.0 {
                    self.problem(&format!("{at}.stages"), "at least one user somewhere", None);
                }
                self.closed(at, Some(level), u.think, u.mix.as_ref(), (Iterations::Unlimited, u.engine))
            }
            wire::Executor::IterationsEach(u) => {
                let level = users(&u.vus).map(|n| RateCurve::constant(f64::from(n)));
                let iterations = u.iterations.map_or(Iterations::Unlimited, |Count(n)| Iterations::Each(n));
                self.closed(at, level, u.think, u.mix.as_ref(), (iterations, u.engine))
            }
            wire::Executor::IterationsShared(u) => {
                let level = users(&u.vus).map(|n| RateCurve::constant(f64::from(n)));
                let iterations = u.iterations.map_or(Iterations::Unlimited, |Count(n)| Iterations::Shared(n));
                self.closed(at, level, u.think, u.mix.as_ref(), (iterations, u.engine))
            }
        }
    }

    /// A traffic with a rate of arrivals.
    fn open(
        &mut self,
        at: &str,
        rate_at: &str,
        rate: Option<RateCurve>,
        open: &Open,
        mix: Vec<(ClassId, Ratio)>,
        around: &Around<'_>,
    ) -> Option<Made> {
        let modulation = self.modulation(at, open, around.run);
        let session_at = format!("{at}.session");
        let session =
            open.session.as_ref().map(|session| self.session(&session_at, session, around.components));
        let rate = self.modulated(rate_at, &rate?, &modulation, open.session.is_some(), around.run);
        let arrivals = self.arrivals(at, open, &rate);
        Some(Made {
            executor: match session {
                None => Executor::Requests,
                Some(session) => Executor::Sessions(session?),
            },
            arrivals,
            rate,
            mix,
            connections: open.connections.0 as u32,
            max_in_flight: open.max_in_flight.0 as u32,
        })
    }

    fn arrivals(&mut self, at: &str, open: &Open, rate: &RateCurve) -> Arrivals {
        let burst_at = format!("{at}.burst");
        match (open.arrivals, &open.burst) {
            (wire::Arrivals::Bursty, None) => {
                let hint = Some("add burst = { size = 20, within = \"2s\" }".to_owned());
                // Where the burst is there and did not decode, its own problem is enough.
                if self.d.locations.get(&burst_at).is_none() {
                    self.d.problem(
                        &burst_at,
                        "nothing",
                        "the key \"burst\" with arrivals = \"bursty\"",
                        hint,
                    );
                }
            }
            (wire::Arrivals::Poisson | wire::Arrivals::Uniform, Some(_)) => {
                let hint = Some("write arrivals = \"bursty\"".to_owned());
                self.problem(&burst_at, "no burst without arrivals = \"bursty\"", hint);
            }
            (wire::Arrivals::Bursty, Some(burst)) => {
                if let (Some(Count(size)), Some(within)) = (burst.size, burst.within) {
                    let within_at = format!("{burst_at}.within");
                    self.positive(&within_at, within);
                    if within > BURST_LIMIT
                        || rate.nominal_peak() * within.as_secs_f64() > BURST_REQUESTS_LIMIT
                    {
                        self.problem(
                            &within_at,
                            "at most 30m, and time for at most a million arrivals",
                            None,
                        );
                    }
                    return Arrivals::Bursty(Burst { size: size as u32, within });
                }
            }
            (wire::Arrivals::Uniform, None) => return Arrivals::Uniform,
            (wire::Arrivals::Poisson, None) => {}
        }
        Arrivals::Poisson
    }

    fn session(&mut self, at: &str, file: &wire::Session, components: &[Component]) -> Option<Session> {
        let chance = |v: &mut Self, at: &str, ratio: Ratio, limit: f64, most: &str| {
            if ratio.get() > limit {
                v.problem(at, format!("at most {most}"), None);
            }
            ratio
        };
        let returns = file.returns.as_ref();
        let share = returns.and_then(|r| r.share).unwrap_or(Ratio::new(0.0));
        let share = chance(self, &format!("{at}.returns.share"), share, 0.95, "95%");
        let address_change = chance(self, &format!("{at}.address_change"), file.address_change, 1.0, "100%");
        let state = self.session_state(&format!("{at}.state"), &file.state, components);
        if !file.cookies && file.state.needs_cookies() {
            let hint = Some("leave cookies out, or write state = \"stateless\"".to_owned());
            self.problem(&format!("{at}.state"), "a session that is found again by its cookie", hint);
        }
        let session = Session {
            requests: file.requests?,
            think: file.think?,
            returns: share,
            returns_after: returns.and_then(|r| r.after).unwrap_or(DurationLaw::ZERO),
            address_change,
            cookies: file.cookies,
            state: state?,
        };
        if session.mean_requests() > SESSION_LIMIT {
            let expected = format!("at most {SESSION_LIMIT} requests of a user on average, over all visits");
            self.problem(&format!("{at}.requests"), expected, None);
        }
        Some(session)
    }

    fn session_state(
        &mut self,
        at: &str,
        file: &wire::SessionState,
        components: &[Component],
    ) -> Option<SessionState> {
        let record = match file {
            wire::SessionState::Word(wire::StateWord::Stateless) => return Some(SessionState::Stateless),
            wire::SessionState::Word(wire::StateWord::Instance) => return Some(SessionState::Instance),
            wire::SessionState::Word(wire::StateWord::Files) => return Some(SessionState::Files),
            wire::SessionState::Record(record) => record,
        };
        let in_at = format!("{at}.in");
        let database = match &record.database {
            None => None,
            Some(name) => {
                let database = self.resolve(|v| &v.components, &in_at, name)?;
                self.expect_kind(&in_at, database, components, "an sql-store", |kind| {
                    matches!(kind, ComponentKind::SqlStore(_))
                });
                Some(ComponentId(database))
            }
        };
        let keyspace = record.keyspace.as_ref();
        let keyspace = self.resolve(|v| &v.keyspaces, &format!("{at}.keyspace"), keyspace?)?;
        // A keyspace that is a table has the session as a row, without more words.
        let database = database.or_else(|| self.table_of(KeyspaceId(keyspace), components));
        Some(SessionState::Record(SessionRecord { database, keyspace: KeyspaceId(keyspace) }))
    }

    fn closed(
        &mut self,
        at: &str,
        level: Option<RateCurve>,
        think: Option<DurationLaw>,
        mix: Option<&Named<Share>>,
        (iterations, engine): (Iterations, LoopEngine),
    ) -> Option<Made> {
        let mix = self.mix(at, mix);
        let (level, think) = (level?, think?);
        let seconds = think.mean().as_secs_f64();
        if seconds > 0.0 && level.peak() / seconds > USERS_RATE_LIMIT {
            let expected = "a think time with which all users ask at most 10_000_000 times a second";
            self.problem(&format!("{at}.think"), expected, None);
        }
        let users = level.peak().round() as u32;
        Some(Made {
            executor: Executor::Users(Users { level, think, iterations, engine }),
            arrivals: Arrivals::Poisson,
            rate: RateCurve::constant(0.0),
            mix,
            connections: users,
            max_in_flight: users,
        })
    }

    fn mix(&mut self, at: &str, shares: Option<&Named<Share>>) -> Vec<(ClassId, Ratio)> {
        let Some(shares) = shares else { return Vec::new() };
        let sum: f64 = shares.0.iter().map(|(_, share)| share.0).sum();
        if sum <= 0.0 {
            let hint = Some("write mix = { product = 1 }".to_owned());
            self.problem(&format!("{at}.mix"), "at least one class with a share above zero", hint);
        }
        let mut mix = Vec::new();
        for (class, share) in &shares.0 {
            let found = self.resolve_key(|v| &v.classes, &format!("{at}.mix.{class}"), class);
            if let Some(class) = found.filter(|_| share.0 > 0.0) {
                mix.push((ClassId(class), Ratio::new(share.0 / sum)));
            }
        }
        mix
    }
}
