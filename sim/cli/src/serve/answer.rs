//! Simulations for those who wait for them: one at a time, given up when nobody waits any longer, the latest kept.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use results::{RunRecord, World};
use sim::Simulation;

use super::state::Prepared;

/// So many answers are kept, so that going back costs nothing.
const KEPT: usize = 12;
/// How often it is looked whether somebody still waits.
const LOOK: Duration = Duration::from_millis(25);
/// What takes longer is given up.
const MOST: Duration = Duration::from_secs(30);

/// What came of a simulation.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) record: RunRecord,
    /// What the scenario does not keep of the file.
    pub(super) notes: Vec<String>,
}

/// The answers so far, and whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Answers {
    kept: Mutex<VecDeque<(String, Arc<Outcome>)>>,
    busy: Mutex<bool>,
    free: Condvar,
}

/// The right to simulate, until it is dropped, even by a panic.
struct Turn<'a>(&'a Answers);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *locked(&self.0.busy) = false;
        self.0.free.notify_one();
    }
}

/// What the locks guard is whole at any time, so a panic elsewhere does no harm to it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Answers {
    /// The answer of this key: a kept one, or that of a simulation of what `make` makes.
    ///
    /// # Errors
    /// With why there is none, for readers; among other reasons because it was abandoned.
    pub(super) fn of(
        &self,
        key: String,
        make: &dyn Fn() -> Result<Prepared, String>,
        abandoned: &dyn Fn() -> bool,
    ) -> Result<Arc<Outcome>, String> {
        if let Some(outcome) = self.kept(&key) {
            return Ok(outcome);
        }
        let _turn = self.turn(abandoned)?;
        // Whoever had the turn before may have wanted the same.
        if let Some(outcome) = self.kept(&key) {
            return Ok(outcome);
        }
        let outcome = Arc::new(simulate(make()?, abandoned)?);
        let mut kept = locked(&self.kept);
        kept.truncate(KEPT - 1);
        kept.push_front((key, Arc::clone(&outcome)));
        Ok(outcome)
    }

    fn kept(&self, key: &str) -> Option<Arc<Outcome>> {
        let mut kept = locked(&self.kept);
        let place = kept.iter().position(|(other, _)| other == key)?;
        let found = kept.remove(place)?;
        let outcome = Arc::clone(&found.1);
        kept.push_front(found);
        Some(outcome)
    }

    /// Waits until nobody else simulates.
    fn turn(&self, abandoned: &dyn Fn() -> bool) -> Result<Turn<'_>, String> {
        let mut busy = locked(&self.busy);
        while *busy {
            if abandoned() {
                return Err(gone());
            }
            busy = self.free.wait_timeout(busy, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        *busy = true;
        Ok(Turn(self))
    }
}

fn gone() -> String {
    "Nobody waits for this answer any longer.".to_owned()
}

fn simulate(prepared: Prepared, abandoned: &dyn Fn() -> bool) -> Result<Outcome, String> {
    let Prepared { scenario, notes } = prepared;
    // Building a world can take a while as well.
    if abandoned() {
        return Err(gone());
    }
    let begun = Instant::now();
    let mut looked: Option<Instant> = None;
    let mut simulation = Simulation::new(&scenario).map_err(|refused| refused.to_string())?;
    while !simulation.advance() {
        if looked.is_some_and(|at| at.elapsed() < LOOK) {
            continue;
        }
        looked = Some(Instant::now());
        if abandoned() {
            return Err(gone());
        }
        if begun.elapsed() > MOST {
            let reached = simulation.progress().reached.as_secs_f64() / scenario.run.total().as_secs_f64();
            return Err(format!(
                "Given up after {} s, with {:.0}% simulated: choose a shorter part, or less load.",
                MOST.as_secs(),
                100.0 * reached
            ));
        }
    }
    let (delta, samples) = simulation.take();
    let mut record = RunRecord::in_memory(&scenario, World::Sim, &delta, &samples);
    record.evidence = simulation.evidence();
    Ok(Outcome { record, notes })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use scenarios::Scenario;

    use super::*;

    fn quickstart() -> Result<Prepared, String> {
        let scenario = Scenario::parse("quickstart.toml", scenarios::library::QUICKSTART);
        Ok(Prepared { scenario: scenario.expect("it is tested"), notes: Vec::new() })
    }

    #[test]
    fn an_answer_is_made_once_and_is_the_same_again() {
        let made = Cell::new(0);
        let make = || {
            made.set(made.get() + 1);
            quickstart()
        };
        let answers = Answers::default();
        let first = answers.of("a".to_owned(), &make, &|| false).expect("it can be simulated");
        let again = answers.of("a".to_owned(), &make, &|| false).expect("it is kept");
        assert!(Arc::ptr_eq(&first, &again));
        let other = Answers::default().of("a".to_owned(), &make, &|| false).expect("it can be simulated");
        assert_eq!((made.get(), &first.record), (2, &other.record), "it depends on the seed alone");
    }

    #[test]
    fn what_nobody_waits_for_is_given_up_and_leaves_the_turn_to_others() {
        let answers = Answers::default();
        let asked = Cell::new(0);
        // Whoever waits leaves once the simulation is under way.
        let leaves = || asked.replace(asked.get() + 1) > 0;
        let wrong = answers.of("left".to_owned(), &quickstart, &leaves).expect_err("nobody waits");
        assert_eq!((wrong, asked.get()), (gone(), 2));
        assert!(answers.kept("left").is_none());
        assert!(answers.of("a".to_owned(), &quickstart, &|| false).is_ok());
    }

    #[test]
    fn who_waits_for_the_turn_may_leave() {
        let answers = Answers::default();
        let _turn = answers.turn(&|| false).expect("nobody else has it");
        assert!(answers.turn(&|| true).is_err());
    }

    #[test]
    fn only_the_latest_answers_are_kept() {
        let answers = Answers::default();
        let short = || {
            let text = scenarios::library::QUICKSTART.replace("\"30s\"", "\"21s\"");
            let scenario = Scenario::parse("quickstart.toml", text).map_err(|e| e.to_string())?;
            Ok(Prepared { scenario, notes: Vec::new() })
        };
        let outcome = answers.of("0".to_owned(), &short, &|| false).expect("it can be simulated");
        for key in 1..KEPT + 5 {
            let mut kept = locked(&answers.kept);
            kept.truncate(KEPT - 1);
            kept.push_front((key.to_string(), Arc::clone(&outcome)));
        }
        assert!(answers.kept("0").is_none() && answers.kept("5").is_some());
        assert_eq!(locked(&answers.kept).len(), KEPT);
    }
}
