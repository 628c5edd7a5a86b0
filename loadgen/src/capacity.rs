//! The search for the greatest load that a condition holds under: by halving, with every verdict repeated where it counts.
//!
//! Knows loads as factors of a scenario's own; refuses to know how a trial is made.

/// How far a load may be from the scenario's own, either way.
const FARTHEST: f64 = 4096.0;

/// What was found at one load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Times the scenario's own load.
    pub factor: f64,
    /// Trials in which the condition held.
    pub held: u32,
    /// Trials in which it did not.
    pub failed: u32,
}

impl Load {
    /// Whether the condition holds, by most of the trials.
    pub fn holds(&self) -> bool {
        self.held > self.failed
    }
}

/// A search, from one trial to the next.
///
/// ```
/// use loadgen::capacity::Search;
/// let mut search = Search::new(0.05, 1);
/// while let Some(factor) = search.next() {
///     search.add(factor, factor < 3.3);
/// }
/// let (low, high) = search.bounds();
/// assert!(low.expect("some load is small enough").factor < 3.3 && high.expect("some is too great").factor >= 3.3);
/// ```
#[derive(Clone, Debug)]
pub struct Search {
    precision: f64,
    repeats: u32,
    loads: Vec<Load>,
    /// The least load that could not be tried.
    beyond: Option<f64>,
    /// Loads that are not to be tried again.
    settled: Vec<f64>,
}

impl Search {
    /// Ends when the greatest load that holds and the least that does not are no further apart than `precision` (a share),
    /// and each of the two was tried `repeats` times.
    pub fn new(precision: f64, repeats: u32) -> Self {
        Self {
            precision: precision.max(0.001),
            repeats: repeats.max(1),
            loads: Vec::new(),
            beyond: None,
            settled: Vec::new(),
        }
    }

    /// No trial at this load says anything: it is out of reach, unless earlier ones said something; then those decide.
    pub fn give_up(&mut self, factor: f64) {
        if self.loads.iter().any(|load| load.factor == factor) {
            self.settled.push(factor);
        } else {
            self.beyond = Some(self.beyond.map_or(factor, |known| known.min(factor)));
        }
    }

    /// The least load that could not be tried, where it lies below all at which the condition does not hold: what holds above
    /// the greatest one that does is then not known.
    pub fn beyond(&self) -> Option<f64> {
        let (_, high) = self.bounds();
        self.beyond.filter(|beyond| high.is_none_or(|high| *beyond < high.factor))
    }

    /// Adds what a trial found.
    pub fn add(&mut self, factor: f64, holds: bool) {
        let known = self.loads.iter().position(|load| load.factor == factor);
        let place = known.unwrap_or_else(|| {
            self.loads.push(Load { factor, held: 0, failed: 0 });
            self.loads.len() - 1
        });
        let load = &mut self.loads[place];
        load.held += u32::from(holds);
        load.failed += u32::from(!holds);
    }

    /// The greatest load that holds below all that do not, and the least that does not.
    pub fn bounds(&self) -> (Option<Load>, Option<Load>) {
        let by_factor = |a: &&Load, b: &&Load| a.factor.total_cmp(&b.factor);
        let high = self.loads.iter().filter(|load| !load.holds()).min_by(by_factor).copied();
        let below = |load: &&Load| high.is_none_or(|high| load.factor < high.factor);
        (self.loads.iter().filter(|load| load.holds()).filter(below).max_by(by_factor).copied(), high)
    }

    /// The load to try next; none when the search is over.
    #[allow(clippy::should_implement_trait, reason = "what comes next depends on what is added in between")]
    pub fn next(&self) -> Option<f64> {
        let (low, high) = self.bounds();
        let repeated = |load: Load| {
            let wanted = load.held + load.failed < self.repeats && !self.settled.contains(&load.factor);
            wanted.then_some(load.factor)
        };
        if let Some(beyond) = self.beyond() {
            return match low {
                Some(low) if beyond / low.factor > 1.0 + self.precision => Some((low.factor * beyond).sqrt()),
                Some(low) => repeated(low),
                None => Some(beyond / 2.0).filter(|factor| *factor >= 1.0 / FARTHEST),
            };
        }
        match (low, high) {
            (None, None) => Some(1.0),
            (Some(low), None) => Some(low.factor * 2.0).filter(|factor| *factor <= FARTHEST),
            (None, Some(high)) => Some(high.factor / 2.0).filter(|factor| *factor >= 1.0 / FARTHEST),
            (Some(low), Some(high)) if high.factor / low.factor > 1.0 + self.precision => {
                Some((low.factor * high.factor).sqrt())
            }
            (Some(low), Some(high)) => repeated(low).or_else(|| repeated(high)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(precision: f64, repeats: u32, mut holds: impl FnMut(f64) -> bool) -> (f64, f64, u32) {
        let mut search = Search::new(precision, repeats);
        let mut trials = 0;
        while let Some(factor) = search.next() {
            search.add(factor, holds(factor));
            trials += 1;
            assert!(trials < 200, "the search has an end");
        }
        let (low, high) = search.bounds();
        (low.map_or(0.0, |l| l.factor), high.map_or(f64::INFINITY, |h| h.factor), trials)
    }

    #[test]
    fn the_limit_is_enclosed_as_closely_as_asked() {
        for limit in [0.01, 0.7, 1.0, 5.0, 1000.0] {
            let (low, high, trials) = found(0.05, 3, |factor| factor < limit);
            assert!(low < limit && limit <= high && high / low <= 1.05, "{limit}: {low} to {high}");
            assert!(trials < 40, "{trials}");
        }
    }

    #[test]
    fn one_bad_trial_does_not_decide() {
        let mut bad = true;
        // The trial that fails by chance is the first one near the limit.
        let (low, high, _) =
            found(0.05, 5, |factor| factor < 3.0 && !(factor > 2.8 && std::mem::take(&mut bad)));
        assert!(low > 2.0 && low < 3.0 && high <= 3.1, "{low} to {high}");
    }

    #[test]
    fn loads_out_of_reach_bound_the_search_without_a_verdict() {
        let mut search = Search::new(0.05, 3);
        let mut trials = 0;
        while let Some(factor) = search.next() {
            if factor > 5.0 {
                search.give_up(factor)
            } else {
                search.add(factor, true)
            }
            trials += 1;
            assert!(trials < 40, "the search has an end");
        }
        let (low, high) = search.bounds();
        let (low, beyond) = (low.expect("small loads hold").factor, search.beyond().expect("there is one"));
        assert!(high.is_none() && low <= 5.0 && beyond > 5.0 && beyond / low <= 1.05, "{low} to {beyond}");

        // A verdict below what is out of reach is a verdict.
        let mut search = Search::new(0.05, 3);
        while let Some(factor) = search.next() {
            if factor > 5.0 { search.give_up(factor) } else { search.add(factor, factor < 3.0) }
        }
        assert!(search.beyond().is_none() && search.bounds().1.is_some());

        // A load that was tried and cannot be tried again keeps its verdict.
        let mut search = Search::new(0.05, 3);
        search.add(1.0, true);
        search.add(1.01, false);
        search.give_up(1.0);
        assert_eq!(search.next(), Some(1.01));
    }

    #[test]
    fn a_limit_that_is_nowhere_ends_the_search() {
        assert_eq!(found(0.05, 1, |_| true).1, f64::INFINITY);
        assert_eq!(found(0.05, 1, |_| false).0, 0.0);
    }
}
