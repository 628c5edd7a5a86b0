//! A window of a scenario at a reduced rate, as a scenario of its own.
//!
//! Traffic, keyspaces, memory and cores scale together, so that what was crowded stays crowded. The text is edited in
//! place: comments stay, and whatever is not scaled reads as before. Nothing refers to the original, so the result runs
//! anywhere.

use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::diagnostic::Diagnostics;
use crate::quantity::selector::{Condition, Selector};
use crate::scenario::{ComponentKind, Executor, Sampling, Scenario};
use crate::threshold::{Aggregate, Comparison, Metric};
use crate::units::{Bandwidth, Bytes, Rate, Ratio, SimTime};

/// The shortest warm-up that a window keeps of a longer one.
const WARMUP: SimTime = SimTime::from_secs(2);
/// A rounding that changes a capacity by more than this share is reported.
const NOTABLE: f64 = 0.01;

/// A derived scenario.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Derived {
    /// The scenario file, complete.
    pub text: String,
    /// What it does not keep of the original; also in comments at the top of the text.
    pub warnings: Vec<String>,
}

/// Why there is no such window.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The window does not lie in the run.
    #[error("the window from {from} for {length} does not lie in the run, which lasts from {start} to {end}")]
    Outside {
        /// Where the window would start.
        from: SimTime,
        /// How long it would be.
        length: SimTime,
        /// Where the run starts on the timeline.
        start: SimTime,
        /// Where it ends.
        end: SimTime,
    },
    /// The ratio is zero.
    #[error("a rate of {0} leaves no traffic")]
    NoTraffic(Ratio),
    /// The seed is above what TOML holds.
    #[error("the seed {0} is above {max}", max = i64::MAX)]
    Seed(u64),
    /// The derived text is no scenario.
    #[error("the derived scenario is not valid:\n{0}")]
    Invalid(Diagnostics),
}

/// Derives the window of `length` from `from` on the timeline, with all loads and capacities times `rate`, and `seed`.
/// Whatever is `None` stays as it is. The traffic keeps its timeline: a window of a ramp is that part of the ramp.
///
/// # Errors
/// Where the window is not in the run, nothing is left of the traffic, or the result breaks a rule of scenarios.
///
/// ```
/// use scenarios::{Scenario, derive};
/// let whole = Scenario::parse("quickstart.toml", scenarios::library::QUICKSTART).expect("it is tested");
/// let part = derive::window(&whole, None, Some("10s".parse().expect("a duration")), None, None).expect("it lies in the run");
/// let part = Scenario::parse("part.toml", part.text).expect("a derived scenario is an ordinary one");
/// assert_eq!(part.run.duration.to_string(), "10s");
/// ```
pub fn window(
    scenario: &Scenario,
    from: Option<SimTime>,
    length: Option<SimTime>,
    rate: Option<Ratio>,
    seed: Option<u64>,
) -> Result<Derived, Error> {
    let mut document = document(scenario);
    let mut notes = Vec::new();
    let run = &scenario.run;
    if from.is_some() || length.is_some() {
        let (start, end) = (run.from, run.from + run.duration);
        let from = from.unwrap_or(start);
        let length = length.unwrap_or(end.saturating_sub(from));
        if from < start || length == SimTime::ZERO || from.saturating_add(length) > end {
            return Err(Error::Outside { from, length, start, end });
        }
        let warmup = run.warmup.min(SimTime::from_nanos(length.as_nanos() / 2).max(WARMUP));
        let table = child(document.as_table_mut(), "run");
        set(table, "from", from.to_string());
        set(table, "duration", length.to_string());
        if !run.finds_warmup {
            set(table, "warmup", warmup.to_string());
        }
        if warmup < run.warmup {
            notes.push(format!("run.warmup: {} cut to {warmup}", run.warmup));
        }
    }
    if let Some(seed) = seed {
        let seed = i64::try_from(seed).map_err(|_| Error::Seed(seed))?;
        set(child(document.as_table_mut(), "run"), "seed", seed);
    }
    if let Some(rate) = rate.filter(|r| r.get() != 1.0) {
        if rate.get() <= 0.0 {
            return Err(Error::NoTraffic(rate));
        }
        Scaling { scenario, factor: rate.get(), notes: &mut notes }.all(&mut document);
    }
    for traffic in &scenario.traffic {
        if let Executor::Replay(replay) = &traffic.executor {
            // The derived scenario may be put anywhere.
            let file = std::path::absolute(&replay.file).unwrap_or_else(|_| replay.file.clone());
            let table = child(child(document.as_table_mut(), "traffic"), &traffic.name);
            set(table, "file", file.to_string_lossy().into_owned());
        }
    }
    let text = with_header(scenario, &document.to_string(), from, length, rate, seed, &notes);
    match Scenario::parse("derived.toml", text.as_str()) {
        Ok(_) => Ok(Derived { text, warnings: notes }),
        Err(problems) => Err(Error::Invalid(problems)),
    }
}

/// The same scenario with another warm-up.
///
/// # Errors
/// Where the result breaks a rule of scenarios.
pub fn with_warmup(scenario: &Scenario, warmup: SimTime) -> Result<Derived, Error> {
    with_run(scenario, "warmup", &warmup.to_string())
}

/// The same scenario with another share of the keys followed.
///
/// # Errors
/// Where the result breaks a rule of scenarios.
pub fn with_sampling(scenario: &Scenario, sampling: Sampling) -> Result<Derived, Error> {
    with_run(scenario, "sampling", &sampling.to_string())
}

/// The same scenario with another value of a key of the run's frame.
fn with_run(scenario: &Scenario, key: &str, value: &str) -> Result<Derived, Error> {
    let mut document = document(scenario);
    set(child(document.as_table_mut(), "run"), key, value);
    let text = document.to_string();
    match Scenario::parse(&scenario.source.path, text.as_str()) {
        Ok(_) => Ok(Derived { text, warnings: Vec::new() }),
        Err(problems) => Err(Error::Invalid(problems)),
    }
}

/// The scenario's file.
fn document(scenario: &Scenario) -> DocumentMut {
    let text = scenario.source.text.trim_start_matches('\u{feff}');
    text.parse().expect("a scenario was read from this text as TOML")
}

/// The same scenario with nothing that breaks, as a file of its own: it has another hash, so nobody takes the one for the
/// other.
///
/// # Errors
/// Where the result breaks a rule of scenarios.
pub fn without_faults(scenario: &Scenario) -> Result<Derived, Error> {
    let mut document = document(scenario);
    let root = document.as_table_mut();
    root.remove("faults");
    let hosts = scenario.hosts.iter().map(|host| ("hosts", &host.name));
    let components = scenario.components.iter().map(|component| ("components", &component.name));
    for (tables, name) in hosts.chain(components) {
        child(child(root, tables), name).remove("breakdowns");
    }
    let notes = vec!["faults: left out".to_owned()];
    let text = with_header(scenario, &document.to_string(), None, None, None, None, &notes);
    match Scenario::parse("derived.toml", text.as_str()) {
        Ok(_) => Ok(Derived { text, warnings: Vec::new() }),
        Err(problems) => Err(Error::Invalid(problems)),
    }
}

/// Says at the top what the text was made from; a schema's relative place would be wrong elsewhere.
fn with_header(
    scenario: &Scenario,
    text: &str,
    from: Option<SimTime>,
    length: Option<SimTime>,
    rate: Option<Ratio>,
    seed: Option<u64>,
    notes: &[String],
) -> String {
    let part = |name: &str, value: Option<String>| value.map(|v| format!(" {name} {v}")).unwrap_or_default();
    let mut header = format!(
        "# Derived from {} (SHA-256 {}):{}{}{}{}.\n",
        scenario.source.path.file_name().unwrap_or_default().to_string_lossy().replace(char::is_control, "?"),
        scenario.source.hash,
        part("from", from.map(|t| t.to_string())),
        part("for", length.map(|t| t.to_string())),
        part("rate", rate.map(|r| r.to_string())),
        part("seed", seed.map(|s| s.to_string())),
    );
    for note in notes {
        header.push_str(&format!("# - {note}\n"));
    }
    let body: Vec<&str> = text.lines().filter(|line| !line.starts_with("#:schema")).collect();
    format!("{header}{}\n", body.join("\n"))
}

/// The table under a key; validation saw to it that there is one where it is asked for.
fn child<'a>(table: &'a mut dyn TableLike, key: &str) -> &'a mut dyn TableLike {
    if !table.contains_key(key) {
        table.insert(key, Item::Table(Table::new()));
    }
    table
        .get_mut(key)
        .and_then(Item::as_table_like_mut)
        .expect("the scenario has a table here: it was validated")
}

/// Sets a value and keeps the comments around it.
fn set(table: &mut dyn TableLike, key: &str, value: impl Into<Value>) {
    let mut value = value.into();
    if let Some(old) = table.get(key).and_then(Item::as_value) {
        *value.decor_mut() = old.decor().clone();
    }
    table.insert(key, Item::Value(value));
}

/// One pass that multiplies everything that scales.
struct Scaling<'a> {
    scenario: &'a Scenario,
    factor: f64,
    notes: &'a mut Vec<String>,
}

impl Scaling<'_> {
    fn all(&mut self, document: &mut DocumentMut) {
        let scenario = self.scenario;
        let root = document.as_table_mut();
        for host in &scenario.hosts {
            let table = child(child(root, "hosts"), &host.name);
            let cores = self.capacity(&format!("hosts.{}.cores", host.name), host.cores);
            // Only services and SQL stores are held up by a lack of cores.
            if !self.works(&host.name) {
                self.notes.retain(|note| !note.starts_with(&format!("hosts.{}.cores:", host.name)));
            }
            set(table, "cores", cores);
            if let Some(memory) = host.memory {
                set(table, "memory", self.bytes(memory));
            }
            if let Some(nic) = host.nic {
                set(table, "nic", self.scaled_bandwidth(nic));
            }
            if host.swap.get() > 0 {
                set(table, "swap", self.bytes(host.swap));
            }
        }
        for component in &scenario.components {
            let table = child(child(root, "components"), &component.name);
            let at = |key| format!("components.{}.{key}", component.name);
            match &component.kind {
                ComponentKind::Service(s) => {
                    let workers = self.capacity(&at("workers"), s.workers);
                    match s.pool {
                        None => set(table, "workers", workers),
                        Some(_) => set(child(table, "workers"), "max", workers),
                    }
                    let backlog = (f64::from(s.backlog) * self.factor).round().min(1e6) as i64;
                    set(table, "backlog", backlog);
                    // Workers scale in number, not in size.
                    if s.memory_base.get() > 0 {
                        set(child(table, "memory"), "base", self.bytes(s.memory_base));
                    }
                }
                ComponentKind::SqlStore(s) => {
                    set(table, "connections", self.capacity(&at("connections"), s.connections))
                }
                ComponentKind::KvStore(s) => {
                    if let Some(limit) = s.max_memory {
                        set(table, "max_memory", self.bytes(limit));
                    }
                }
                ComponentKind::HttpCache(c) => set(table, "memory", self.bytes(c.memory)),
                ComponentKind::LoadBalancer(_) => {
                    for key in ["max_connections", "server_max_connections"] {
                        if let Some(most) = table.get(key).and_then(Item::as_integer) {
                            set(table, key, self.capacity(&at(key), most as u32));
                        }
                    }
                }
                ComponentKind::Cdn(_) => {}
                ComponentKind::Queue(q) => {
                    if let Some(most) = q.max_length {
                        set(table, "max_length", self.capacity(&at("max_length"), most));
                    }
                }
            }
        }
        for job in &scenario.jobs {
            let table = child(child(root, "jobs"), &job.name);
            set(table, "cores", self.demand(&format!("jobs.{}.cores", job.name), job.cores));
            if job.memory.get() > 0 {
                set(table, "memory", self.bytes(job.memory));
            }
        }
        for keyspace in &scenario.keyspaces {
            let table = child(child(root, "keyspaces"), &keyspace.name);
            set(table, "keys", self.count(keyspace.keys).max(1));
            if keyspace.prefill > 0 {
                set(table, "prefill", self.count(keyspace.prefill));
            }
        }
        for traffic in &scenario.traffic {
            let table = child(child(root, "traffic"), &traffic.name);
            self.traffic(table, &traffic.name);
            if matches!(traffic.executor, Executor::Users(_)) {
                continue;
            }
            let in_flight = (f64::from(traffic.max_in_flight) * self.factor).round() as i64;
            let connections = (f64::from(traffic.connections) * self.factor).round().clamp(1.0, 1e6) as i64;
            set(table, "connections", connections);
            set(table, "max_in_flight", in_flight.clamp(1, 1_000_000));
        }
        match root.get_mut("network") {
            Some(Item::ArrayOfTables(all)) => all.iter_mut().for_each(|link| self.bandwidth(link)),
            Some(Item::Value(Value::Array(all))) => {
                all.iter_mut().filter_map(Value::as_inline_table_mut).for_each(|link| self.bandwidth(link));
            }
            _ => {}
        }
        self.thresholds(root);
        self.published(root);
    }

    /// Whether anything on a host takes processor time by the scenario's laws.
    fn works(&self, host: &str) -> bool {
        self.scenario.components.iter().any(|component| {
            self.scenario.host(component.host).name == host
                && matches!(component.kind, ComponentKind::Service(_) | ComponentKind::SqlStore(_))
        })
    }

    fn traffic(&mut self, table: &mut dyn TableLike, name: &str) {
        for key in ["rate", "start_rate"] {
            self.rate(table, key);
        }
        if let Some(expected) = table.get("expected").and_then(Item::as_integer) {
            set(table, "expected", self.count(expected as u64).max(1));
        }
        self.users(table, "vus", &format!("traffic.{name}.vus"));
        self.users(table, "start_vus", &format!("traffic.{name}.start_vus"));
        match table.get("executor").and_then(Item::as_str) {
            Some("shared-iterations") => {
                if let Some(iterations) = table.get("iterations").and_then(Item::as_integer) {
                    set(table, "iterations", self.count(iterations as u64).max(1));
                }
            }
            Some("replay") => {
                let share = table.get("share").and_then(Item::as_str).and_then(|t| t.parse::<Ratio>().ok());
                let share = share.map_or(1.0, Ratio::get) * self.factor;
                if share > 1.0 {
                    self.notes
                        .push(format!("traffic.{name}.share: a file cannot be replayed more than once"));
                }
                set(table, "share", Ratio::new(share.min(1.0)).to_string());
            }
            _ => {}
        }
        match table.get_mut("stages") {
            Some(Item::ArrayOfTables(stages)) => stages.iter_mut().for_each(|stage| self.stage(stage, name)),
            Some(Item::Value(Value::Array(stages))) => {
                stages
                    .iter_mut()
                    .filter_map(Value::as_inline_table_mut)
                    .for_each(|stage: &mut InlineTable| self.stage(stage, name));
            }
            _ => {}
        }
    }

    fn stage(&mut self, stage: &mut dyn TableLike, traffic: &str) {
        self.rate(stage, "to");
        self.users(stage, "to", &format!("traffic.{traffic}.stages"));
    }

    /// A number of users.
    fn users(&mut self, table: &mut dyn TableLike, key: &str, at: &str) {
        let users = table.get(key).and_then(Item::as_integer).and_then(|n| u32::try_from(n).ok());
        if let Some(users) = users {
            let scaled = if users == 0 { 0 } else { self.capacity(at, users) };
            set(table, key, scaled);
        }
    }

    fn rate(&self, table: &mut dyn TableLike, key: &str) {
        let rate = table.get(key).and_then(Item::as_str).and_then(|text| text.parse::<Rate>().ok());
        if let Some(rate) = rate {
            set(table, key, Rate::per_second(rate.as_per_second() * self.factor).to_string());
        }
    }

    /// What machines share of a way; a client's own line stays as fast as it is.
    fn bandwidth(&self, link: &mut dyn TableLike) {
        let ends = link.get("between").and_then(Item::as_array);
        if ends.is_some_and(|ends| ends.iter().any(|end| end.as_str() == Some("clients"))) {
            return;
        }
        let bandwidth =
            link.get("bandwidth").and_then(Item::as_str).and_then(|t| t.parse::<Bandwidth>().ok());
        if let Some(bandwidth) = bandwidth {
            set(link, "bandwidth", self.scaled_bandwidth(bandwidth));
        }
    }

    fn scaled_bandwidth(&self, bandwidth: Bandwidth) -> String {
        let scaled = (bandwidth.as_bits_per_second() * self.factor).clamp(1e3, 1e12);
        Bandwidth::bits_per_second(scaled).to_string()
    }

    /// A rate that a threshold asks for scales with the traffic; a count cannot, as the window changes it too.
    fn thresholds(&mut self, root: &mut Table) {
        let Some(thresholds) = root.get_mut("thresholds").and_then(Item::as_table_like_mut) else { return };
        for (selector, conditions) in thresholds.iter_mut() {
            let Ok(selector) = Selector::read(selector.get()) else { continue };
            let Some(conditions) = conditions.as_array_mut() else { continue };
            for value in conditions.iter_mut() {
                let Some(condition) = value.as_str().and_then(|t| Condition::read(selector.metric, t).ok())
                else {
                    continue;
                };
                match (selector.metric, condition.aggregate) {
                    (_, Aggregate::Count) => {
                        self.notes.push(format!(
                            "thresholds.{}: the count is that of the original",
                            selector.metric.name()
                        ));
                    }
                    (Metric::Rate, aggregate) => {
                        let limit = Rate::per_second(condition.limit * self.factor);
                        let decor = value.decor().clone();
                        *value = format!("{aggregate}{}{limit}", sign(condition.comparison)).into();
                        *value.decor_mut() = decor;
                    }
                    _ => {}
                }
            }
        }
    }

    fn published(&mut self, root: &mut Table) {
        let scale = |table: &mut dyn TableLike| {
            let rate = table.get("metric").and_then(Item::as_str).and_then(|m| Selector::read(m).ok());
            if rate.is_some_and(|s| s.metric == Metric::Rate && s.aggregate == Some(Aggregate::Rate)) {
                self.rate(table, "value");
            }
        };
        match root.get_mut("published") {
            Some(Item::ArrayOfTables(all)) => all.iter_mut().for_each(|t| scale(t)),
            Some(Item::Value(Value::Array(all))) => {
                all.iter_mut().filter_map(Value::as_inline_table_mut).for_each(|t| scale(t));
            }
            _ => {}
        }
    }

    fn count(&self, count: u64) -> i64 {
        (count as f64 * self.factor).round().min(1e12) as i64
    }

    fn bytes(&self, bytes: Bytes) -> String {
        Bytes::new(((bytes.get() as f64 * self.factor).round() as u64).max(1)).to_string()
    }

    /// Scales something that takes; says so where rounding changes how much.
    fn demand(&mut self, at: &str, amount: u32) -> i64 {
        let exact = f64::from(amount) * self.factor;
        let rounded = exact.round().max(1.0);
        if (rounded / exact - 1.0).abs() > NOTABLE {
            self.notes.push(format!(
                "{at}: {amount} × {} is {exact:.3}, rounded to {rounded}: {:.2} times as much as in the original",
                Ratio::new(self.factor),
                rounded / exact
            ));
        }
        rounded as i64
    }

    /// Scales something that serves; says so where rounding changes how busy it is.
    fn capacity(&mut self, at: &str, amount: u32) -> i64 {
        let exact = f64::from(amount) * self.factor;
        let rounded = exact.round().max(1.0);
        let busier = exact / rounded;
        if (busier - 1.0).abs() > NOTABLE {
            self.notes.push(format!(
                "{at}: {amount} × {} is {exact:.3}, rounded to {rounded}: {busier:.2} times as busy as in the original",
                Ratio::new(self.factor)
            ));
        }
        rounded as i64
    }
}

fn sign(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}
