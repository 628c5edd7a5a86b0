//! How much worse one side's rounds are than the other's: an estimate, its bounds, and how probable it is by chance.
//!
//! Of times and rates by ranks, which a few wild rounds do not move. Of shares of failures by their mean, for there the wild rounds are what
//! matters: a server that fails a third of its requests in every fifth round has a median of nothing. Student's test
//! (*The probable error of a mean*, Biometrika 6, 1908) on values that are mostly zero and sometimes large raises fewer false alarms
//! than it says (J. Johnson, *Modified t tests and confidence intervals for asymmetrical populations*, JASA 73, 1978).

use results::statistics::{Moments, SignedRank, student};

use super::quantity::Metric;

/// The centre of the law that the worsenings of some rounds come from.
#[derive(Clone, Debug)]
pub(super) enum Shift {
    Ranks(SignedRank),
    Mean(Moments),
}

impl Shift {
    /// Of these worsenings. None without any, or where one is not finite.
    pub(super) fn of(metric: Metric, worsenings: &[f64]) -> Option<Self> {
        if metric.is_relative() {
            return SignedRank::of(worsenings).map(Self::Ranks);
        }
        let is_known = !worsenings.is_empty() && worsenings.iter().all(|value| value.is_finite());
        is_known.then(|| Self::Mean(Moments::of(worsenings)))
    }

    pub(super) fn centre(&self) -> f64 {
        match self {
            Self::Ranks(test) => test.centre(),
            Self::Mean(moments) => moments.mean,
        }
    }

    /// How probable it is to see as much above `limit`, if the centre is no greater than it.
    pub(super) fn p_above(&self, limit: f64) -> f64 {
        match self {
            Self::Ranks(test) => test.p_above(limit),
            Self::Mean(moments) => above(moments, moments.mean - limit),
        }
    }

    /// The same for the other side.
    pub(super) fn p_below(&self, limit: f64) -> f64 {
        match self {
            Self::Ranks(test) => test.p_below(limit),
            Self::Mean(moments) => above(moments, limit - moments.mean),
        }
    }

    /// The centre is greater than this, but for an error of probability `alpha`.
    pub(super) fn lower_bound(&self, alpha: f64) -> f64 {
        match self {
            Self::Ranks(test) => test.lower_bound(alpha),
            Self::Mean(moments) => moments.mean - moments.half_width(1.0 - 2.0 * alpha),
        }
    }

    /// The centre is less than this, but for an error of probability `alpha`.
    pub(super) fn upper_bound(&self, alpha: f64) -> f64 {
        match self {
            Self::Ranks(test) => test.upper_bound(alpha),
            Self::Mean(moments) => moments.mean + moments.half_width(1.0 - 2.0 * alpha),
        }
    }
}

/// How probable a mean is that lies so far beyond its limit. Values that are all the same say no more than as many coins.
fn above(moments: &Moments, by: f64) -> f64 {
    let n = moments.n as f64;
    let error = (moments.variance / n).sqrt();
    if by <= 0.0 && error == 0.0 {
        return 1.0;
    }
    let outside = if error > 0.0 { 0.5 * student::beyond(by.abs() / error, n - 1.0) } else { 0.0 };
    let probability = if by > 0.0 { outside } else { 1.0 - outside };
    probability.max(0.5_f64.powf(n))
}

#[cfg(test)]
mod tests {
    use scenarios::rng::{Purpose, Stream};
    use scenarios::units::Seed;

    use super::*;

    #[test]
    fn means_are_judged_by_students_law() {
        // Student's own sample: additional hours of sleep of ten patients, mean 1.58, t = 4.06 with nine degrees of freedom.
        let gained = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
        let shift = Shift::of(Metric::Failed, &gained).expect("there are values");
        assert!((shift.centre() - 1.58).abs() < 1e-12);
        assert!((shift.p_above(0.0) - 0.0014).abs() < 5e-5, "{}", shift.p_above(0.0));
        assert!((shift.p_above(0.0) + shift.p_below(0.0) - 1.0).abs() < 1e-12);
        // 2.262 standard errors of 0.389 hours.
        let (low, high) = (shift.lower_bound(0.025), shift.upper_bound(0.025));
        assert!((low - 0.70).abs() < 0.005 && (high - 2.46).abs() < 0.005, "{low} to {high}");
    }

    #[test]
    fn bursts_of_failures_that_come_to_both_sides_are_no_alarm() {
        let mut random = Stream::new(Seed(7), Purpose::named("bursts"), 0);
        let mut share = || if random.unit() < 0.05 { 0.5 * random.unit() } else { 0.0 };
        let alarms = (0..4_000).filter(|_| {
            let worsenings: Vec<f64> = (0..40).map(|_| share() - 0.5 * (share() + share())).collect();
            Shift::of(Metric::Failed, &worsenings).expect("there are values").p_above(0.0) < 0.01
        });
        // One in a hundred, and what four thousand sessions leave open.
        assert!(alarms.count() <= 60, "more false alarms than it says");
    }

    #[test]
    fn values_that_are_all_the_same_say_as_much_as_there_are_of_them() {
        let same =
            |value: f64, n: usize| Shift::of(Metric::Failed, &vec![value; n]).expect("there are values");
        assert_eq!([same(0.0, 40).p_above(0.001), same(0.0, 40).upper_bound(0.025)], [1.0, 0.0]);
        assert_eq!([same(0.01, 4).p_above(0.001), same(0.01, 40).p_above(0.001)], [0.0625, 0.5_f64.powi(40)]);
        assert!(Shift::of(Metric::Failed, &[]).is_none() && Shift::of(Metric::Failed, &[f64::NAN]).is_none());
    }
}
