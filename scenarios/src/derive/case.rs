//! A case of `[twin]` with a seed, and the same under another load: files that both worlds run.

use crate::scenario::{Scenario, TwinCase};
use crate::units::Seed;

use super::scaling::Scaling;
use super::{Derived, Error, child, document, finish, leave_out_company, set, variant};

/// A case with a seed, as a scenario of its own, without what is said of the file as a whole.
///
/// # Errors
/// Where its variant cannot be made, or the seed is above what TOML holds.
pub fn case(scenario: &Scenario, case: &TwinCase, seed: Seed) -> Result<Derived, Error> {
    let whole = match &case.variant {
        Some(name) => variant(scenario, name)?.scenario,
        None => scenario.clone(),
    };
    let mut document = document(&whole);
    let root = document.as_table_mut();
    leave_out_company(root);
    set(child(root, "run"), "seed", i64::try_from(seed.0).map_err(|_| Error::Seed(seed.0))?);
    let changes = [("case", Some(case.name.clone())), ("seed", Some(seed.0.to_string()))];
    finish(scenario, document, &changes, Vec::new())
}

/// The same scenario with its traffic times a factor and everything else as it is, faults included.
///
/// # Errors
/// Where nothing is left of the traffic, or the result breaks a rule of scenarios.
pub fn with_load(scenario: &Scenario, factor: f64) -> Result<Derived, Error> {
    let mut document = document(scenario);
    let mut notes = Vec::new();
    Scaling { scenario, factor, notes: &mut notes }.rates(document.as_table_mut());
    finish(scenario, document, &[("load times", Some(factor.to_string()))], notes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SHOP;

    const MORE: &str = r#"
[play]
for = "2s"
[[faults]]
at = "2s"
for = "1s"
kill = "component:shop[1]"
[twin]
repetitions = 2
"#;

    fn shop() -> Scenario {
        Scenario::parse("shop.toml", format!("{SHOP}{MORE}")).expect("it is a scenario")
    }

    fn peak(scenario: &Scenario) -> f64 {
        crate::explain::expected(scenario, scenario.run.from, scenario.run.from + scenario.run.duration)
    }

    #[test]
    fn a_case_is_a_file_with_its_seed_and_nothing_of_the_whole() {
        let scenario = shop();
        let [base, busy] = scenario.twin.cases.as_slice() else { panic!("two cases") };
        let one = case(&scenario, base, Seed(7)).expect("a case").scenario;
        assert_eq!(
            (one.run.seed.0, one.variants.len(), one.play.is_none(), one.faults.len()),
            (7, 0, true, 1)
        );
        let other = case(&scenario, busy, Seed(7)).expect("a case").scenario;
        assert!((peak(&other) / peak(&one) - 2.0).abs() < 1e-9);
        assert_ne!(one.source.hash, other.source.hash);
        let again = case(&scenario, base, Seed(7)).expect("a case").scenario;
        assert_eq!(one.source.hash, again.source.hash);
    }

    #[test]
    fn another_load_leaves_the_faults_where_they_are() {
        let scenario = shop();
        let more = with_load(&scenario, 1.1).expect("a load").scenario;
        assert!((peak(&more) / peak(&scenario) - 1.1).abs() < 1e-9);
        assert_eq!(more.faults[0].from, scenario.faults[0].from);
    }
}
