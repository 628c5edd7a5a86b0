//! What plans make of a scenario: the same with other values, and the same in other circumstances.

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value};

use super::scaling::Scaling;
use super::variant::change;
use super::{Derived, Error, child, document, finish, leave_out_company, set};
use crate::diagnostic::{Locations, nearest};
use crate::scenario::{ComponentKind, Run, Scenario, Setting};
use crate::supports::split;
use crate::units::SimTime;

/// A dead machine comes back so long after the run's end.
const BEYOND: SimTime = SimTime::from_secs(3600);

/// The scenario without what is said of it elsewhere (variants, published figures, parts that are played and scored, the
/// plan itself), judged by the plan's thresholds where it has any.
///
/// # Errors
/// Where the result breaks a rule of scenarios.
pub fn for_planning(scenario: &Scenario) -> Result<Derived, Error> {
    let mut document = document(scenario);
    let root = document.as_table_mut();
    let plan = root.get_mut("plan").and_then(Item::as_table_like_mut);
    if let Some(thresholds) = plan.and_then(|plan| plan.remove("thresholds")) {
        root.insert("thresholds", thresholds);
    }
    leave_out_company(root);
    finish(scenario, document, &[("for planning", Some(String::new()))], Vec::new())
}

/// The same scenario with other values.
///
/// # Errors
/// Where a path leads nowhere, or the result breaks a rule of scenarios.
///
/// ```
/// use scenarios::{Scenario, derive};
/// let shop = Scenario::parse("quickstart.toml", scenarios::library::QUICKSTART).expect("it is tested");
/// let settings = ["hosts.app.count=4".parse().expect("a path and a value")];
/// let larger = derive::with_settings(&shop, &settings).expect("there is such a host").scenario;
/// assert_eq!(larger.hosts.iter().find(|host| host.name == "app").expect("it is there").count, 4);
/// let wrong = ["hosts.apps.count=4".parse().expect("a path and a value")];
/// assert!(derive::with_settings(&shop, &wrong).is_err());
/// ```
pub fn with_settings(scenario: &Scenario, settings: &[Setting]) -> Result<Derived, Error> {
    let mut document = document(scenario);
    let root = document.as_table_mut();
    put(scenario, root, settings)?;
    let told = settings.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let told = told.replace(char::is_control, " ");
    finish(scenario, document, &[("with", Some(told))], Vec::new())
}

/// Sets values in a file.
pub(super) fn put(scenario: &Scenario, root: &mut Table, settings: &[Setting]) -> Result<(), Error> {
    for setting in settings {
        let path = &setting.path;
        if !leads_into(&scenario.locations, path) {
            return Err(Error::Setting { path: path.clone(), hint: meant(&scenario.locations, path) });
        }
        let value = setting.value.parse::<Value>();
        let value = value.map_err(|_| Error::Value { path: path.clone(), value: setting.value.clone() })?;
        let done = change(root, &split(path), Some(Item::Value(value)));
        done.ok_or_else(|| Error::Setting { path: path.clone(), hint: String::new() })?;
    }
    Ok(())
}

/// What a scenario is held against a part of the time in.
#[derive(Clone, Debug, PartialEq)]
pub struct Circumstances {
    /// Where on the timeline the measured part starts.
    pub from: SimTime,
    /// How long the load lasts before that.
    pub warmup: SimTime,
    /// How long is measured.
    pub length: SimTime,
    /// How many times the load.
    pub load: f64,
    /// The host whose first machine is dead all the time, the warm-up included.
    pub down: Option<String>,
    /// Whether the caches are emptied as the measured part begins.
    pub cold: bool,
}

impl Circumstances {
    /// A part of the time with nothing else about it.
    pub fn at(from: SimTime, warmup: SimTime, length: SimTime) -> Self {
        Self { from, warmup, length, load: 1.0, down: None, cold: false }
    }
}

/// The same scenario in other circumstances. With more load come as many more connections and requests in flight: more users
/// have more of them.
///
/// A machine that is dead is so from the timeline's zero at the earliest, so a part that starts before the end of its
/// warm-up is moved on to there.
///
/// # Errors
/// Where the result breaks a rule of scenarios.
pub fn under(scenario: &Scenario, circumstances: &Circumstances) -> Result<Derived, Error> {
    let Circumstances { mut from, warmup, length, load, .. } = *circumstances;
    let mut document = document(scenario);
    let mut notes = Vec::new();
    if circumstances.down.is_some() {
        from = from.max(warmup);
    }
    let run = child(document.as_table_mut(), "run");
    set(run, "from", from.to_string());
    set(run, "warmup", warmup.to_string());
    set(run, "duration", length.to_string());
    if load != 1.0 {
        let root = document.as_table_mut();
        let mut scaling = Scaling { scenario, factor: load, notes: &mut notes };
        scaling.rates(root);
        scaling.clients(root);
    }
    if let Some(host) = &circumstances.down {
        let mut fault = Table::new();
        set(&mut fault, "at", from.saturating_sub(warmup).to_string());
        set(&mut fault, "for", warmup.saturating_add(length).saturating_add(BEYOND).to_string());
        set(&mut fault, "kill", format!("host:{host}[1]"));
        add_fault(&mut document, fault);
    }
    if circumstances.cold {
        for component in &scenario.components {
            if matches!(component.kind, ComponentKind::KvStore(_) | ComponentKind::HttpCache(_)) {
                let mut fault = Table::new();
                set(&mut fault, "at", from.to_string());
                set(&mut fault, "flush", format!("component:{}[*]", component.name));
                add_fault(&mut document, fault);
            }
        }
    }
    let changes = [
        ("from", Some(from.to_string())),
        ("for", Some(length.to_string())),
        ("load times", (load != 1.0).then(|| load.to_string())),
        ("one machine dead of", circumstances.down.clone()),
        ("cold", circumstances.cold.then(String::new)),
    ];
    finish(scenario, document, &changes, notes)
}

fn add_fault(document: &mut DocumentMut, fault: Table) {
    let faults = document.as_table_mut().entry("faults");
    match faults.or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new())) {
        Item::ArrayOfTables(all) => all.push(fault),
        Item::Value(Value::Array(all)) => all.push(fault.into_inline_table()),
        // The scenario was read: there are faults in one of the two forms.
        _ => {}
    }
}

/// Whether a path leads into something that the file has: `hosts.app` for `hosts.app.count`. A new entry of a table of names is
/// seldom what was meant.
pub(crate) fn leads_into(locations: &Locations, path: &str) -> bool {
    let parts = split(path);
    match parts.len() {
        0 | 1 => false,
        n => locations.get(&joined(&parts[..n.min(3) - 1])).is_some(),
    }
}

fn joined(parts: &[&str]) -> String {
    parts.iter().fold(String::new(), |mut path, part| {
        if !path.is_empty() && !part.starts_with('[') {
            path.push('.');
        }
        path + part
    })
}

/// The entry that was probably meant, as half a sentence.
fn meant(locations: &Locations, path: &str) -> String {
    let parts = split(path);
    let [table, name, ..] = parts[..] else { return String::new() };
    let entries = locations.iter().filter_map(|(path, _)| match split(path)[..] {
        [first, second] if first == table => Some(second),
        _ => None,
    });
    let entries: Vec<&str> = entries.collect();
    match nearest(name, entries.iter().copied()) {
        Some(near) => format!("\n  hint: write \"{table}.{near}\""),
        None if entries.is_empty() => String::new(),
        None => format!("\n  hint: there is {}", crate::diagnostic::one_of(entries)),
    }
}

/// Where the load of a run is greatest for so long a time: the first of the places, a hundredth of the run apart, at which the
/// most requests are expected. With closed loops alone, the run's start.
pub fn busiest(scenario: &Scenario, length: SimTime) -> SimTime {
    const PLACES: u64 = 100;
    let Run { from, warmup, duration, .. } = scenario.run;
    let plan = crate::plan::Plan::new(scenario);
    let room = duration.saturating_sub(length);
    let mut best = (f64::NEG_INFINITY, SimTime::ZERO);
    for i in 0..=PLACES {
        let offset =
            SimTime::from_nanos((room.as_nanos() as u128 * u128::from(i) / u128::from(PLACES)) as u64);
        let start = warmup.saturating_add(offset);
        let expected = plan.expected(start, start.saturating_add(length));
        // A hair more is the rounding of a load that is the same everywhere.
        if expected > best.0 * (1.0 + 1e-6) || i == 0 {
            best = (expected, offset);
        }
    }
    from.saturating_add(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
title = "Shop"
[run]
duration = "60s"
warmup = "5s"
[hosts.app]
count = 2
price = "50 USD/month"
[hosts.data]
[components.shop]
kind = "service"
host = "app"
[components.objects]
kind = "kv-store"
host = "data"
[keyspaces.items]
in = "objects"
keys = 1000
value = "100B"
[requests.home]
path = "/"
[[requests.home.steps]]
get = { keyspace = "items" }
[traffic.users]
to = "shop"
executor = "ramping-arrival-rate"
start_rate = "10/s"
stages = [{ to = "100/s", for = "30s" }, { to = "10/s", for = "30s" }]
mix = { home = 1 }
connections = 30
[thresholds]
failed = ["rate<1%"]
[plan]
knobs."hosts.app.count" = "1..3"
thresholds.response_time = ["p(99)<1s"]
[variants.small]
what = "less"
set."hosts.app.count" = 1
[play]
for = "10s"
"#;

    fn shop() -> Scenario {
        Scenario::parse("shop.toml", TEXT).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn a_plan_judges_by_its_own_thresholds_and_knows_no_variants() {
        let base = for_planning(&shop()).expect("it is a scenario").scenario;
        let thresholds: Vec<_> = base.thresholds.iter().map(|t| t.condition.as_str()).collect();
        assert_eq!(thresholds, ["p(99)<1s"]);
        assert!(base.variants.is_empty() && base.play.is_none() && base.planning.is_none());
    }

    #[test]
    fn circumstances_are_more_load_dead_machines_and_empty_caches() {
        let base = for_planning(&shop()).expect("it is a scenario").scenario;
        let second = SimTime::from_secs;
        let at = Circumstances::at(second(20), second(5), second(10));
        let down = Some("app".to_owned());
        let all = Circumstances { load: 2.5, down, cold: true, ..at.clone() };
        let all = under(&base, &all).unwrap_or_else(|e| panic!("{e}")).scenario;
        assert_eq!((all.run.from, all.run.warmup, all.run.duration), (second(20), second(5), second(10)));
        assert_eq!(all.traffic[0].connections, 75);
        let names: Vec<_> = all.faults.iter().map(|f| (f.name.as_str(), f.from)).collect();
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names[0].0.contains("host:app[1]") && names[0].1 == SimTime::ZERO, "{names:?}");
        assert!(names[1].0.contains("objects") && names[1].1 == second(5), "{names:?}");
        let half = under(&base, &Circumstances { load: 0.5, ..at }).expect("it is a scenario").scenario;
        assert_eq!(half.traffic[0].connections, 30, "nobody needs less room");
        let rate = |scenario: &Scenario| scenario.traffic[0].rate.at(30.0);
        assert!((rate(&half) - 50.0).abs() < 1e-9 && (rate(&all) - 250.0).abs() < 1e-9);
    }

    #[test]
    fn a_machine_is_dead_before_the_measured_part_wherever_that_starts() {
        let second = SimTime::from_secs;
        let mut at = Circumstances::at(SimTime::ZERO, second(5), second(10));
        at.down = Some("app".to_owned());
        let derived = under(&for_planning(&shop()).expect("it is a scenario").scenario, &at);
        let derived = derived.unwrap_or_else(|e| panic!("{e}")).scenario;
        assert_eq!((derived.run.from, derived.faults[0].from), (second(5), SimTime::ZERO));
        assert!(derived.faults[0].until >= derived.run.total());
    }

    #[test]
    fn values_are_set_only_in_what_is_there() {
        let settings = |texts: &[&str]| -> Vec<Setting> {
            texts.iter().map(|text| text.parse().unwrap_or_else(|e| panic!("{e:?}"))).collect()
        };
        let set = settings(&["hosts.app.count=7", "traffic.users.timeout=3s", "run.seed=9"]);
        let other = with_settings(&shop(), &set).unwrap_or_else(|e| panic!("{e}")).scenario;
        assert_eq!((other.hosts[0].count, other.run.seed.0), (7, 9));
        assert_eq!(other.traffic[0].timeout, SimTime::from_secs(3));
        for (text, expected) in [
            ("hosts.ap.count=7", "write \"hosts.app\""),
            ("seed=7", "leads nowhere"),
            ("host.app.count=7", "leads nowhere"),
            ("hosts.app.counts=7", "unknown key"),
        ] {
            let told = with_settings(&shop(), &settings(&[text])).expect_err(text).to_string();
            assert!(told.contains(expected), "{text}: {told}");
        }
    }

    #[test]
    fn the_busiest_part_is_where_the_ramp_is_highest() {
        let from = busiest(&shop(), SimTime::from_secs(10)).as_secs_f64();
        assert!((from - 25.0).abs() < 1.0, "{from}");
        assert_eq!(busiest(&shop(), SimTime::from_secs(60)), SimTime::ZERO);
    }
}
