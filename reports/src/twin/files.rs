//! The files of a session: what both worlds run, and the runs that are there.
//!
//! `DIRECTORY/CASE/SEED/` holds `scenario.toml`, the file that both worlds run, and in `loadgen/` and `sim/` the runs.

use std::fs;
use std::path::{Path, PathBuf};

use results::{RunRecord, Status};
use scenarios::scenario::{Engine, TwinCase};
use scenarios::units::Seed;
use scenarios::{Scenario, derive};

use super::judge::{MOST_BUSY, MUCH_STOLEN};
use super::measure::Error;
use super::reading;

/// What both worlds run.
#[derive(Debug)]
pub(super) struct CaseFile {
    pub(super) scenario: Scenario,
    pub(super) directory: PathBuf,
    pub(super) path: PathBuf,
}

impl CaseFile {
    pub(super) fn new(
        scenario: &Scenario,
        case: &TwinCase,
        seed: Seed,
        directory: &Path,
    ) -> Result<Self, Error> {
        let derived = derive::case(scenario, case, seed)
            .map_err(|source| Error::Case { case: case.name.clone(), source })?;
        Self::write(derived.scenario, directory.join(&case.name).join(seed.0.to_string()))
    }

    pub(super) fn write(scenario: Scenario, directory: PathBuf) -> Result<Self, Error> {
        let path = directory.join("scenario.toml");
        let failed = |source| Error::Write { path: path.clone(), source };
        fs::create_dir_all(&directory).map_err(failed)?;
        fs::write(&path, &scenario.source.text).map_err(failed)?;
        Ok(Self { scenario, directory, path })
    }

    /// The measured runs of this case that came to their end, the last first.
    fn measured(&self) -> impl Iterator<Item = RunRecord> + '_ {
        let own = apart(&self.scenario.source.text).map(|(played, _)| played);
        let read = runs(&self.directory.join("loadgen"))
            .into_iter()
            .rev()
            .filter_map(|run| RunRecord::read(run).ok());
        read.filter(move |record| {
            record.status == Status::Complete && apart(&record.scenario.text).map(|(played, _)| played) == own
        })
    }

    /// Whether a run was played with the calibration that now predicts it, which was frozen before, then.
    pub(super) fn was_frozen_before(&self, record: &RunRecord) -> bool {
        let calibration = |text: &str| apart(text).map(|(_, calibration)| calibration);
        calibration(&record.scenario.text) == calibration(&self.scenario.source.text)
    }

    /// The measured run, if there is one that can be believed; of several, the one from which the hypervisor took the least.
    pub(super) fn good(&self) -> Option<RunRecord> {
        let believed = self.measured().filter(|record| doubt(record).is_none());
        believed.min_by(|a, b| reading::stolen_share(a).total_cmp(&reading::stolen_share(b)))
    }

    /// Whether one more run may tell more: the hypervisor took much from each that can be believed, and all are fewer than so many.
    pub(super) fn is_worth_another(&self, attempts: u32) -> bool {
        let runs: Vec<RunRecord> = self.measured().collect();
        let believed = runs.iter().filter(|record| doubt(record).is_none());
        let calmest = believed.map(reading::stolen_share).min_by(f64::total_cmp);
        runs.len() < attempts as usize && calmest.is_some_and(|share| share > MUCH_STOLEN)
    }

    /// The last measured run.
    pub(super) fn last(&self) -> Option<RunRecord> {
        self.measured().next()
    }

    pub(super) fn why_bad(&self) -> String {
        let last = self.last();
        last.as_ref().map_or_else(|| "it was not played".to_owned(), |r| doubt(r).unwrap_or_default())
    }
}

/// What speaks against a measured run.
fn doubt(record: &RunRecord) -> Option<String> {
    if let Some(reason) = record.validity.reasons.first() {
        return Some(format!("the run is invalid: {reason}"));
    }
    match reading::machine_share(record) {
        Some(share) if share > MOST_BUSY => Some(format!(
            "the machine was {:.0}% busy, at most {:.0}% may be",
            share * 100.0,
            MOST_BUSY * 100.0
        )),
        Some(_) => None,
        None => Some("the record does not say how busy the machine was".to_owned()),
    }
}

/// The content of a file: what is played, and the calibration, which the simulator alone reads. None where it is no TOML.
fn apart(text: &str) -> Option<(toml::Table, Option<toml::Value>)> {
    let mut table: toml::Table = text.parse().ok()?;
    let calibration = table.remove("calibration");
    Some((table, calibration))
}

/// The directories of runs, the oldest first.
pub(super) fn runs(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

/// Writes down what the runs of a directory are made with, and refuses to mix.
pub(super) fn remember_engines(directory: &Path, engines: &[String]) -> Result<(), Error> {
    let path = directory.join("engines.txt");
    let words = |engines: &str| match engines.trim() {
        "" => "the stack's own components".to_owned(),
        some => some.replace('\n', ", "),
    };
    let expected = engines.join("\n");
    match fs::read_to_string(&path) {
        Ok(found) if found.trim() != expected => {
            let (path, found, expected) = (directory.to_owned(), words(&found), words(&expected));
            Err(Error::Engines { path, found, expected })
        }
        Ok(_) => Ok(()),
        Err(_) => fs::write(&path, expected).map_err(|source| Error::Write { path, source }),
    }
}

/// What stands in components' places that is not the stack's own.
pub(super) fn engines(scenario: &Scenario) -> Vec<String> {
    let own = |engine: &Engine| *engine == Engine::Embedded;
    let named = scenario.components.iter().filter(|component| !own(&component.engine));
    named.map(|component| format!("{} = {}", component.name, engine_name(&component.engine))).collect()
}

fn engine_name(engine: &Engine) -> String {
    match engine {
        Engine::Server(server) => server.name().to_owned(),
        // An address may hold a password.
        _ => "elsewhere".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_stays_whatever_the_calibration_says() {
        let text = |costs: &str, rate: &str| {
            let text = format!("title = \"T\"\nrate = \"{rate}\"\n[calibration]\nclient = \"{costs}\"");
            apart(&text).expect("it is TOML")
        };
        let (played, costs) = text("40us", "1/s");
        assert_eq!(text("50us", "1/s").0, played);
        assert_ne!(text("50us", "1/s").1, costs);
        assert_ne!(text("40us", "2/s").0, played);
        assert_eq!(text("40us", "2/s").1, costs);
    }

    #[test]
    fn runs_of_one_directory_have_the_same_engines() {
        let directory = tempfile::tempdir().expect("a directory");
        let redis = ["objects = redis".to_owned()];
        remember_engines(directory.path(), &redis).expect("nothing is there");
        remember_engines(directory.path(), &redis).expect("the same");
        let told = remember_engines(directory.path(), &[]).expect_err("others").to_string();
        assert!(told.contains("objects = redis") && told.contains("stack's own"), "{told}");
    }
}
