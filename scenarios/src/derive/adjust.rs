//! A scenario with some of its numbers changed, more or less asked of it, and something else that breaks: what somebody wants
//! to see next.

use toml_edit::{ArrayOfTables, Item, Table};

use super::planning::put;
use super::scaling::Scaling;
use super::variant::retain_published;
use super::{Derived, Error, child, document, finish, leave_out_company, set};
use crate::quantity::selector::Selector;
use crate::scenario::{Scenario, Setting};
use crate::units::SimTime;

/// What is different in an adjusted scenario. By default nothing is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Adjustment {
    /// Values by their paths in the file.
    pub values: Vec<Setting>,
    /// How much is asked for, as a multiple of what the file says. With more come as many more connections of clients.
    pub load: Option<f64>,
    /// What breaks.
    pub breaks: Breaks,
}

/// What breaks in an adjusted scenario.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Breaks {
    /// What the file says.
    #[default]
    AsWritten,
    /// Nothing at all.
    Nothing,
    /// One thing, which is killed.
    Kill {
        /// What, in a fault's syntax: `host:app[1]`.
        what: String,
        /// When, on the scenario's timeline.
        at: SimTime,
        /// For how long.
        length: SimTime,
    },
}

/// The scenario so adjusted. Variants, published figures, the plan and the parts that are played or scored are those of the file as it is, so
/// they are left out.
///
/// # Errors
/// Where a path leads nowhere, a value is no TOML, or the result breaks a rule of scenarios.
///
/// ```
/// use scenarios::derive::{Adjustment, adjusted};
/// let file = scenarios::Scenario::parse("quickstart.toml", scenarios::library::QUICKSTART).expect("it is tested");
/// let values = vec![scenarios::scenario::Setting::new("hosts.app.count", "3")];
/// let more = adjusted(&file, &Adjustment { values, ..Adjustment::default() }).expect("the file has such machines");
/// assert_eq!(more.scenario.hosts[1].count, 3);
/// ```
pub fn adjusted(scenario: &Scenario, adjustment: &Adjustment) -> Result<Derived, Error> {
    let mut document = document(scenario);
    let mut notes = Vec::new();
    let root = document.as_table_mut();
    put(scenario, root, &adjustment.values)?;
    if let Some(factor) = adjustment.load.filter(|factor| *factor != 1.0) {
        let mut scaling = Scaling { scenario, factor, notes: &mut notes };
        scaling.rates(root);
        scaling.clients(root);
    }
    if adjustment.breaks != Breaks::AsWritten {
        nothing_breaks(scenario, root);
    }
    if let Breaks::Kill { what, at, length } = &adjustment.breaks {
        let mut fault = Table::new();
        set(&mut fault, "at", at.to_string());
        set(&mut fault, "for", length.to_string());
        set(&mut fault, "kill", what.as_str());
        let mut faults = ArrayOfTables::new();
        faults.push(fault);
        root.insert("faults", Item::ArrayOfTables(faults));
    }
    leave_out_company(root);
    let mut changes: Vec<(&str, Option<String>)> =
        adjustment.values.iter().map(|value| ("with", Some(value.to_string()))).collect();
    changes.push(("load times", adjustment.load.map(|factor| factor.to_string())));
    changes.push(match &adjustment.breaks {
        Breaks::AsWritten => ("faults", None),
        Breaks::Nothing => ("without faults", Some(String::new())),
        Breaks::Kill { what, at, length } => ("kill", Some(format!("{what} at {at} for {length}"))),
    });
    finish(scenario, document, &changes, notes)
}

/// Takes away the faults, what is said of one of them by its number, and what breaks by chance.
pub(super) fn nothing_breaks(scenario: &Scenario, root: &mut Table) {
    root.remove("faults");
    let names_a_fault = |text: &str| Selector::read(text).is_ok_and(|selector| selector.fault.is_some());
    if let Some(thresholds) = root.get_mut("thresholds").and_then(Item::as_table_like_mut) {
        let named: Vec<String> =
            thresholds.iter().map(|(key, _)| key.to_owned()).filter(|key| names_a_fault(key)).collect();
        named.iter().for_each(|key| drop(thresholds.remove(key)));
    }
    retain_published(
        root,
        &|table| !table.get("metric").and_then(Item::as_str).is_some_and(names_a_fault),
        &|_| {},
    );
    let hosts = scenario.hosts.iter().map(|host| ("hosts", &host.name));
    let components = scenario.components.iter().map(|component| ("components", &component.name));
    for (tables, name) in hosts.chain(components) {
        child(child(root, tables), name).remove("breakdowns");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quickstart() -> Scenario {
        Scenario::parse("quickstart.toml", crate::library::QUICKSTART).expect("it is tested")
    }

    #[test]
    fn numbers_load_and_what_breaks_are_changed_together() {
        let file = quickstart();
        let adjustment = Adjustment {
            values: vec![
                Setting::new("hosts.app.count", "5"),
                Setting::new("components.objects.max_memory", "\"6MiB\""),
            ],
            load: Some(2.0),
            breaks: Breaks::Kill {
                what: "host:app[2]".to_owned(),
                at: SimTime::from_secs(3),
                length: SimTime::from_secs(4),
            },
        };
        let other = adjusted(&file, &adjustment).expect("it is a scenario").scenario;
        let host = other.hosts.iter().find(|host| host.name == "app").expect("it is in the file");
        assert_eq!(host.count, 5);
        assert!(other.source.text.contains("rate = \"600/s\""), "{}", other.source.text);
        let shoppers = &other.traffic[0];
        assert_eq!(
            (shoppers.connections, shoppers.max_in_flight),
            (200, 2_000),
            "more users have more of them"
        );
        assert!(other.source.text.contains("max_memory = \"6MiB\""), "{}", other.source.text);
        let faults: Vec<_> = other.faults.iter().map(|f| (f.name.as_str(), f.from, f.until)).collect();
        let warmup = other.run.warmup;
        let from = warmup + SimTime::from_secs(3);
        assert_eq!(faults, [("kill host:app[2]", from, from + SimTime::from_secs(4))]);
    }

    #[test]
    fn nothing_breaks_where_nothing_is_to() {
        let none = Adjustment { breaks: Breaks::Nothing, ..Adjustment::default() };
        let other = adjusted(&quickstart(), &none).expect("it is a scenario").scenario;
        assert!(!other.breaks());
        let text = crate::library::QUICKSTART
            .replace("[thresholds]", "[thresholds]\n\"failed{during:faults[1]}\" = [\"rate<1%\"]");
        let named = Scenario::parse("shop.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let other = adjusted(&named, &none).unwrap_or_else(|error| panic!("{error}")).scenario;
        assert_eq!(other.thresholds.len() + 1, named.thresholds.len());
        let same = adjusted(&quickstart(), &Adjustment::default()).expect("it is a scenario").scenario;
        assert_eq!(same.faults.len(), 1);
    }

    #[test]
    fn paths_that_lead_nowhere_and_values_that_are_none_are_told() {
        let with = |path: &str, value: &str| Adjustment {
            values: vec![Setting::new(path, value)],
            ..Adjustment::default()
        };
        let told = |adjustment| adjusted(&quickstart(), &adjustment).expect_err("it is wrong").to_string();
        assert!(told(with("hosts.apps.count", "1")).contains("hosts.apps.count"));
        assert!(told(with("hosts.app.count", "two")).contains("two"));
        assert!(told(with("hosts.app.count", "0")).contains("hosts.app.count"));
    }
}
