//! What of a scenario can be moved, and how far: numbers of machines, memory, cores, workers, and what may be killed.
//!
//! A knob is there if the file accepts another value in its place, so what is found is what can be played with.

use scenarios::derive::{self, Adjustment};
use scenarios::scenario::{ComponentKind, Scenario, Setting};
use scenarios::units::{Bytes, SimTime};

use super::moment::Moments;
use super::state::{Broken, State};

/// No knob goes further than this.
const MOST_MACHINES: u32 = 64;
const MOST_CORES: u32 = 128;
const MOST_PLACES: u32 = 4_096;
/// Memory in shares of what the file has.
const SHARES: [f64; 8] = [0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 4.0];

/// Where a knob stands on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// How many machines there are.
    Machines,
    /// Of stores and caches.
    Memory,
    /// Cores, workers and connections.
    Places,
}

/// The values of a knob.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Values {
    /// Whole numbers from the least to the most.
    Counts {
        /// The file's.
        file: u32,
        /// The least.
        least: u32,
        /// The most.
        most: u32,
    },
    /// Sizes, the file's among them.
    Sizes {
        /// The file's.
        file: Bytes,
        /// All, the smallest first.
        sizes: Vec<Bytes>,
    },
}

/// A value of the file that can be moved.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Knob {
    /// Its path in the file, which is its name in addresses too.
    pub(super) path: String,
    /// What it is called on the page.
    pub(super) label: String,
    pub(super) group: Group,
    pub(super) values: Values,
}

impl Knob {
    /// The file's value, as it stands in addresses.
    pub(super) fn file(&self) -> String {
        match &self.values {
            Values::Counts { file, .. } => file.to_string(),
            Values::Sizes { file, .. } => compact(*file),
        }
    }

    /// Whether a text is one of its values, and which.
    pub(super) fn read(&self, text: &str) -> Result<String, String> {
        let expected = match &self.values {
            Values::Counts { least, most, .. } => match text.parse::<u32>() {
                Ok(count) if (*least..=*most).contains(&count) => return Ok(count.to_string()),
                _ => format!("a whole number from {least} to {most}"),
            },
            Values::Sizes { sizes, .. } => {
                let size = sizes.iter().find(|size| text.parse::<Bytes>().is_ok_and(|given| given == **size));
                if let Some(size) = size {
                    return Ok(compact(*size));
                }
                format!("one of {}", sizes.iter().map(|s| compact(*s)).collect::<Vec<_>>().join(", "))
            }
        };
        Err(format!("{}: found {text:?}, expected {expected}", self.path))
    }

    /// A value as the file would say it.
    pub(super) fn toml(&self, value: &str) -> String {
        match &self.values {
            Values::Counts { .. } => value.to_owned(),
            Values::Sizes { .. } => format!("\"{value}\""),
        }
    }
}

/// A size without room in it, as addresses like it.
pub(super) fn compact(size: Bytes) -> String {
    size.to_string().replace(' ', "")
}

/// Something that may be killed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Target {
    /// In a fault's syntax.
    pub(super) what: String,
    /// In words.
    pub(super) label: String,
}

/// All that can be moved.
#[derive(Clone, Debug)]
pub(super) struct Knobs {
    pub(super) knobs: Vec<Knob>,
    pub(super) targets: Vec<Target>,
    /// Names and what is different.
    pub(super) variants: Vec<(String, String)>,
    pub(super) moments: Moments,
    /// How many faults the file has.
    pub(super) faults: usize,
    seed: u64,
}

impl Knobs {
    /// Those of a scenario.
    pub(super) fn of(scenario: &Scenario) -> Self {
        let mut knobs = machines(scenario);
        knobs.extend(memory(scenario));
        knobs.extend(places(scenario));
        let target = |host: &scenarios::scenario::Host| Target {
            what: format!("host:{}[1]", host.name),
            label: match host.count {
                1 => host.name.clone(),
                count => format!("{}: one of {count}", host.name),
            },
        };
        Self {
            knobs,
            targets: scenario.hosts.iter().map(target).collect(),
            variants: scenario.variants.iter().map(|v| (v.name.clone(), v.what.clone())).collect(),
            moments: Moments::of(scenario),
            faults: scenario.faults.len(),
            seed: scenario.run.seed.0,
        }
    }

    /// Everything as the file has it.
    pub(super) fn initial(&self) -> State {
        let seconds = (self.moments.length.as_secs_f64() as u64).max(1);
        State {
            values: self.knobs.iter().map(Knob::file).collect(),
            load: 100,
            broken: Broken::File,
            at: seconds / 4,
            lasts: (seconds / 3).max(1),
            variant: None,
            from: self.moments.places.first().map_or(SimTime::ZERO, |place| place.1),
            window: self.moments.length,
            seed: self.seed,
        }
    }
}

/// Whether the file takes this value at this path.
fn takes(scenario: &Scenario, path: &str, value: &str) -> bool {
    let values = vec![Setting::new(path, value)];
    derive::adjusted(scenario, &Adjustment { values, ..Adjustment::default() }).is_ok()
}

/// A number of something, if it can be another.
fn counts(
    scenario: &Scenario,
    path: String,
    label: String,
    group: Group,
    file: u32,
    most: u32,
) -> Option<Knob> {
    let most = most.max(file).max(planned(scenario, &path));
    // Faults may name the last of several machines, which then must be there.
    let least = (1..file.min(16)).find(|count| takes(scenario, &path, &count.to_string())).unwrap_or(file);
    let most = if takes(scenario, &path, &most.to_string()) { most } else { file };
    (least < most).then_some(Knob { path, label, group, values: Values::Counts { file, least, most } })
}

/// How far the file's plan goes with a number; 0 where it says nothing of it.
fn planned(scenario: &Scenario, path: &str) -> u32 {
    let knobs = scenario.planning.iter().flat_map(|planning| &planning.knobs);
    let choices = knobs.filter(|knob| knob.path == path).flat_map(|knob| &knob.choices);
    choices.filter_map(|choice| choice.name.parse().ok()).max().unwrap_or(0)
}

fn machines(scenario: &Scenario) -> Vec<Knob> {
    let knob = |host: &scenarios::scenario::Host| {
        let most = (3 * host.count).max(host.count + 4).min(MOST_MACHINES);
        let label = host.name.clone();
        counts(scenario, format!("hosts.{}.count", host.name), label, Group::Machines, host.count, most)
    };
    scenario.hosts.iter().filter_map(knob).collect()
}

fn memory(scenario: &Scenario) -> Vec<Knob> {
    let knob = |component: &scenarios::scenario::Component| {
        let (key, file) = match &component.kind {
            ComponentKind::KvStore(store) => ("max_memory", store.max_memory?),
            ComponentKind::HttpCache(cache) => ("memory", cache.memory),
            ComponentKind::SqlStore(store) => ("buffer_pool", store.buffer_pool?),
            _ => return None,
        };
        let path = format!("components.{}.{key}", component.name);
        let sizes = SHARES.map(|share| Bytes::new(((file.get() as f64 * share).round() as u64).max(1)));
        let accepted = |size: &Bytes| *size == file || takes(scenario, &path, &format!("\"{size}\""));
        let mut sizes: Vec<Bytes> = sizes.into_iter().filter(accepted).collect();
        sizes.dedup();
        let label = component.name.clone();
        (sizes.len() > 1).then(|| Knob {
            path: path.clone(),
            label,
            group: Group::Memory,
            values: Values::Sizes { file, sizes },
        })
    };
    scenario.components.iter().filter_map(knob).collect()
}

fn places(scenario: &Scenario) -> Vec<Knob> {
    let mut knobs = Vec::new();
    for host in &scenario.hosts {
        let (path, label) = (format!("hosts.{}.cores", host.name), format!("{}: cores", host.name));
        let most = (4 * host.cores).clamp(8, MOST_CORES);
        knobs.extend(counts(scenario, path, label, Group::Places, host.cores, most));
    }
    for component in &scenario.components {
        let (key, what, file) = match &component.kind {
            ComponentKind::Service(service) if service.pool.is_some() => {
                ("workers.max", "workers at most", service.workers)
            }
            ComponentKind::Service(service) => ("workers", "workers", service.workers),
            ComponentKind::SqlStore(store) => ("connections", "connections", store.connections),
            _ => continue,
        };
        let (path, label) =
            (format!("components.{}.{key}", component.name), format!("{}: {what}", component.name));
        let most = file.saturating_mul(4).clamp(16, MOST_PLACES);
        knobs.extend(counts(scenario, path, label, Group::Places, file, most));
    }
    knobs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quickstart() -> Scenario {
        Scenario::parse("quickstart.toml", scenarios::library::QUICKSTART).expect("it is tested")
    }

    fn knob(knobs: &Knobs, path: &str) -> Knob {
        let all: Vec<&str> = knobs.knobs.iter().map(|knob| knob.path.as_str()).collect();
        let found = knobs.knobs.iter().find(|knob| knob.path == path);
        found.unwrap_or_else(|| panic!("{path} is among {all:?}")).clone()
    }

    #[test]
    fn machines_memory_and_workers_of_a_file_are_found() {
        let knobs = Knobs::of(&quickstart());
        let app = knob(&knobs, "hosts.app.count");
        assert_eq!(app.values, Values::Counts { file: 2, least: 1, most: 6 });
        assert_eq!(app.read("6").as_deref(), Ok("6"));
        let told = app.read("7").expect_err("it is beyond the range");
        assert_eq!(told, "hosts.app.count: found \"7\", expected a whole number from 1 to 6");
        let memory = knob(&knobs, "components.objects.max_memory");
        assert_eq!((memory.file().as_str(), memory.read("6MiB").as_deref()), ("12MiB", Ok("6MiB")));
        assert!(memory.read("7MiB").is_err());
        assert_eq!(memory.toml("6MiB"), "\"6MiB\"");
        assert_eq!(knob(&knobs, "components.shop.workers").file(), "32");
        assert!(knobs.targets.iter().any(|target| target.what == "host:app[1]"), "{:?}", knobs.targets);
    }

    #[test]
    fn a_knob_goes_as_far_as_the_files_plan() {
        let plan = "[plan]\nknobs.\"hosts.app.count\" = \"1..40\"\n";
        let priced = "[hosts.app]\nprice = \"100 USD/month\"\n";
        let text = scenarios::library::QUICKSTART.replace("[hosts.app]\n", priced) + plan;
        let knobs = Knobs::of(&Scenario::parse("quickstart.toml", text).expect("it is a scenario"));
        assert_eq!(knob(&knobs, "hosts.app.count").values, Values::Counts { file: 2, least: 1, most: 40 });
    }

    #[test]
    fn machines_that_a_fault_names_cannot_be_taken_away() {
        let text = scenarios::library::QUICKSTART.replace("host:app[1]", "host:app[2]");
        let knobs = Knobs::of(&Scenario::parse("quickstart.toml", text).expect("it is a scenario"));
        assert_eq!(knob(&knobs, "hosts.app.count").values, Values::Counts { file: 2, least: 2, most: 6 });
    }

    #[test]
    fn every_file_of_the_library_has_something_to_move() {
        let library = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/library");
        for file in
            ["octivi/week.toml", "m-api/day.toml", "knife-depot/farm.toml", "growpartner/promo-day.toml"]
        {
            let scenario = Scenario::load(&library.join(file)).unwrap_or_else(|e| panic!("{e}"));
            let knobs = Knobs::of(&scenario);
            assert!(knobs.knobs.iter().any(|knob| knob.group == Group::Machines), "{file}");
            let initial = knobs.initial().scenario(&scenario, &knobs);
            assert!(initial.is_ok(), "{file}: {:?}", initial.err());
        }
    }
}
