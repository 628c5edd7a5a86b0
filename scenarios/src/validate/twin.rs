//! What is held against a measurement: cases that there are, loads of cases, targets that can be met.

use super::Validator;
use crate::diagnostic::{nearest, one_of};
use crate::scenario::{BASE_CASE, Twin, TwinCase, TwinTargets, Variant};
use crate::units::Ratio;
use crate::wire;

/// The greatest load of a case, as a share of the capacity.
const MOST_LOAD: f64 = 3.0;

impl Validator<'_> {
    /// The section `[twin]`, or what holds without one.
    pub(super) fn twin(&mut self, variants: &[Variant]) -> Twin {
        let file = self.file.twin.take();
        let is_written = file.is_some();
        let (names, repetitions, loads, targets) = match file {
            Some(file) => (file.cases.0, file.repetitions.0 as u32, file.loads.0, file.targets),
            None => (Vec::new(), 5, Vec::new(), None),
        };
        if is_written && variants.iter().any(|variant| variant.name == BASE_CASE) {
            let expected =
                format!("another name: {BASE_CASE:?} is the file as it is among the cases of [twin]");
            self.d.key_problem(&format!("variants.{BASE_CASE}"), BASE_CASE, expected, None);
        }
        let known: Vec<&str> =
            std::iter::once(BASE_CASE).chain(variants.iter().map(|variant| variant.name.as_str())).collect();
        let mut chosen: Vec<String> = Vec::new();
        for (i, name) in &names {
            let at = format!("twin.cases[{i}]");
            if !known.contains(&name.as_str()) {
                let hint = nearest(name, known.iter().copied()).map(|near| format!("write \"{near}\""));
                self.problem(&at, format!("one of {}", one_of(known.iter().copied())), hint);
            } else if chosen.contains(name) {
                self.problem(&at, "each case once", None);
            } else {
                chosen.push(name.clone());
            }
        }
        if names.is_empty() {
            chosen = known.iter().map(|name| (*name).to_owned()).collect();
        }
        for (name, load) in &loads {
            let at = format!("twin.loads.{name}");
            if !chosen.contains(name) {
                let hint =
                    nearest(name, chosen.iter().map(String::as_str)).map(|near| format!("write \"{near}\""));
                let expected = format!("one of the cases: {}", one_of(chosen.iter().map(String::as_str)));
                self.d.key_problem(&at, name, expected, hint);
            }
            if !(load.get() > 0.0 && load.get() <= MOST_LOAD) {
                self.problem(&at, "a share of the capacity above 0% and up to 300%", None);
            }
        }
        let targets = self.targets(targets);
        let case = |name: String| {
            let load = loads.iter().find(|(of, _)| *of == name).map(|(_, load)| load.get());
            let variant = variants.iter().find(|variant| variant.name == name);
            TwinCase { load, ..variant.map_or_else(TwinCase::base, TwinCase::of_variant) }
        };
        Twin { cases: chosen.into_iter().map(case).collect(), repetitions, targets }
    }

    fn targets(&mut self, file: Option<wire::TwinTargets>) -> TwinTargets {
        let written = file.is_some();
        let file = file.unwrap_or_else(wire::TwinTargets::standard);
        let mut positive = |key: &str, share: Ratio| {
            if written && share.get() <= 0.0 {
                self.problem(
                    &format!("twin.targets.{key}"),
                    "a share above 0%: no prediction is exact",
                    None,
                );
            }
            share.get()
        };
        TwinTargets {
            goodput: positive("goodput", file.goodput),
            p50: positive("p50", file.p50),
            p99: positive("p99", file.p99),
            load: positive("load", file.load),
            hit_ratio: positive("hit_ratio", file.hit_ratio),
            dip: positive("dip", file.dip),
            utilisation: positive("utilisation", file.utilisation),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Scenario;
    use crate::testing::SHOP;

    fn read(twin: &str) -> Result<Scenario, String> {
        Scenario::parse("shop.toml", format!("{SHOP}{twin}")).map_err(|problems| problems.to_string())
    }

    #[test]
    fn without_a_section_the_cases_are_the_file_and_its_variants() {
        let twin = read("").expect("the file is good").twin;
        let names: Vec<_> = twin.cases.iter().map(|c| (c.name.as_str(), c.variant.as_deref())).collect();
        assert_eq!(names, [("base", None), ("busy", Some("busy"))]);
        assert_eq!((twin.repetitions, twin.targets.p99, twin.targets.hit_ratio), (5, 0.20, 0.01));
    }

    #[test]
    fn cases_loads_and_targets_are_the_files_own() {
        let written = "[twin]\ncases = [\"busy\"]\nrepetitions = 7\nloads = { busy = \"60%\" }\ntargets = { p50 = \"5%\" }";
        let twin = read(written).expect("the section is good").twin;
        assert_eq!(
            (twin.cases.len(), twin.cases[0].load, twin.cases[0].what.as_str()),
            (1, Some(0.6), "twice the load")
        );
        assert_eq!((twin.repetitions, twin.targets.p50, twin.targets.p99), (7, 0.05, 0.20));
    }

    #[test]
    fn what_leads_nowhere_is_told_with_its_place() {
        for (twin, expected) in [
            ("[twin]\ncases = [\"bussy\"]", "write \"busy\""),
            (
                "[twin]\ncases = [\"busy\", \"busy\"]",
                "twin.cases[2]: found \"busy\", expected each case once",
            ),
            (
                "[twin]\ncases = [\"busy\"]\nloads = { base = \"30%\" }",
                "twin.loads.base: found \"base\", expected one of the cases",
            ),
            ("[twin]\nloads = { busy = \"0%\" }", "above 0%"),
            ("[twin]\ntargets = { p99 = \"0%\" }", "no prediction is exact"),
            ("[twin]\nrepetitions = 0", "twin.repetitions"),
            ("[twin]\n[variants.base]\nwhat = \"x\"\nset.\"traffic.users.rate\" = \"3/s\"", "another name"),
        ] {
            let told = read(twin).expect_err(twin);
            assert!(told.contains(expected), "{twin}: {told}");
        }
    }
}
