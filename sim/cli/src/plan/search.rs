//! The search for the cheapest candidate that holds. Knows prices, an order and verdicts; refuses to know what a candidate is and
//! how it is tried.
//!
//! Candidates are told apart by the choices that they take on each knob. Where a knob is *monotone*, a later choice is at
//! least as good: what fails then fails with every earlier choice as well, and what holds makes everything that costs more
//! needless. So candidates are halved by their cost, and each that fails takes those below it along.
//!
//! Efforts rise from rung to rung, as in successive halving (Karnin, Koren and Somekh, "Almost optimal exploration in
//! multi-armed bandits", ICML 2013): on a low rung what fails clearly is out; of what fails by little, the better half goes
//! on, but never fewer than a handful, and no promise is made of what holds. The last rung is the confirmation, and decides.

use std::collections::BTreeSet;

/// What is chosen from.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    /// How many choices each knob has, and whether it is monotone.
    knobs: Vec<(usize, bool)>,
    /// What each candidate costs, by its number.
    costs: Vec<f64>,
}

impl Space {
    /// With the cost of each candidate, in the order of their numbers: the last knob turns fastest.
    pub(crate) fn new(knobs: Vec<(usize, bool)>, costs: Vec<f64>) -> Self {
        assert_eq!(knobs.iter().map(|knob| knob.0).product::<usize>(), costs.len(), "a cost for each");
        Self { knobs, costs }
    }

    /// How many candidates there are.
    pub(crate) fn len(&self) -> usize {
        self.costs.len()
    }

    /// What a candidate costs.
    pub(crate) fn cost(&self, candidate: usize) -> f64 {
        self.costs[candidate]
    }

    /// The choices that a candidate takes, knob by knob.
    pub(crate) fn choices(&self, candidate: usize) -> Vec<usize> {
        let mut rest = candidate;
        let mut choices: Vec<usize> = Vec::with_capacity(self.knobs.len());
        for (count, _) in self.knobs.iter().rev() {
            choices.push(rest % count);
            rest /= count;
        }
        choices.reverse();
        choices
    }

    /// Whether a candidate is at most as good as another, whatever is asked of them.
    fn is_at_most(&self, a: usize, b: usize) -> bool {
        let pairs = self.choices(a).into_iter().zip(self.choices(b));
        pairs.zip(&self.knobs).all(|((a, b), (_, is_monotone))| if *is_monotone { a <= b } else { a == b })
    }

    /// The candidates that another makes needless: it is at least as good with one step more on a monotone knob, and costs no
    /// more.
    pub(crate) fn dominated(&self) -> BTreeSet<usize> {
        let better = |candidate: usize| {
            let choices = self.choices(candidate);
            let mut turn = 1;
            for ((count, is_monotone), choice) in self.knobs.iter().zip(&choices).rev() {
                let next = candidate + turn;
                if *is_monotone && choice + 1 < *count && self.costs[next] <= self.costs[candidate] {
                    return true;
                }
                turn *= count;
            }
            false
        };
        (0..self.len()).filter(|candidate| better(*candidate)).collect()
    }

    /// By cost, then by number.
    fn is_before(&self, a: usize, b: usize) -> bool {
        (self.costs[a], a) < (self.costs[b], b)
    }
}

/// What came of a candidate on a rung.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// Whether everything holds.
    pub(crate) holds: bool,
    /// By how much, where it holds least: a logarithm of limit over figure.
    pub(crate) margin: f64,
}

impl Verdict {
    /// Whether it fails by more than a small effort can be wrong: by half as much again as is allowed.
    fn fails_clearly(self) -> bool {
        const CLEAR: f64 = 0.405;
        !self.holds && self.margin < -CLEAR
    }
}

/// Who tries candidates.
pub(crate) trait Evaluator {
    /// Why there is no verdict.
    type Error;

    /// How many rungs of effort there are; the last confirms.
    fn rungs(&self) -> usize;

    /// Tries candidates with the effort of a rung; a verdict each, in their order. `left` is how many are still open.
    fn evaluate(
        &mut self,
        candidates: &[usize],
        rung: usize,
        left: usize,
    ) -> Result<Vec<Verdict>, Self::Error>;
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Answer {
    /// The cheapest that holds on the last rung; none where nothing does.
    pub(crate) best: Option<usize>,
    /// Every verdict in the order in which they were given: candidate, rung, verdict.
    pub(crate) tried: Vec<(usize, usize, Verdict)>,
}

/// Of what fails by little on a low rung, at least so many go on.
const HANDFUL: usize = 8;

/// Looks for the cheapest of the `open` candidates that holds. `guess` is tried first. `at_once` candidates are tried at a time:
/// what is found may depend on it, so it must not depend on the machine.
pub(crate) fn search<E: Evaluator>(
    space: &Space,
    open: BTreeSet<usize>,
    guess: Option<usize>,
    at_once: usize,
    evaluator: &mut E,
) -> Result<Answer, E::Error> {
    let mut open = open;
    let mut guess = guess;
    let mut answer = Answer { best: None, tried: Vec::new() };
    let rungs = evaluator.rungs();
    for rung in 0..rungs {
        let is_last = rung + 1 == rungs;
        let mut best: Option<usize> = None;
        let mut nearly: Vec<(usize, f64)> = Vec::new();
        // What may still be cheaper than the best of this rung.
        let mut left = open.clone();
        while let Some(picked) = pick(space, &left, guess.take(), at_once) {
            let verdicts = evaluator.evaluate(&picked, rung, left.len())?;
            for (candidate, verdict) in picked.into_iter().zip(verdicts) {
                answer.tried.push((candidate, rung, verdict));
                left.remove(&candidate);
                if verdict.holds {
                    if best.is_none_or(|best| space.is_before(candidate, best)) {
                        best = Some(candidate);
                    }
                } else {
                    let below = |other: &usize| space.is_at_most(*other, candidate);
                    left.retain(|other| !below(other));
                    if is_last || verdict.fails_clearly() {
                        open.retain(|other| !below(other));
                    } else {
                        nearly.push((candidate, verdict.margin));
                    }
                }
            }
            if let Some(best) = best {
                left.retain(|other| space.is_before(*other, best));
            }
        }
        nearly.sort_by(|a, b| b.1.total_cmp(&a.1));
        for (candidate, _) in nearly.iter().skip(HANDFUL.max(nearly.len().div_ceil(2))) {
            open.remove(candidate);
        }
        guess = best;
        answer.best = best;
    }
    Ok(answer)
}

/// What to try next: a guess that is open, else those that cut the rest, in order of cost, into equal parts.
fn pick(space: &Space, left: &BTreeSet<usize>, guess: Option<usize>, at_once: usize) -> Option<Vec<usize>> {
    if let Some(guess) = guess.filter(|guess| left.contains(guess)) {
        return Some(vec![guess]);
    }
    let mut order: Vec<usize> = left.iter().copied().collect();
    order.sort_by(|a, b| space.cost(*a).total_cmp(&space.cost(*b)).then(a.cmp(b)));
    let parts = at_once.clamp(1, order.len().max(1)) + 1;
    let mut picked: Vec<usize> =
        (1..parts).filter_map(|i| order.get(i * order.len() / parts).copied()).collect();
    picked.dedup();
    (!picked.is_empty()).then_some(picked)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// Tells by a rule how much of something a candidate has over what is needed, with an error that shrinks from rung to rung.
    struct Rule<'a> {
        space: &'a Space,
        margin: &'a dyn Fn(&[usize]) -> f64,
        errors: &'a [f64],
        tried: [usize; 4],
    }

    impl Evaluator for Rule<'_> {
        type Error = Infallible;

        fn rungs(&self) -> usize {
            self.errors.len()
        }

        fn evaluate(&mut self, of: &[usize], rung: usize, _: usize) -> Result<Vec<Verdict>, Infallible> {
            self.tried[rung] += of.len();
            let verdict = |candidate: &usize| {
                // Different for each candidate, and the same whenever it is asked for.
                let noise = (*candidate as f64 * 12.9898).sin() * self.errors[rung];
                let margin = (self.margin)(&self.space.choices(*candidate)) + noise;
                Verdict { holds: margin >= 0.0, margin }
            };
            Ok(of.iter().map(verdict).collect())
        }
    }

    fn space(knobs: &[(usize, bool)], cost: impl Fn(&[usize]) -> f64) -> Space {
        let count = knobs.iter().map(|knob| knob.0).product();
        let blank = Space { knobs: knobs.to_vec(), costs: vec![0.0; count] };
        let costs = (0..count).map(|candidate| cost(&blank.choices(candidate))).collect();
        Space::new(knobs.to_vec(), costs)
    }

    fn exhaustive(space: &Space, margin: &dyn Fn(&[usize]) -> f64) -> Option<usize> {
        let holding = (0..space.len()).filter(|candidate| margin(&space.choices(*candidate)) >= 0.0);
        holding.min_by(|a, b| space.cost(*a).total_cmp(&space.cost(*b)).then(a.cmp(b)))
    }

    fn found(space: &Space, margin: &dyn Fn(&[usize]) -> f64, errors: &[f64]) -> (Option<usize>, [usize; 4]) {
        let mut rule = Rule { space, margin, errors, tried: [0; 4] };
        let Ok(answer) = search(space, (0..space.len()).collect(), None, 2, &mut rule);
        (answer.best, rule.tried)
    }

    #[test]
    fn choices_and_numbers_belong_together() {
        let space = space(&[(2, true), (3, false), (4, true)], |c| c.iter().sum::<usize>() as f64);
        assert_eq!(space.len(), 24);
        assert_eq!(space.choices(0), [0, 0, 0]);
        assert_eq!(space.choices(23), [1, 2, 3]);
        assert_eq!(space.choices(13), [1, 0, 1]);
        assert!(space.is_at_most(1, 13) && !space.is_at_most(13, 1));
        assert!(!space.is_at_most(1, 4 + 1), "another choice that has no order");
    }

    #[test]
    fn one_monotone_knob_is_halved() {
        let space = space(&[(1000, true)], |c| 10.0 * c[0] as f64);
        for limit in [0, 1, 499, 998, 999] {
            let margin = move |c: &[usize]| (c[0] as f64 + 1.0).ln() - (limit as f64 + 1.0).ln();
            let (best, tried) = found(&space, &margin, &[0.0]);
            assert_eq!(best, Some(limit));
            assert!(tried[0] <= 2 * 8, "{limit}: {tried:?}");
        }
        assert_eq!(found(&space, &|_| -1.0, &[0.0, 0.0]).0, None);
    }

    #[test]
    fn the_answer_is_that_of_trying_everything_in_fewer_trials() {
        // Nodes, their type, and a store's size: 20 × 3 × 4 candidates, and power that grows with all of them.
        let knobs = [(20, true), (3, false), (4, true)];
        let power = [1.0, 2.2, 3.9];
        let price = [100.0, 190.0, 420.0];
        let space = space(&knobs, |c| (c[0] + 1) as f64 * price[c[1]] + [50.0, 80.0, 150.0, 400.0][c[2]]);
        for seed in 1..200 {
            let need = 1.0 + 0.35 * f64::from(seed);
            let margin = |c: &[usize]| {
                let nodes = (c[0] + 1) as f64 * power[c[1]] / need;
                let store = 2f64.powi(c[2] as i32) * 12.0 / need.sqrt() / 3.0;
                nodes.min(store).ln()
            };
            let expected = exhaustive(&space, &margin);
            let (best, tried) = found(&space, &margin, &[0.0]);
            assert_eq!(best, expected, "need {need}");
            assert!(tried[0] < 60, "need {need}: {tried:?}");
        }
    }

    #[test]
    fn low_rungs_that_err_a_little_do_not_lose_the_answer() {
        let knobs = [(15, true), (3, false)];
        let (power, price) = ([1.0, 2.2, 3.9], [100.0, 190.0, 420.0]);
        let space = space(&knobs, |c| (c[0] + 1) as f64 * price[c[1]]);
        for seed in 1..100 {
            let need = 0.9 + 0.21 * f64::from(seed);
            let margin = |c: &[usize]| ((c[0] + 1) as f64 * power[c[1]] / need).ln();
            let (best, _) = found(&space, &margin, &[0.2, 0.05, 0.0]);
            assert_eq!(best, exhaustive(&space, &margin), "need {need}");
        }
    }

    #[test]
    fn what_costs_no_more_and_is_better_makes_the_rest_needless() {
        // The second knob is free of charge: only its last choice is left.
        let space = space(&[(3, true), (4, true)], |c| c[0] as f64);
        let dominated = space.dominated();
        assert_eq!(dominated.len(), 9);
        assert!((0..3).all(|i| !dominated.contains(&(4 * i + 3))));
        let lists = self::space(&[(3, false)], |_| 1.0);
        assert!(lists.dominated().is_empty(), "choices without an order replace nothing");
    }

    #[test]
    fn a_good_guess_saves_trials() {
        let space = space(&[(1000, true)], |c| c[0] as f64);
        let margin = |c: &[usize]| c[0] as f64 - 700.0;
        let trials = |guess| {
            let mut rule = Rule { space: &space, margin: &margin, errors: &[0.0], tried: [0; 4] };
            let Ok(answer) = search(&space, (0..1000).collect(), guess, 1, &mut rule);
            assert_eq!(answer.best, Some(700));
            (rule.tried[0], answer.tried[0].0)
        };
        assert_eq!(trials(Some(700)).1, 700, "the guess is tried first");
        assert!(trials(Some(3)).0 <= 12, "a bad one costs little");
    }
}
