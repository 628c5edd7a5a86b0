//! What a case came to: its runs of both worlds, pair by pair, cell by cell.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs;

use results::RunRecord;
use scenarios::derive;

use super::equal;
use super::files::CaseFile;
use super::judge::{self, MOST_PRESSURE};
use super::measure::{Bench, Case, Error, Failures};
use super::reading::{self, Group, Phase, Quantity};
use super::result::{CaseResult, Targets};

/// A load that is tried is told apart from others to a thousandth.
const LOAD_STEPS: f64 = 1_000.0;

/// A case and a pair of its runs.
pub(super) type Compared = (CaseResult, Option<(RunRecord, RunRecord)>);

/// The 99th percentiles by part, of each seed, under loads that were tried: in thousandths.
#[derive(Debug, Default)]
struct Loads(BTreeMap<u64, Vec<BTreeMap<String, f64>>>);

/// Whether there is nothing to compare: where neither world has a dip worth the name, its depth says nothing; and a duration
/// is compared where both have one, as the depth tells where they differ in that.
fn is_left_out(group: Group, pairs: &[(f64, f64)], all: usize) -> bool {
    let mean =
        |value: fn(&(f64, f64)) -> f64| pairs.iter().map(value).sum::<f64>() / pairs.len().max(1) as f64;
    match group {
        _ if pairs.is_empty() => true,
        Group::DipDepth => mean(|p| p.0).max(mean(|p| p.1)) < super::dip::FLOOR,
        Group::DipDuration => pairs.len() < all,
        _ => false,
    }
}

/// The values that count.
fn counted(values: &[f64], counts: &[bool]) -> Vec<f64> {
    values.iter().zip(counts).filter(|(_, counts)| **counts).map(|(value, _)| *value).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

impl Bench {
    /// What a case came to, and a pair of its runs.
    pub(super) fn compare(
        &self,
        place: usize,
        simulated: &[RunRecord],
        failures: &Failures,
    ) -> Result<Compared, Error> {
        let case = &self.cases[place];
        let mut doubts = Vec::new();
        let (mut shares, mut pairs) = (Vec::new(), Vec::new());
        for (seed, file) in case.files.iter().enumerate() {
            let number = file.scenario.run.seed.0;
            match file.good() {
                Some(record) => {
                    shares.extend(reading::machine_share(&record));
                    pairs.push((seed, record));
                }
                None => {
                    // What speaks against a run is told, and its numbers with it.
                    let why = failures.get(&(place, seed)).cloned().unwrap_or_else(|| file.why_bad());
                    doubts.push(format!("seed {number}: {why}"));
                    let last = file.last();
                    shares.extend(last.as_ref().and_then(reading::machine_share));
                    pairs.extend(last.map(|record| (seed, record)));
                }
            }
        }
        let stolen: Vec<f64> = pairs.iter().map(|(_, record)| reading::stolen_share(record)).collect();
        let counts = judge::that_count(&stolen);
        let set_aside = counts.iter().filter(|counts| !**counts).count();
        let stolen = counted(&stolen, &counts);
        let mut counts = counts.into_iter();
        pairs.retain(|_| counts.next().unwrap_or(true));
        let calibrated_after =
            pairs.iter().any(|(seed, record)| !case.files[*seed].was_frozen_before(record));
        let disturbed = (!doubts.is_empty())
            .then(|| format!("{} of {} runs cannot be believed", doubts.len(), case.files.len()));
        let values = |record: &RunRecord| reading::readings(record).into_iter().collect::<BTreeMap<_, _>>();
        let both: Vec<_> =
            pairs.iter().map(|(seed, record)| (values(&simulated[*seed]), values(record))).collect();
        let quantities =
            pairs.first().map(|(seed, _)| reading::readings(&simulated[*seed])).unwrap_or_default();
        let targets = Targets::from(&self.scenario.twin.targets);
        let mut loads = Loads::default();
        let mut cells = Vec::new();
        for (quantity, _) in quantities {
            let of = |(p, m): &(BTreeMap<Quantity, f64>, BTreeMap<Quantity, f64>)| {
                Some((*p.get(&quantity)?, *m.get(&quantity)?))
            };
            let pairs_of: Vec<(f64, f64)> = both.iter().filter_map(of).collect();
            if is_left_out(quantity.group, &pairs_of, both.len()) {
                continue;
            }
            let disturbed = disturbed.as_deref();
            let used: Vec<usize> = pairs.iter().map(|(seed, _)| *seed).collect();
            let pressed =
                quantity.group == Group::P99 && self.pressure(case, &quantity.of, simulated) > MOST_PRESSURE;
            let found = if pressed {
                equal::load(&pairs_of, |factor| {
                    self.p99_under(case, &used, factor, &quantity.of, &mut loads)
                })?
            } else {
                None
            };
            cells.push(match found {
                Some(equal) => judge::by_load(quantity, &pairs_of, &equal, targets.load, disturbed),
                None => {
                    let target = targets.of(quantity.group);
                    judge::by_difference(quantity, &pairs_of, target, disturbed)
                }
            });
        }
        let result = CaseResult {
            name: case.spec.name.clone(),
            what: case.spec.what.clone(),
            load: case.spec.load,
            rate: simulated.first().map_or(0.0, reading::offered),
            pairs: case.files.len().saturating_sub(doubts.len() + set_aside) as u32,
            set_aside: set_aside as u32,
            stolen_share: mean(&stolen),
            machine_share: mean(&shares),
            doubts,
            calibrated_after,
            cells,
        };
        let first = pairs.into_iter().next().map(|(seed, record)| (simulated[seed].clone(), record));
        Ok((result, first))
    }

    /// The share of the capacity that a part of a case uses: as the file says of the whole, else as simulated.
    fn pressure(&self, case: &Case, phase: &str, simulated: &[RunRecord]) -> f64 {
        if let (Some(load), "") = (case.spec.load, phase) {
            return load;
        }
        let of = |record: &RunRecord| {
            let found = reading::phases(record).into_iter().find(|p| p.name == phase)?;
            Some(reading::pressure(record, &found))
        };
        let all: Vec<f64> = simulated.iter().filter_map(of).collect();
        all.iter().sum::<f64>() / all.len().max(1) as f64
    }

    /// The simulated 99th percentiles of a part of a case under so many times its load, with these seeds.
    fn p99_under(
        &self,
        case: &Case,
        seeds: &[usize],
        factor: f64,
        phase: &str,
        loads: &mut Loads,
    ) -> Result<Vec<f64>, Error> {
        let key = (factor * LOAD_STEPS).round() as u64;
        let found = match loads.0.entry(key) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) => place.insert(self.all_p99_under(case, seeds, factor)?),
        };
        Ok(found.iter().filter_map(|values| values.get(phase).copied()).collect())
    }

    /// The same of each part, by its name.
    fn all_p99_under(
        &self,
        case: &Case,
        seeds: &[usize],
        factor: f64,
    ) -> Result<Vec<BTreeMap<String, f64>>, Error> {
        let mut files = Vec::new();
        for seed in seeds {
            let file = &case.files[*seed];
            let derived = derive::with_load(&file.scenario, factor)
                .map_err(|source| Error::Case { case: case.spec.name.clone(), source })?;
            files.push(CaseFile::write(derived.scenario, file.directory.join(format!("load-{factor:.3}")))?);
        }
        let records = self.simulate(&files)?;
        // Their numbers are all that is wanted of them.
        files.iter().for_each(|file| drop(fs::remove_dir_all(&file.directory)));
        let of = |record: &RunRecord| {
            let p99 = |phase: Phase| Some((phase.name, reading::percentile(record, phase.scope, 99.0)?));
            reading::phases(record).into_iter().filter_map(p99).collect()
        };
        Ok(records.iter().map(of).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dips_that_neither_world_has_are_left_out() {
        assert!(is_left_out(Group::DipDepth, &[(0.02, 0.05), (0.0, 0.01)], 2));
        assert!(!is_left_out(Group::DipDepth, &[(0.5, 0.05)], 1));
        assert!(is_left_out(Group::DipDuration, &[(1.0, 1.0)], 2));
        assert!(!is_left_out(Group::P50, &[(1.0, 1.0)], 2));
    }
}
