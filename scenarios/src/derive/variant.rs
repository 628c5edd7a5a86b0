//! A variant of a scenario, and what is played of one, as scenarios of their own: some values replaced, some left out.

use toml_edit::{Item, Table, TableLike, Value};

use super::{Derived, Error, document, finish, window};
use crate::scenario::{Scenario, Window};
use crate::supports::split;

/// The tables whose entries have names that the file chooses.
const NAMED: [&str; 9] =
    ["components", "curves", "feeds", "hosts", "jobs", "keyspaces", "policies", "requests", "traffic"];

/// The variant of this name. Published figures that are not about it are left out.
///
/// # Errors
/// Where there is none of the name, a path of it leads nowhere, or the result breaks a rule of scenarios.
pub fn variant(scenario: &Scenario, name: &str) -> Result<Derived, Error> {
    let Some(variant) = scenario.variants.iter().find(|v| v.name == name) else {
        let known = crate::diagnostic::one_of(scenario.variants.iter().map(|v| v.name.as_str()));
        return Err(Error::NoVariant { name: name.to_owned(), known });
    };
    let mut document = document(scenario);
    let root = document.as_table_mut();
    let own = root.remove("variants");
    let own = own.as_ref().and_then(|variants| variants.get(name)).and_then(|own| own.get("set"));
    // A variant is one case, and has none.
    root.remove("twin");
    keep_published(root, Some(name));
    // It is taken: what is played of a variant is that variant.
    if let Some(play) = root.get_mut("play").and_then(Item::as_table_like_mut) {
        play.remove("variant");
    }
    apply(root, own, &variant.sets, &variant.removes)
        .map_err(|path| Error::Path { place: format!("variants.{name}"), path })?;
    finish(scenario, document, &[("variant", Some(name.to_owned()))], Vec::new())
}

/// What the file's `[play]` names, of a variant where one is given instead of the one that it names itself, and with another
/// seed where one is given: some values replaced, some left out, and the part of what that makes.
///
/// # Errors
/// Where there is no such variant, a path leads nowhere, or the result breaks a rule of scenarios.
///
/// # Panics
/// Where the file says nothing of what is played.
pub fn played(scenario: &Scenario, name: Option<&str>, seed: Option<u64>) -> Result<Derived, Error> {
    let said = "the caller has seen that the file says what is played";
    let name = name.or_else(|| scenario.play.as_ref().expect(said).variant.as_deref());
    let design = name.map(|name| variant(scenario, name)).transpose()?;
    let scenario = design.as_ref().map_or(scenario, |design| &design.scenario);
    // A variant keeps what the file says of playing.
    let play = scenario.play.as_ref().expect(said);
    let Window { from, length, rate } = play.window;
    let changes = !play.sets.is_empty() || !play.removes.is_empty();
    if !changes && scenario.published.iter().all(|published| published.of.is_none()) {
        return window(scenario, from, length, rate, seed);
    }
    let mut document = document(scenario);
    let root = document.as_table_mut();
    let own = root.remove("play");
    let own = own.as_ref().and_then(|play| play.get("set"));
    keep_said_of_play(root);
    apply(root, own, &play.sets, &play.removes)
        .map_err(|path| Error::Path { place: "play".to_owned(), path })?;
    let made = finish(scenario, document, &[("for playing", Some(String::new()))], Vec::new())?;
    window(&made.scenario, from, length, rate, seed)
}

/// Sets values of a table by their paths, then leaves paths out.
///
/// # Errors
/// The first path that leads nowhere.
fn apply(root: &mut Table, values: Option<&Item>, sets: &[String], removes: &[String]) -> Result<(), String> {
    for path in sets {
        let value = values.and_then(|values| values.get(path)).cloned().ok_or_else(|| path.clone())?;
        change(root, &split(path), Some(value)).ok_or_else(|| path.clone())?;
    }
    // From the last to the first, so that numbers of places stay what they are in the file.
    for path in removes.iter().rev() {
        change(root, &split(path), None).ok_or_else(|| path.clone())?;
    }
    Ok(())
}

/// Leaves only what is said of the part that is played, or of every part, as said of the scenario itself.
fn keep_said_of_play(root: &mut Table) {
    retain_published(root, &|table| table.get("of").and_then(Item::as_str) != Some("score"), &|table| {
        drop(table.remove("of"))
    });
}

/// Leaves only those published figures that are about a variant, or about the file as it is, as figures of the scenario itself.
pub(super) fn keep_published(root: &mut Table, name: Option<&str>) {
    retain_published(root, &|table| table.get("variant").and_then(Item::as_str) == name, &|table| {
        drop(table.remove("variant"))
    });
}

/// Leaves some of the published figures, and changes those.
pub(super) fn retain_published(
    root: &mut Table,
    stays: &dyn Fn(&dyn TableLike) -> bool,
    change: &dyn Fn(&mut dyn TableLike),
) {
    match root.get_mut("published") {
        Some(Item::ArrayOfTables(all)) => {
            all.retain(|table| stays(table));
            all.iter_mut().for_each(|table| change(table));
        }
        Some(Item::Value(Value::Array(all))) => {
            all.retain(|value| value.as_inline_table().is_some_and(|table| stays(table)));
            all.iter_mut().filter_map(Value::as_inline_table_mut).for_each(|table| change(table));
        }
        _ => {}
    }
}

/// Replaces what stands at a path of the file, or takes it away. None where the path leads through something that is no table,
/// to a place that a list does not have, or into a machine, a component or the like of a name that the file does not have: that
/// is a slip rather than a new one, which would be set as a whole.
pub(super) fn change(root: &mut dyn TableLike, path: &[&str], value: Option<Item>) -> Option<()> {
    if let [table, name, _, ..] = path
        && NAMED.contains(table)
        && !root.get(table)?.as_table_like()?.contains_key(name.trim_matches('"'))
    {
        return None;
    }
    edit(root, path, value)
}

/// Does so below any table.
fn edit(table: &mut dyn TableLike, path: &[&str], value: Option<Item>) -> Option<()> {
    let (key, rest) = path.split_first()?;
    let key = key.trim_matches('"');
    let place = rest.first().and_then(|part| part.strip_prefix('[')?.strip_suffix(']'));
    match (rest, place) {
        ([], _) => match value {
            Some(value) => drop(table.insert(key, value)),
            None => drop(table.remove(key)?),
        },
        (_, Some(place)) => {
            let place = place.parse::<usize>().ok()?.checked_sub(1)?;
            match (table.get_mut(key)?, &rest[1..], value) {
                (Item::ArrayOfTables(all), [], None) if place < all.len() => drop(all.remove(place)),
                (Item::ArrayOfTables(all), [], Some(value)) => {
                    *all.get_mut(place)? = value.into_table().ok()?;
                }
                (Item::ArrayOfTables(all), below, value) => edit(all.get_mut(place)?, below, value)?,
                (Item::Value(Value::Array(all)), [], None) if place < all.len() => drop(all.remove(place)),
                (Item::Value(Value::Array(all)), [], Some(value)) => {
                    *all.get_mut(place)? = value.into_value().ok()?;
                }
                (Item::Value(Value::Array(all)), below, value) => {
                    edit(all.get_mut(place)?.as_inline_table_mut()?, below, value)?;
                }
                _ => return None,
            }
        }
        _ => {
            if !table.contains_key(key) {
                value.as_ref()?;
                table.insert(key, Item::Table(Table::new()));
            }
            edit(table.get_mut(key)?.as_table_like_mut()?, rest, value)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SimTime;

    const TEXT: &str = r#"
title = "Two designs"
[run]
duration = "10s"
[hosts.app]
count = 2
[components.shop]
kind = "service"
host = "app"
[requests.home]
path = "/"
[[requests.home.steps]]
work = "1ms"
[[requests.home.steps]]
wait = "2ms"
[traffic.users]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { home = 1 }
[[faults]]
at = "1s"
for = "1s"
kill = "host:app[1]"
[[faults]]
at = "5s"
for = "1s"
hang = "component:shop[2]"
[variants.big]
what = "one large machine that nothing happens to but once"
set."hosts.app.count" = 1
set."hosts.app.cores" = 8
set."requests.home.steps[2]" = { wait = "5ms" }
remove = ["faults[2]"]
[variants.lost]
what = "paths that lead nowhere"
set."requests.home.steps[3].wait" = "5ms"
[variants.misspelt]
what = "a machine that the file does not have"
set."hosts.ap.count" = 2
[variants.larger]
what = "a machine more, and another table's first entry"
set."hosts.spare" = { cores = 2 }
set."hosts.spare.count" = 3
set."jobs.backup" = { host = "spare", at = "2s", work = "1s" }
[play]
for = "5s"
rate = "50%"
variant = "big"
set."requests.home.steps[1].work" = "500us"
remove = ["hosts.app.cores"]
[[published]]
what = "mean"
metric = "response_time{avg}"
value = "3ms"
tolerance = "10%"
[[published]]
what = "mean"
variant = "big"
metric = "response_time{avg}"
holds = "<7ms"
"#;

    #[test]
    fn a_variant_is_a_scenario_with_the_values_replaced() {
        let scenario = Scenario::parse("designs.toml", TEXT).expect("it is a scenario");
        let big = variant(&scenario, "big").expect("its paths exist").scenario;
        assert_eq!((big.hosts[0].count, big.hosts[0].cores), (1, 8));
        assert_eq!(big.faults.len(), 1);
        assert!(big.faults[0].name.starts_with("kill"), "{}", big.faults[0].name);
        assert!(big.source.text.contains("wait = \"5ms\""), "{}", big.source.text);
        assert!(big.variants.is_empty());
        let published: Vec<_> =
            big.published.iter().map(|p| (p.variant.as_deref(), p.stated.as_str())).collect();
        assert_eq!(published, [(None, "<7ms")]);
        assert_ne!(big.source.hash, scenario.source.hash);
    }

    #[test]
    fn what_is_played_is_a_part_with_its_own_values_and_of_its_own_variant() {
        let said = TEXT.to_owned()
            + r#"
[[published]]
what = "of the whole alone"
of = "score"
variant = "big"
metric = "response_time{max}"
holds = "<1s"
[[published]]
what = "of what is played"
of = "play"
metric = "failed{rate}"
holds = "<1%"
[[published]]
what = "of what is played of the variant"
of = "play"
variant = "big"
metric = "failed{rate}"
holds = "<2%"
"#;
        let scenario = Scenario::parse("designs.toml", said).unwrap_or_else(|problems| panic!("{problems}"));
        let part = |name| played(&scenario, name, Some(9)).unwrap_or_else(|e| panic!("{e}")).scenario;
        let big = part(None);
        assert_eq!((big.hosts[0].cores, big.run.duration, big.run.seed.0), (1, SimTime::from_secs(5), 9));
        assert_eq!(big.traffic[0].rate.at(0.0), 5.0);
        assert!(big.source.text.contains("work = \"500us\"") && big.play.is_none());
        let told = |of: &Scenario| of.published.iter().map(|p| p.what.clone()).collect::<Vec<_>>();
        assert_eq!(told(&big), ["mean", "of what is played of the variant"]);
        assert!(big.published.iter().all(|published| published.of.is_none()));
        let lost = played(&scenario, Some("small"), None).expect_err("there is no such variant").to_string();
        assert!(lost.contains("\"small\""), "{lost}");
        let nowhere = TEXT.replace("hosts.app.cores\"]", "hosts.app.disk\"]");
        let scenario =
            Scenario::parse("designs.toml", nowhere).unwrap_or_else(|problems| panic!("{problems}"));
        let told = played(&scenario, None, None).expect_err("no machine has a disk").to_string();
        assert!(told.starts_with("play: \"hosts.app.disk\" leads nowhere"), "{told}");
    }

    #[test]
    fn paths_and_names_that_lead_nowhere_are_told() {
        let scenario = Scenario::parse("designs.toml", TEXT).expect("it is a scenario");
        let told = variant(&scenario, "lost").expect_err("there is no third step").to_string();
        assert!(told.contains("requests.home.steps[3].wait"), "{told}");
        let told = variant(&scenario, "misspelt").expect_err("a host of its own is not meant").to_string();
        assert!(told.contains("\"hosts.ap.count\" leads nowhere"), "{told}");
        let told = variant(&scenario, "small").expect_err("there is none").to_string();
        assert!(told.contains("\"big\", \"lost\""), "{told}");
    }
    #[test]
    fn what_is_new_is_set_as_a_whole() {
        let scenario = Scenario::parse("designs.toml", TEXT).expect("it is a scenario");
        let larger = variant(&scenario, "larger").unwrap_or_else(|error| panic!("{error}")).scenario;
        let spare = larger.hosts.iter().find(|host| host.name == "spare").expect("it is new");
        assert_eq!((spare.cores, spare.count, larger.jobs.len()), (2, 3, 1));
    }
}
