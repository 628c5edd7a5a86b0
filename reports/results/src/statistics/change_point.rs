//! Where the level of a series changes.
//!
//! Pettitt's statistic, which looks at ranks only (Pettitt, *A non-parametric approach to the change-point problem*, Applied
//! Statistics 28, 1979), with its probability from shuffled series, and each half looked at again (binary segmentation).

use scenarios::rng::{Purpose, Stream};
use scenarios::units::Seed;

/// No level is told from fewer values.
const SHORTEST: usize = 4;
/// Shuffled series that a probability comes from.
const SHUFFLES: u64 = 1_999;

/// A change of level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChangePoint {
    /// The first value of the new level.
    pub at: usize,
    /// The median before it, back to the change before.
    pub before: f64,
    /// The median from it on, up to the next change.
    pub after: f64,
    /// How probable as great a difference is where nothing changes.
    pub p: f64,
}

/// The changes of level in a series, in order, each less probable than `alpha` where there is none. Always the same for
/// the same series.
pub fn change_points(series: &[f64], alpha: f64) -> Vec<ChangePoint> {
    let mut found = Vec::new();
    split(series, 0, alpha, &mut found);
    found.sort_unstable_by_key(|(at, _)| *at);
    let ends: Vec<usize> =
        std::iter::once(0).chain(found.iter().map(|f| f.0)).chain([series.len()]).collect();
    let level = |part: usize| median(&series[ends[part]..ends[part + 1]]);
    let point = |(i, (at, p)): (usize, &(usize, f64))| ChangePoint {
        at: *at,
        before: level(i),
        after: level(i + 1),
        p: *p,
    };
    found.iter().enumerate().map(point).collect()
}

fn split(series: &[f64], offset: usize, alpha: f64, found: &mut Vec<(usize, f64)>) {
    if series.len() < 2 * SHORTEST {
        return;
    }
    let mut ranks = ranks(series);
    let (at, statistic) = strongest(&ranks);
    let mut random =
        Stream::new(Seed(1), Purpose::named("change point"), (offset as u64) << 32 | series.len() as u64);
    let mut as_strong = 1;
    for _ in 0..SHUFFLES {
        for i in (1..ranks.len()).rev() {
            ranks.swap(i, random.below(i as u64 + 1) as usize);
        }
        as_strong += u64::from(strongest(&ranks).1 >= statistic);
    }
    let p = as_strong as f64 / (SHUFFLES + 1) as f64;
    if p < alpha {
        found.push((offset + at, p));
        split(&series[..at], offset, alpha, found);
        split(&series[at..], offset + at, alpha, found);
    }
}

/// Twice the rank of each, less that of the middle: their sum is zero, and so are equal series.
fn ranks(series: &[f64]) -> Vec<f64> {
    let n = series.len() as f64;
    let rank = |value: &f64| {
        let (mut below, mut equal) = (0.0, 0.0);
        for other in series {
            below += f64::from(u8::from(other < value));
            equal += f64::from(u8::from(other == value));
        }
        2.0 * below + equal - n
    };
    series.iter().map(rank).collect()
}

/// Where the sum of the ranks up to there is farthest from zero, and how far.
fn strongest(ranks: &[f64]) -> (usize, f64) {
    let (mut sum, mut best) = (0.0_f64, (SHORTEST, -1.0));
    for (i, rank) in ranks.iter().enumerate().take(ranks.len() - SHORTEST) {
        sum += rank;
        if i + 1 >= SHORTEST && sum.abs() > best.1 {
            best = (i + 1, sum.abs());
        }
    }
    best
}

/// The median; not a number of none.
pub fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[n / 2],
        n => 0.5 * (values[n / 2 - 1] + values[n / 2]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u64, n: usize) -> Vec<f64> {
        let mut random = Stream::new(Seed(seed), Purpose::named("noise"), 0);
        // About normal: the sum of twelve uniforms.
        (0..n).map(|_| (0..12).map(|_| random.unit()).sum::<f64>() - 6.0).collect()
    }

    #[test]
    fn a_step_of_two_deviations_is_found_where_it_is() {
        let mut near = 0;
        for seed in 0..20 {
            let mut series = noise(seed, 40);
            series[25..].iter_mut().for_each(|v| *v += 2.0);
            let found = change_points(&series, 0.01);
            let is_there = |point: &ChangePoint| point.at.abs_diff(25) <= 3 && point.after > point.before;
            near += u32::from(found.len() == 1 && is_there(&found[0]));
        }
        assert!(near >= 16, "{near} of 20");
    }

    #[test]
    fn noise_alone_seldom_has_one() {
        let alarms = (0..200).filter(|seed| !change_points(&noise(*seed, 40), 0.01).is_empty()).count();
        assert!(alarms <= 7, "{alarms} of 200");
    }

    #[test]
    fn two_steps_are_two() {
        let mut series = noise(7, 60);
        series[20..].iter_mut().for_each(|v| *v += 3.0);
        series[40..].iter_mut().for_each(|v| *v -= 6.0);
        let found = change_points(&series, 0.01);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].at.abs_diff(20) <= 2 && found[1].at.abs_diff(40) <= 2, "{found:?}");
    }

    #[test]
    fn equal_values_have_no_change() {
        assert!(change_points(&[1.0; 30], 0.05).is_empty());
        assert!(change_points(&[], 0.05).is_empty());
    }
}
