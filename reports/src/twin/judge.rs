//! From pairs of numbers to an error with its noise, and from there to a verdict.
//!
//! Runs of a pair have the same requests, so that what is hard for one is hard for the other: errors are taken pair by pair,
//! their mean is the error of the prediction, and its noise is half the width of the 95% interval by Student's t (Law and Kelton,
//! *Simulation Modeling and Analysis*, 10.2.1). Where the noise is above half the target, or the machine was too busy, the
//! measurement cannot tell whether the prediction holds, and the cell says so.

use results::figure::CONFIDENCE;
use results::statistics::Moments;

use super::equal::Equal;
use super::reading::Quantity;
use super::result::{Cell, Measure, Verdict};

/// The greatest busy share of the machine, generator and stack together, at which figures are believed.
pub const MOST_BUSY: f64 = 0.60;
/// The share of the machine that the hypervisor may take before a run is played again, in the hope of a calmer moment. What it takes
/// is lost to answers, and charged to whoever it was taken from; such a run is believed where there is no calmer one.
pub const MUCH_STOLEN: f64 = 0.03;
/// So many calm runs of a case, and those from which more was taken are set aside.
pub const FEWEST_CALM: usize = 5;
/// Up to this share of the capacity percentiles in the tail are compared as such; above, the load at which they are equal.
pub const MOST_PRESSURE: f64 = 0.70;
/// The share of its target that a cell's noise may take.
const NOISE_SHARE: f64 = 0.5;

/// A number of each pair: predicted and measured.
pub type Pairs = [(f64, f64)];

/// Why a case's measurement says nothing at all; none where it does.
pub type Disturbed<'a> = Option<&'a str>;

/// Which runs of a case count, by the shares of the machine that the hypervisor took from them: the calm ones alone, where there are
/// enough, and all of them otherwise. What any of them said plays no part in that.
pub fn that_count(stolen: &[f64]) -> Vec<bool> {
    let calm: Vec<bool> = stolen.iter().map(|share| *share <= MUCH_STOLEN).collect();
    let enough = calm.iter().filter(|is_calm| **is_calm).count() >= FEWEST_CALM;
    if enough { calm } else { vec![true; stolen.len()] }
}

/// Whether more runs may tell what these did not: only because of its noise nothing is known.
pub fn is_too_noisy(cell: &Cell) -> bool {
    let noisy = cell.noise.is_some_and(|noise| noise > NOISE_SHARE * cell.target);
    cell.verdict == Verdict::Unmeasured && (noisy || cell.errors.len() < 2)
}

/// A cell by the difference of what was predicted and measured.
pub fn by_difference(quantity: Quantity, pairs: &Pairs, target: f64, disturbed: Disturbed<'_>) -> Cell {
    let in_points = quantity.group.is_in_points();
    let error = |&(predicted, measured): &(f64, f64)| match (predicted, measured) {
        // Two infinite percentiles are equal in all that can be said of them.
        (p, m) if p == m => 0.0,
        (p, m) if in_points => p - m,
        (p, m) => p / m - 1.0,
    };
    let errors: Vec<f64> = pairs.iter().map(error).collect();
    let measure = if in_points { Measure::Points } else { Measure::Relative };
    cell(quantity, pairs, measure, &errors, None, target, disturbed)
}

/// A cell by the load at which both are equal.
pub fn by_load(
    quantity: Quantity,
    pairs: &Pairs,
    equal: &Equal,
    target: f64,
    disturbed: Disturbed<'_>,
) -> Cell {
    cell(quantity, pairs, Measure::Load, &equal.errors, Some(equal.error), target, disturbed)
}

fn finite(value: f64) -> Option<f64> {
    // Six digits are more than any of these has, and a hundredth of the file.
    Some(value).filter(|v| v.is_finite()).map(|v| format!("{v:.6e}").parse().unwrap_or(v))
}

fn cell(
    quantity: Quantity,
    pairs: &Pairs,
    error_is: Measure,
    errors: &[f64],
    error: Option<f64>,
    target: f64,
    disturbed: Disturbed<'_>,
) -> Cell {
    let moments = Moments::of(errors);
    let error = error.unwrap_or(moments.mean);
    let noise = if moments.mean.is_finite() { moments.half_width(CONFIDENCE) } else { f64::NAN };
    let all_infinite = !errors.is_empty() && errors.iter().all(|e| !e.is_finite());
    let why = if let Some(why) = disturbed {
        Some(why.to_owned())
    } else if errors.len() < 2 {
        Some(format!("{} of the runs can be compared: noise is not known", errors.len()))
    } else if all_infinite {
        // Each time one of the two worlds failed for good and the other did not: no noise explains that.
        None
    } else if !noise.is_finite() {
        Some("infinite in some of the runs only".to_owned())
    } else if noise > NOISE_SHARE * target {
        Some("its noise is more than half its target".to_owned())
    } else {
        None
    };
    let verdict = match &why {
        Some(_) => Verdict::Unmeasured,
        None if error.abs() <= target => Verdict::Holds,
        None => Verdict::Misses,
    };
    let mean = |value: fn(&(f64, f64)) -> f64| {
        let values: Vec<f64> = pairs.iter().map(value).collect();
        finite(Moments::of(&values).mean)
    };
    Cell {
        quantity,
        predicted: mean(|pair| pair.0),
        measured: mean(|pair| pair.1),
        error_is,
        error: finite(error),
        noise: finite(noise),
        errors: errors.iter().map(|e| finite(*e)).collect(),
        target,
        verdict,
        why,
    }
}

#[cfg(test)]
mod tests {
    use super::super::reading::Group;
    use super::*;

    fn of(group: Group, pairs: &Pairs, target: f64) -> Cell {
        by_difference(Quantity { group, of: String::new() }, pairs, target, None)
    }

    #[test]
    fn an_error_within_its_target_holds_and_one_beyond_misses() {
        let close = of(Group::P99, &[(1.05, 1.0), (1.06, 1.0), (1.04, 1.0)], 0.2);
        assert_eq!(close.verdict, Verdict::Holds);
        assert!((close.error.expect("finite") - 0.05).abs() < 1e-9, "{close:?}");
        let far = of(Group::P99, &[(1.35, 1.0), (1.36, 1.0), (1.34, 1.0)], 0.2);
        assert_eq!((far.verdict, far.why), (Verdict::Misses, None));
    }

    #[test]
    fn pairs_of_different_sizes_are_compared_each_with_its_own() {
        let cell = of(Group::P50, &[(1.1, 1.0), (2.2, 2.0), (5.5, 5.0)], 0.2);
        assert!(cell.noise.expect("finite") < 1e-9 && (cell.error.expect("finite") - 0.1).abs() < 1e-6);
    }

    #[test]
    fn noise_above_half_the_target_leaves_it_unmeasured_however_small_the_error() {
        let noisy = of(Group::P99, &[(1.2, 1.0), (0.8, 1.0), (1.0, 1.0)], 0.2);
        assert_eq!(noisy.verdict, Verdict::Unmeasured);
        assert!(noisy.why.expect("a reason").contains("noise"));
    }

    #[test]
    fn more_runs_are_worth_it_where_noise_alone_is_in_the_way() {
        let even = of(Group::P99, &[(1.0, 1.0), (1.01, 1.0), (0.99, 1.0)], 0.2);
        let noisy = of(Group::P99, &[(1.2, 1.0), (0.8, 1.0), (1.0, 1.0)], 0.2);
        assert!(is_too_noisy(&noisy) && !is_too_noisy(&even));
        assert!(is_too_noisy(&of(Group::P99, &[(1.0, 1.0)], 0.2)), "one pair has no noise that is known");
        let never = f64::INFINITY;
        assert!(!is_too_noisy(&of(Group::P99, &[(never, 1.0), (1.0, 1.0), (1.0, 1.0)], 0.2)));
    }

    #[test]
    fn disturbed_runs_are_set_aside_where_there_are_five_calm_ones() {
        let counted = |stolen: &[f64]| that_count(stolen).into_iter().filter(|counts| *counts).count();
        assert_eq!(counted(&[0.0, 0.01, 0.03, 0.2, 0.02]), 5, "four are too few");
        assert_eq!(counted(&[0.0, 0.01, 0.03, 0.2, 0.02, 0.0, 0.031]), 5);
        assert_eq!(that_count(&[0.2, 0.0, 0.0, 0.0, 0.0, 0.0]), [false, true, true, true, true, true]);
        assert!(that_count(&[]).is_empty());
    }

    #[test]
    fn shares_differ_by_points() {
        let cell = of(Group::HitRatio, &[(0.505, 0.5), (0.506, 0.5), (0.504, 0.5)], 0.01);
        assert_eq!((cell.error_is, cell.verdict), (Measure::Points, Verdict::Holds));
        assert!((cell.error.expect("finite") - 0.005).abs() < 1e-9);
    }

    #[test]
    fn a_disturbed_machine_measures_nothing() {
        let quantity = Quantity { group: Group::P50, of: String::new() };
        let cell = by_difference(quantity, &[(1.0, 1.0); 3], 0.1, Some("the machine was 80% busy"));
        assert_eq!(
            (cell.verdict, cell.why.as_deref()),
            (Verdict::Unmeasured, Some("the machine was 80% busy"))
        );
    }

    #[test]
    fn what_is_infinite_in_one_world_alone_misses_and_in_both_is_equal() {
        let never = f64::INFINITY;
        assert_eq!(of(Group::P99, &[(never, 1.0), (never, 1.0)], 0.2).verdict, Verdict::Misses);
        assert_eq!(of(Group::P99, &[(1.0, never), (1.0, never)], 0.2).verdict, Verdict::Misses);
        assert_eq!(of(Group::P99, &[(never, never), (never, never)], 0.2).verdict, Verdict::Holds);
        assert_eq!(of(Group::P99, &[(never, 1.0), (1.0, 1.0)], 0.2).verdict, Verdict::Unmeasured);
    }
}
