//! Which probes a stack has, and how they read in a file.

use std::fmt::Write as _;

use super::{Cost, CostKind, Probe};
use crate::explain::asked_by;
use crate::scenario::{ComponentId, ComponentKind, Engine, Keyspace, Scenario};
use crate::units::{Rate, SimTime};

/// How many keys a keyspace of the probes' own has.
pub(super) const KEYS: i64 = 1_000;
/// The class that consumers of queues take.
pub(super) const CONSUMED: &str = "consumed";
/// What a statement of the stack's own databases is stated to take, so that whatever its timer adds is measured with it.
pub(super) const PROBED_READ: SimTime = SimTime::from_millis(1);
/// What a piece of work is stated to take.
const PROBED_WORK: SimTime = SimTime::from_millis(2);
/// The size of values where no keyspace says one.
const VALUE: &str = "400B";
/// How many keys commands have whose differences tell what a key costs.
const WIDTHS: [u32; 2] = [10, 100];
/// Names are no longer.
const NAME_LIMIT: usize = 64;
/// What the service does for whoever only passes.
const NOTHING: &str = "wait = \"0ns\"";

/// A probe and where its class goes in.
#[derive(Clone, Debug)]
pub(super) struct Class {
    pub(super) probe: Probe,
    entry: ComponentId,
    /// Its step, as TOML.
    step: String,
    /// Whether caches keep its answers.
    kept: bool,
}

/// How long the keys of a keyspace are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Always,
    Prefilled,
    Table,
}

/// A keyspace of the probes' own.
#[derive(Clone, Debug)]
pub(super) struct ProbedKeyspace {
    pub(super) name: String,
    pub(super) store: String,
    pub(super) value: String,
    pub(super) kept: Kept,
}

/// All probes of a stack.
#[derive(Clone, Debug)]
pub(super) struct Probes<'s> {
    scenario: &'s Scenario,
    pub(super) classes: Vec<Class>,
    pub(super) keyspaces: Vec<ProbedKeyspace>,
    pub(super) left_out: Vec<String>,
    has_queue: bool,
}

impl<'s> Probes<'s> {
    pub(super) fn of(scenario: &'s Scenario) -> Self {
        let (classes, keyspaces, left_out) = (Vec::new(), Vec::new(), Vec::new());
        let mut probes = Self { scenario, classes, keyspaces, left_out, has_queue: false };
        let all = || scenario.component_ids().map(|id| (id, scenario.component(id)));
        for (id, component) in all() {
            if let ComponentKind::Service(_) = component.kind {
                probes.service(id);
            }
        }
        for (id, component) in all() {
            match &component.kind {
                ComponentKind::Service(_) => {}
                ComponentKind::LoadBalancer(_) | ComponentKind::HttpCache(_) => probes.front(id),
                ComponentKind::KvStore(store) => probes.store(id, store.shards.is_some()),
                ComponentKind::SqlStore(_) => probes.database(id),
                ComponentKind::Queue(_) => probes.queue(id),
                kind => probes.left_out.push(format!(
                    "components.{}: not measured, as no {} is played over sockets",
                    component.name,
                    kind.name()
                )),
            }
        }
        for (caller, component) in all() {
            if let ComponentKind::Service(_) = component.kind {
                probes.calls(caller);
            }
        }
        if !scenario.network.links.is_empty() {
            let why =
                "network: left out, as its delays are stated; what the relay adds to them is not measured";
            probes.left_out.push(why.to_owned());
        }
        probes
    }

    fn name(&self, id: ComponentId) -> &'s str {
        &self.scenario.component(id).name
    }

    /// A class's name: of its kind and whom it is about, or of its kind and their numbers where that is too long.
    fn class_name(&self, kind: &str, about: &[ComponentId]) -> String {
        let names: Vec<&str> = about.iter().map(|id| self.name(*id)).collect();
        let name = format!("{kind}-{}", names.join("-"));
        if name.len() <= NAME_LIMIT {
            return name;
        }
        let numbers: Vec<String> = about.iter().map(|id| id.index().to_string()).collect();
        format!("{kind}-{}", numbers.join("-"))
    }

    /// The costs of passing all of a way, the client's end first.
    fn costs(&self, way: &[ComponentId]) -> Vec<(Cost, f64)> {
        let mut terms = vec![(Cost::common(CostKind::Client), 1.0)];
        for (place, id) in way.iter().enumerate() {
            terms.push((Cost::of(self.name(*id), CostKind::Latency), 1.0));
            let kind = &self.scenario.component(*id).kind;
            if matches!(kind, ComponentKind::HttpCache(_) | ComponentKind::LoadBalancer(_)) {
                terms.push((Cost::of(self.name(*id), CostKind::Request), 1.0));
            }
            // Where the way goes on, a cache asks its back end.
            if matches!(kind, ComponentKind::HttpCache(_)) && place + 1 < way.len() {
                terms.push((Cost::of(self.name(*id), CostKind::Fetch), 1.0));
            }
        }
        terms
    }

    /// Adds a class of a kind about some components.
    fn add(
        &mut self,
        (kind, about): (&str, &[ComponentId]),
        entry: ComponentId,
        step: &str,
        terms: Vec<(Cost, f64)>,
    ) -> &mut Class {
        let class = self.class_name(kind, about);
        let probe = Probe { class, terms, known: SimTime::ZERO };
        self.classes.push(Class { probe, entry, step: step.to_owned(), kept: false });
        self.classes.last_mut().expect("a class was added just now")
    }

    /// What is stated, at the speed of a component's machine.
    fn at_speed(&self, stated: SimTime, at: ComponentId) -> SimTime {
        let speed = self.scenario.host(self.scenario.component(at).host).speed;
        SimTime::from_nanos((stated.as_nanos() as f64 / speed).round() as u64)
    }

    fn service(&mut self, id: ComponentId) {
        let mut terms = self.costs(&[id]);
        self.add(("direct", &[id]), id, NOTHING, terms.clone());
        terms.push((Cost::common(CostKind::Work), 1.0));
        let known = self.at_speed(PROBED_WORK, id);
        self.add(("work", &[id]), id, &format!("work = \"{PROBED_WORK}\""), terms).probe.known = known;
    }

    /// Through a balancer or a cache and whatever is behind it; of a cache, what it has already as well.
    fn front(&mut self, id: ComponentId) {
        let whole = self.costs(&self.scenario.way(id).collect::<Vec<_>>());
        self.add(("through", &[id]), id, NOTHING, whole);
        if let ComponentKind::HttpCache(_) = self.scenario.component(id).kind {
            let own = self.costs(&[id]);
            self.add(("hit", &[id]), id, NOTHING, own).kept = true;
        }
    }

    /// The service that asks a store or a queue, or else the first one; what it costs to get there.
    fn asker(&mut self, of: ComponentId) -> Option<(ComponentId, Vec<(Cost, f64)>)> {
        let scenario = self.scenario;
        let is_service = |id: &ComponentId| matches!(scenario.component(*id).kind, ComponentKind::Service(_));
        let services = || scenario.component_ids().filter(is_service);
        let asks = services().find(|id| asked_by(scenario, *id).contains(&of)).or_else(|| services().next());
        if asks.is_none() {
            let name = self.name(of);
            self.left_out.push(format!("components.{name}: not measured, as there is no service to ask it"));
        }
        asks.map(|id| (id, self.costs(&[id])))
    }

    /// A keyspace of the probes' own in a store, with values as its own ones have.
    fn keyspace(&mut self, id: ComponentId, kept: Kept) -> String {
        let own = |keyspace: &&Keyspace| keyspace.store == id;
        let like = self.scenario.keyspaces.iter().find(own).or_else(|| self.scenario.keyspaces.first());
        let value = like.map_or_else(|| VALUE.to_owned(), |keyspace| keyspace.value.to_string());
        let name = self.class_name("probes", &[id]);
        let store = self.name(id).to_owned();
        self.keyspaces.push(ProbedKeyspace { name: name.clone(), store, value, kept });
        name
    }

    fn store(&mut self, id: ComponentId, is_sharded: bool) {
        let Some((entry, base)) = self.asker(id) else { return };
        let ComponentKind::KvStore(store) = &self.scenario.component(id).kind else { return };
        let kept = if store.eviction.takes_all_keys() { Kept::Prefilled } else { Kept::Always };
        let keyspace = self.keyspace(id, kept);
        let name = self.name(id);
        let terms = |keys: f64| {
            let own = [(CostKind::Latency, 1.0), (CostKind::Command, 1.0), (CostKind::Key, keys)];
            let own = own.map(|(kind, times)| (Cost::of(name, kind), times));
            base.iter().cloned().chain(own).collect::<Vec<_>>()
        };
        self.add(("get", &[id]), entry, &format!("get = {{ keyspace = \"{keyspace}\" }}"), terms(1.0));
        if is_sharded {
            self.left_out.push(format!(
                "components.{name}.key: not measured, as the keys of a command are spread over machines that answer at once"
            ));
            return;
        }
        for count in WIDTHS {
            let step = format!("mget = {{ keyspace = \"{keyspace}\", count = {count} }}");
            self.add((&format!("mget{count}"), &[id]), entry, &step, terms(f64::from(count)));
        }
    }

    fn database(&mut self, id: ComponentId) {
        let Some((entry, base)) = self.asker(id) else { return };
        let keyspace = self.keyspace(id, Kept::Table);
        let name = self.name(id);
        let is_own = self.scenario.component(id).engine == Engine::Embedded;
        let known = if is_own { self.at_speed(PROBED_READ, id) } else { SimTime::ZERO };
        let read = [CostKind::ReadLatency, CostKind::Read];
        let write = [CostKind::WriteLatency, CostKind::Write];
        let steps = [
            ("read", read, format!("select = {{ from = \"{name}\", keyspace = \"{keyspace}\" }}")),
            ("write", write, format!("update = {{ in = \"{name}\", keyspace = \"{keyspace}\" }}")),
        ];
        for (kind, laws, step) in steps {
            // The stack's own takes what is stated, and a fixed cost; another one takes what it takes, of a processor and beside it.
            let own = if is_own { &[CostKind::Latency][..] } else { &laws[..] };
            let own = own.iter().map(|kind| (Cost::of(name, *kind), 1.0));
            let terms = base.iter().cloned().chain(own).collect();
            self.add((kind, &[id]), entry, &step, terms).probe.known = known;
        }
    }

    fn queue(&mut self, id: ComponentId) {
        let Some((entry, mut terms)) = self.asker(id) else { return };
        self.has_queue = true;
        terms.push((Cost::of(self.name(id), CostKind::Latency), 1.0));
        let step = format!("publish = {{ to = \"{}\" }}", self.name(id));
        self.add(("message", &[id]), entry, &step, terms);
    }

    /// A service's calls of others, where the file has any.
    fn calls(&mut self, caller: ComponentId) {
        let scenario = self.scenario;
        let answers = |id: &ComponentId| {
            let kind = &scenario.component(*id).kind;
            matches!(kind, ComponentKind::Service(_) | ComponentKind::LoadBalancer(_))
        };
        for called in asked_by(scenario, caller).into_iter().filter(answers) {
            let mut terms = self.costs(&[caller]);
            // The client's end comes once.
            terms.extend(self.costs(&scenario.way(called).collect::<Vec<_>>()).into_iter().skip(1));
            let step = format!("call = {{ to = \"{}\", wait = \"0ns\" }}", self.name(called));
            self.add(("call", &[caller, called]), caller, &step, terms);
        }
    }

    /// The classes and their traffic, as a file has them.
    pub(super) fn text(&self, rate_of_class: Rate) -> String {
        let mut text = String::new();
        self.write(&mut text, rate_of_class.as_per_second()).expect("writing to a string does not fail");
        text
    }

    fn write(&self, out: &mut String, rate_of_class: f64) -> std::fmt::Result {
        for Class { probe, step, kept, .. } in &self.classes {
            let class = &probe.class;
            writeln!(out, "[requests.{class}]\npath = \"/{class}\"\nresponse = \"2kB\"")?;
            if *kept {
                writeln!(out, "cache = {{ ttl = \"1h\" }}")?;
            }
            writeln!(out, "[[requests.{class}.steps]]\n{step}\n")?;
        }
        if self.has_queue {
            writeln!(out, "[requests.{CONSUMED}]\npath = \"/{CONSUMED}\"")?;
            writeln!(out, "[[requests.{CONSUMED}.steps]]\n{NOTHING}\n")?;
        }
        for id in self.scenario.component_ids() {
            let of_entry = || self.classes.iter().filter(|class| class.entry == id);
            let mix: Vec<String> = of_entry().map(|class| format!("{} = 1", class.probe.class)).collect();
            if mix.is_empty() {
                continue;
            }
            // Three digits are enough for a rate that nobody asked for.
            let rate = Rate::per_second((rate_of_class * mix.len() as f64 * 1e3).round() / 1e3);
            let (traffic, entry, mix) = (self.class_name("to", &[id]), self.name(id), mix.join(", "));
            writeln!(out, "[traffic.{traffic}]\nto = \"{entry}\"\nexecutor = \"constant-arrival-rate\"")?;
            writeln!(out, "rate = \"{rate}\"\narrivals = \"poisson\"\nmix = {{ {mix} }}")?;
            writeln!(out, "connections = 20\nmax_in_flight = 1_000\ntimeout = \"5s\"\n")?;
        }
        Ok(())
    }
}
