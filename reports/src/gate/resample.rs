//! The gate's own errors: sessions whose rounds are drawn from recorded ones.
//!
//! Of a recorded round in which all arms were the same program, any arm may stand for any other. Runs of neighbouring rounds
//! are drawn together, so that a disturbance that lasted lasts here too (Künsch, *The jackknife and the bootstrap for general
//! stationary observations*, Annals of Statistics 17, 1989). A regression is put in by making the candidate worse.

use std::convert::Infallible;
use std::time::Duration;

use scenarios::rng::{Purpose, Stream};
use scenarios::units::Seed;

use super::quantity::{Metric, Quantity};
use super::rounds::{Arm, Round, Rounds};
use super::session::{Played, Session, Source, Verdict, hold};
use super::settings::Settings;

/// So many neighbouring rounds are drawn together.
const TOGETHER: usize = 4;

/// Rounds from recorded ones.
#[derive(Debug)]
struct Drawn<'a> {
    recorded: &'a Rounds,
    random: Stream,
    /// What is worse in the candidate, and by how much.
    worse: Option<(Metric, f64)>,
    next: usize,
    left: usize,
    elapsed: f64,
}

impl Source for Drawn<'_> {
    type Error = Infallible;

    fn quantities(&self) -> Vec<Quantity> {
        self.recorded.quantities.clone()
    }

    fn round(&mut self, order: [Arm; 3]) -> Result<Played, Infallible> {
        if self.left == 0 {
            (self.next, self.left) =
                (self.random.below(self.recorded.rounds.len() as u64) as usize, TOGETHER);
        }
        let recorded = &self.recorded.rounds[self.next];
        (self.next, self.left) = ((self.next + 1) % self.recorded.rounds.len(), self.left - 1);
        let mut arms = [0, 1, 2];
        for i in [2, 1] {
            arms.swap(i, self.random.below(i as u64 + 1) as usize);
        }
        let mut values = arms.map(|arm| recorded.values[arm].clone());
        for (value, quantity) in values[2].iter_mut().zip(&self.recorded.quantities) {
            if let Some((_, by)) = self.worse.filter(|(metric, _)| *metric == quantity.metric) {
                *value = quantity.metric.worsened(*value, by);
            }
        }
        self.elapsed += recorded.seconds;
        Ok(Played::Well(Round { order, values, seconds: recorded.seconds }))
    }

    fn elapsed(&self) -> Duration {
        Duration::from_secs_f64(self.elapsed)
    }
}

/// How often sessions ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sessions.
    pub sessions: u64,
    /// Regressed.
    pub regressed: u64,
    /// Inconclusive.
    pub inconclusive: u64,
    /// Invalid.
    pub invalid: u64,
    /// Pass and improved.
    pub passed: u64,
    /// What they took together, in seconds.
    pub seconds: u64,
}

impl Tally {
    /// Counts one.
    pub fn count(&mut self, session: &Session) {
        self.sessions += 1;
        self.seconds += session.took.as_secs();
        let place = match session.verdict {
            Verdict::Pass | Verdict::Improved => &mut self.passed,
            Verdict::Regressed => &mut self.regressed,
            Verdict::Inconclusive => &mut self.inconclusive,
            Verdict::Invalid => &mut self.invalid,
        };
        *place += 1;
    }

    /// The share of sessions that ended in a regression, with its 95% interval.
    pub fn regressed_share(&self) -> (f64, f64, f64) {
        let (low, high) = results::noise::share(self.regressed, self.sessions);
        (self.regressed as f64 / self.sessions as f64, low, high)
    }
}

/// Holds so many sessions on rounds drawn from recorded ones, in which the candidate is worse as given. Which recording a
/// session draws from changes from one to the next.
///
/// # Panics
/// Where there is no recording, or one without rounds.
pub fn sessions(recorded: &[Rounds], settings: &Settings, worse: Option<(Metric, f64)>, count: u64) -> Tally {
    assert!(recorded.iter().all(|r| !r.rounds.is_empty()), "the caller looked");
    let mut tally = Tally::default();
    for number in 0..count {
        let recorded = &recorded[(number % recorded.len() as u64) as usize];
        let random = Stream::new(Seed(settings.seed), Purpose::named("drawn rounds"), number);
        let mut drawn = Drawn { recorded, random, worse, next: 0, left: 0, elapsed: 0.0 };
        let settings = Settings { seed: settings.seed.wrapping_add(number), ..settings.clone() };
        let Ok(session) = hold(&mut drawn, &settings);
        tally.count(&session);
    }
    tally
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Recorded rounds with log-normal noise of this deviation, and now and then a wild one.
    fn recorded(deviation: f64, wild_share: f64) -> Rounds {
        let mut random = Stream::new(Seed(5), Purpose::named("noise"), 0);
        let metrics = [Metric::CpuPerRequest, Metric::P50];
        let quantities = metrics.map(|metric| Quantity { scenario: "steady".to_owned(), metric }).to_vec();
        let mut value = || {
            let normal = (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
            let wild = if random.unit() < wild_share { 0.5 * random.unit() } else { 0.0 };
            (deviation * normal + wild).exp()
        };
        let round = |i: usize| Round {
            order: Arm::ORDERS[i % 6],
            values: [vec![value(), value()], vec![value(), value()], vec![value(), value()]],
            seconds: 3.0,
        };
        Rounds { quantities, rounds: (0..300).map(round).collect() }
    }

    #[test]
    fn a_quiet_or_a_wild_machine_gives_no_false_alarm_and_misses_little() {
        let settings = Settings::default();
        for noise in [recorded(0.01, 0.0), recorded(0.02, 0.05)] {
            let same = sessions(std::slice::from_ref(&noise), &settings, None, 400);
            assert!(same.regressed <= 4, "{same:?}");
            for metric in [Metric::CpuPerRequest, Metric::P50] {
                let worse = Some((metric, settings.detect.ln_1p()));
                let slower = sessions(std::slice::from_ref(&noise), &settings, worse, 200);
                assert!(slower.regressed >= 190, "{metric:?}: {slower:?}");
            }
        }
    }

    #[test]
    fn a_hopeless_machine_is_inconclusive_rather_than_passed() {
        let settings = Settings { most: 40, ..Settings::default() };
        let tally = sessions(&[recorded(0.4, 0.0)], &settings, None, 100);
        assert!(tally.passed <= 5 && tally.regressed <= 1, "{tally:?}");
    }
}
