//! Loads and capacities times a factor.

use toml_edit::{DocumentMut, InlineTable, Item, Table, TableLike, Value};

use super::{child, set};
use crate::quantity::selector::{Condition, Selector};
use crate::scenario::{ComponentKind, Executor, Scenario};
use crate::threshold::{Aggregate, Comparison, Metric};
use crate::units::{Bandwidth, Bytes, Rate, Ratio};

/// A rounding that changes a capacity by more than this share is reported.
const NOTABLE: f64 = 0.01;

/// One pass that multiplies everything that scales.
pub(super) struct Scaling<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) factor: f64,
    /// Where what cannot be kept is told.
    pub(super) notes: &'a mut Vec<String>,
}

impl Scaling<'_> {
    pub(super) fn all(&mut self, document: &mut DocumentMut) {
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
                ComponentKind::HttpCache(c) => {
                    set(table, "memory", self.bytes(c.memory));
                    for (class, keys) in &c.prefill {
                        let name = &scenario.class(*class).name;
                        set(child(table, "prefill"), name, self.count(*keys).max(1));
                    }
                }
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
            if job.work.is_some() {
                set(table, "cores", self.demand(&format!("jobs.{}.cores", job.name), job.cores));
            }
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

    /// Multiplies how much is asked for, and nothing that serves.
    pub(super) fn rates(&mut self, root: &mut Table) {
        for traffic in &self.scenario.traffic {
            self.traffic(child(child(root, "traffic"), &traffic.name), &traffic.name);
        }
    }

    /// As many more connections and requests in flight as is asked for more: more users have more of them.
    pub(super) fn clients(&self, root: &mut Table) {
        let more = |count: u32| (f64::from(count) * self.factor.max(1.0)).ceil().min(1e6) as i64;
        for traffic in self.scenario.traffic.iter().filter(|t| !matches!(t.executor, Executor::Users(_))) {
            let table = child(child(root, "traffic"), &traffic.name);
            set(table, "connections", more(traffic.connections));
            set(table, "max_in_flight", more(traffic.max_in_flight));
        }
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
                let text = value.as_str().or_else(|| value.as_inline_table()?.get("condition")?.as_str());
                let Some(condition) = text.and_then(|t| Condition::read(selector.metric, t).ok()) else {
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
                        let text = format!("{aggregate}{}{limit}", sign(condition.comparison));
                        match value.as_inline_table_mut() {
                            Some(table) => set(table, "condition", text),
                            None => {
                                *value = text.into();
                                *value.decor_mut() = decor;
                            }
                        }
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
                let key = if table.contains_key("holds") { "holds" } else { "value" };
                self.published_rate(table, key);
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

    /// A rate, or a limit of one.
    fn published_rate(&self, table: &mut dyn TableLike, key: &str) {
        let Some(text) = table.get(key).and_then(Item::as_str).map(str::to_owned) else { return };
        let (sign, number) = text.split_at(text.find(|c: char| c.is_ascii_digit()).unwrap_or(0));
        if let Ok(rate) = number.trim().parse::<Rate>() {
            set(table, key, format!("{sign}{}", Rate::per_second(rate.as_per_second() * self.factor)));
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
