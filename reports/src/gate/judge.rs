//! From rounds to a verdict on each quantity.

use results::statistics::signed_rank::{holm, normal_quantile};

use super::quantity::{Quantity, Rules};
use super::rounds::Rounds;
use super::settings::Settings;
use super::shift::Shift;

/// What a quantity came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It is not worse by what must be noticed.
    Pass,
    /// It is better by more than the margin.
    Improved,
    /// It is worse by more than the margin.
    Regressed,
    /// It is, and somebody has accepted that.
    Accepted,
    /// The noise leaves it open.
    Open,
}

/// What the rounds say of one quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Judgement {
    /// Of which.
    pub quantity: Quantity,
    /// What matters.
    pub rules: Rules,
    /// How much worse the candidate is.
    pub estimate: f64,
    /// The interval that holds the truth in 95 of 100 cases.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// How probable as much is where the candidate is worse by the margin, raised by Holm's rule.
    pub p: f64,
    /// The least worsening that so many rounds with such noise notice as surely as was asked.
    pub visible: f64,
    /// The verdict.
    pub finding: Finding,
}

/// Judges the candidate by its rounds, with this probability of a false alarm over all quantities that `select` names.
pub fn judge(
    rounds: &Rounds,
    settings: &Settings,
    alarm: f64,
    select: impl Fn(usize) -> bool,
) -> Vec<Judgement> {
    let chosen: Vec<usize> = (0..rounds.quantities.len()).filter(|q| select(*q)).collect();
    let tests: Vec<Option<Shift>> =
        chosen.iter().map(|q| Shift::of(rounds.quantities[*q].metric, &rounds.of_candidate(*q))).collect();
    let rules: Vec<Rules> = chosen.iter().map(|q| settings.rules(rounds.quantities[*q].metric)).collect();
    let raised = |p: &dyn Fn(&Shift, &Rules) -> f64| {
        let all =
            tests.iter().zip(&rules).map(|(test, rules)| test.as_ref().map_or(1.0, |test| p(test, rules)));
        holm(&all.collect::<Vec<_>>())
    };
    let worse = raised(&|test, rules| test.p_above(rules.margin));
    let better = raised(&|test, rules| test.p_below(-rules.margin));
    let judgement = |place: usize| {
        let (quantity, rules) = (rounds.quantities[chosen[place]].clone(), rules[place]);
        let Some(test) = &tests[place] else {
            let (estimate, low, high) = (f64::NAN, f64::NEG_INFINITY, f64::INFINITY);
            return Judgement {
                quantity,
                rules,
                estimate,
                low,
                high,
                p: 1.0,
                visible: high,
                finding: Finding::Open,
            };
        };
        let (low, high) = (test.lower_bound(0.025), test.upper_bound(0.025));
        // The interval's width is that of a normal law with this deviation.
        let error = (high - low) / (2.0 * normal_quantile(0.025));
        let sure = normal_quantile(alarm / chosen.len() as f64) + normal_quantile(settings.miss);
        let finding = if worse[place] < alarm {
            Finding::Regressed
        } else if better[place] < alarm {
            Finding::Improved
        } else if test.upper_bound(settings.miss) < rules.detect {
            Finding::Pass
        } else {
            Finding::Open
        };
        let visible = rules.margin + sure * error;
        Judgement { quantity, rules, estimate: test.centre(), low, high, p: worse[place], visible, finding }
    };
    (0..chosen.len()).map(judgement).collect()
}

/// Quantities by which the control differs from the base by more than the margin: the machine, not the candidate.
pub fn disturbed(rounds: &Rounds, settings: &Settings) -> Vec<Quantity> {
    let p = |q: usize| {
        let metric = rounds.quantities[q].metric;
        let margin = settings.rules(metric).margin;
        let test = Shift::of(metric, &rounds.of_control(q));
        test.map_or(1.0, |test| 2.0 * test.p_above(margin).min(test.p_below(-margin)))
    };
    let raised = holm(&(0..rounds.quantities.len()).map(p).collect::<Vec<_>>());
    let named = rounds.quantities.iter().zip(raised).filter(|(_, p)| *p < settings.alarm);
    named.map(|(quantity, _)| quantity.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::quantity::Metric;
    use crate::gate::rounds::{Arm, Round};

    /// Thirty rounds with noise of about 2% whose arms are worse by so much.
    fn rounds(control: f64, candidate: f64, metric: Metric) -> Rounds {
        let quantities = vec![Quantity { scenario: "steady".to_owned(), metric }];
        let noise = |i: u32, step: u32| 0.01 * (f64::from(i * step % 11) - 5.0) / 2.0;
        let round = |i: u32| {
            let arms = [(0.0, 3), (control, 5), (candidate, 7)];
            let values = arms.map(|(by, step)| vec![metric.worsened(0.1, by + noise(i, step))]);
            Round { order: Arm::ORDERS[i as usize % 6], values, seconds: 1.0 }
        };
        Rounds { quantities, rounds: (0..33).map(round).collect() }
    }

    fn finding(candidate: f64, metric: Metric) -> Finding {
        let settings = Settings::default();
        judge(&rounds(0.0, candidate, metric), &settings, settings.alarm, |_| true)[0].finding
    }

    #[test]
    fn each_size_of_change_has_its_verdict() {
        for metric in [Metric::CpuPerRequest, Metric::Throughput] {
            assert_eq!(finding(0.0, metric), Finding::Pass);
            assert_eq!(finding(0.01, metric), Finding::Pass);
            assert_eq!(finding(0.06, metric), Finding::Regressed);
            assert_eq!(finding(-0.06, metric), Finding::Improved);
        }
    }

    #[test]
    fn few_rounds_leave_it_open() {
        let settings = Settings::default();
        let mut few = rounds(0.0, 0.0, Metric::P50);
        few.rounds.truncate(4);
        let judged = &judge(&few, &settings, settings.alarm, |_| true)[0];
        assert_eq!((judged.finding, judged.visible), (Finding::Open, f64::INFINITY));
    }

    #[test]
    fn a_control_that_differs_is_the_machines_doing() {
        let settings = Settings::default();
        assert!(disturbed(&rounds(0.0, 0.3, Metric::P50), &settings).is_empty());
        assert_eq!(disturbed(&rounds(0.06, 0.0, Metric::P50), &settings).len(), 1);
        assert_eq!(disturbed(&rounds(-0.06, 0.0, Metric::P50), &settings).len(), 1);
    }

    #[test]
    fn servers_that_never_fail_pass_and_those_that_begin_to_do_not() {
        let settings = Settings::default();
        let mut rounds = rounds(0.0, 0.0, Metric::Failed);
        rounds.rounds.iter_mut().for_each(|r| r.values = [vec![0.0], vec![0.0], vec![0.0]]);
        assert_eq!(judge(&rounds, &settings, settings.alarm, |_| true)[0].finding, Finding::Pass);
        rounds.rounds.iter_mut().for_each(|r| r.values[2][0] = 0.01);
        assert_eq!(judge(&rounds, &settings, settings.alarm, |_| true)[0].finding, Finding::Regressed);
    }

    #[test]
    fn failures_in_bursts_are_seen_and_one_small_burst_is_none() {
        let settings = Settings::default();
        let with_bursts = |every: usize, share: f64| {
            let mut rounds = rounds(0.0, 0.0, Metric::Failed);
            for (i, round) in rounds.rounds.iter_mut().enumerate() {
                round.values = [vec![0.0], vec![0.0], vec![if i % every == 0 { share } else { 0.0 }]];
            }
            judge(&rounds, &settings, settings.alarm, |_| true)[0].finding
        };
        assert_eq!(with_bursts(4, 0.3), Finding::Regressed);
        assert_eq!(with_bursts(100, 0.3), Finding::Open, "once may be chance");
        assert_eq!(with_bursts(100, 0.03), Finding::Pass);
    }
}
