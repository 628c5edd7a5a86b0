//! What multiplies a rate: growth and flash crowds.
//!
//! A modulated rate is made of straight lines again. The corners are those of the rate and of the modulation, and stand at
//! the same places of the timeline whatever run looks at them, so that a window of a run has the requests of the whole.

use super::RateCurve;

/// Corners on each slope of a flash crowd: the product of two straight lines is a parabola, followed by chords.
const STEPS: u32 = 8;
/// Seconds between the corners of growth.
const GROWTH_GRID: f64 = 3600.0;
/// How far corners reach past the run, in seconds: further than any slice of the plan.
const MARGIN: f64 = 7200.0;

/// A rate's multipliers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Modulation {
    /// Growth from the timeline's zero on.
    pub growth: Option<Growth>,
    /// Flash crowds; where several overlap, their factors multiply.
    pub flashes: Vec<Flash>,
}

/// Exponential growth: `(1 + share)^(t / period)` from the timeline's zero on, and 1 before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    /// What is added in a period, as a fraction.
    pub share: f64,
    /// The period, in seconds.
    pub period: f64,
}

impl Growth {
    /// How many times the load there is after so many seconds.
    pub fn factor_after(&self, seconds: f64) -> f64 {
        (self.share.ln_1p() * seconds / self.period).exp()
    }

    /// After how many seconds there is so many times the load; infinite where it does not grow.
    pub fn seconds_until(&self, factor: f64) -> f64 {
        let rate = self.share.ln_1p() / self.period;
        if rate > 0.0 { factor.ln() / rate } else { f64::INFINITY }
    }
}

/// A crowd that comes at once: the rate rises in a straight line to `times` as much, stays there, and falls back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Flash {
    /// Where the rise starts, in seconds on the timeline.
    pub at: f64,
    /// How long the rise takes, in seconds; above zero, as are `hold` and `fall`.
    pub rise: f64,
    /// How long the rate stays up, in seconds.
    pub hold: f64,
    /// How long the fall takes, in seconds.
    pub fall: f64,
    /// The factor at the top.
    pub times: f64,
}

impl Flash {
    /// The factor at a point of the timeline (seconds).
    fn factor(&self, t: f64) -> f64 {
        let since = t - self.at;
        let top = self.rise + self.hold;
        let height = if since <= 0.0 || since >= top + self.fall {
            0.0
        } else if since < self.rise {
            since / self.rise
        } else if since <= top {
            1.0
        } else {
            1.0 - (since - top) / self.fall
        };
        1.0 + (self.times - 1.0) * height
    }

    /// Its corners, in seconds on the timeline.
    fn corners(&self) -> impl Iterator<Item = f64> {
        let Self { at, rise, hold, fall, .. } = *self;
        (0..=STEPS).flat_map(move |step| {
            let part = f64::from(step) / f64::from(STEPS);
            [at + rise * part, at + rise + hold + fall * part]
        })
    }
}

impl Modulation {
    /// Whether it changes nothing.
    pub fn is_none(&self) -> bool {
        self.growth.is_none() && self.flashes.is_empty()
    }

    fn growth(&self, t: f64) -> f64 {
        self.growth.map_or(1.0, |g| g.factor_after(t.max(0.0)))
    }

    fn crowd(&self, t: f64) -> f64 {
        self.flashes.iter().map(|f| f.factor(t)).product()
    }

    /// How many corners growth needs in a run that ends there (seconds on the timeline).
    pub fn growth_corners(&self, end: f64) -> f64 {
        if self.growth.is_some() { end / GROWTH_GRID } else { 0.0 }
    }
}

impl RateCurve {
    /// This rate times a modulation, for runs within `from..to` (seconds on the timeline).
    #[must_use]
    pub fn modulated(&self, modulation: &Modulation, from: f64, to: f64) -> Self {
        if modulation.is_none() {
            return self.clone();
        }
        let grid = |t: f64| (t / GROWTH_GRID).floor() * GROWTH_GRID;
        let (low, high) = (grid(from.min(0.0) - MARGIN), grid(to.max(0.0) + MARGIN) + GROWTH_GRID);
        let mut times = vec![low, 0.0, high];
        match self.period {
            None => times.extend(self.corners.iter().map(|c| c.0)),
            Some(period) => {
                let mut start = (low / period).floor() * period;
                while start <= high {
                    times.extend(self.corners.iter().map(|c| start + c.0));
                    start += period;
                }
            }
        }
        times.extend(modulation.flashes.iter().flat_map(Flash::corners));
        if modulation.growth.is_some() {
            times.extend((0..=(high / GROWTH_GRID) as u64).map(|i| i as f64 * GROWTH_GRID));
        }
        times.retain(|t| (low..=high).contains(t));
        times.sort_by(f64::total_cmp);
        times.dedup_by(|later, earlier| *later - *earlier < 1e-6);
        let value = |t: f64| (t, self.at(t) * modulation.growth(t) * modulation.crowd(t));
        let mut curve = Self::new(times.into_iter().map(value).collect(), None);
        let top = |flash: &Flash| flash.corners().map(|t| modulation.crowd(t)).fold(1.0, f64::max);
        curve.nominal_peak = self.peak() * modulation.flashes.iter().map(top).fold(1.0, f64::max);
        curve
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLASH: Flash = Flash { at: 7000.0, rise: 60.0, hold: 600.0, fall: 1800.0, times: 5.0 };
    const DAY: f64 = 86_400.0;

    fn bases() -> [RateCurve; 3] {
        [
            RateCurve::constant(100.0),
            RateCurve::ramps(vec![(0.0, 10.0), (7200.0, 300.0), (50_000.0, 20.0)]),
            RateCurve::periodic(vec![(0.0, 10.0), (DAY / 2.0, 40.0), (DAY, 10.0)]),
        ]
    }

    #[test]
    fn a_flash_crowd_multiplies_the_rate_by_its_height() {
        let modulation = Modulation { growth: None, flashes: vec![FLASH] };
        for base in bases() {
            let curve = base.modulated(&modulation, -100.0, 2.0 * DAY);
            for (at, factor) in [
                (-50.0, 1.0),
                (6999.0, 1.0),
                (7030.0, 3.0),
                (7060.0, 5.0),
                (7300.0, 5.0),
                (8560.0, 3.0),
                (9460.0, 1.0),
            ] {
                let (found, expected) = (curve.at(at), base.at(at) * factor);
                assert!(
                    (found - expected).abs() < 0.002 * expected,
                    "{base:?} at {at}: {found}, not {expected}"
                );
            }
        }
    }

    #[test]
    fn growth_compounds() {
        let modulation =
            Modulation { growth: Some(Growth { share: 0.02, period: 7.0 * DAY }), flashes: vec![] };
        let curve = RateCurve::constant(100.0).modulated(&modulation, -500.0, 70.0 * DAY);
        for (days, factor) in [(-0.001, 1.0), (0.0, 1.0), (7.0, 1.02), (35.0, 1.02_f64.powi(5))] {
            let found = curve.at(days * DAY);
            assert!((found - 100.0 * factor).abs() < 1e-6, "after {days} days: {found}");
        }
        // The integral of 100·a^(t/T) over ten periods of T seconds is 100·T·(a^10 - 1) / ln a.
        let exact = 100.0 * 7.0 * DAY * (1.02_f64.powi(10) - 1.0) / 1.02_f64.ln();
        let found = curve.expected(0.0, 70.0 * DAY);
        assert!((found / exact - 1.0).abs() < 1e-6, "{found}, not {exact}");
    }

    #[test]
    fn what_a_run_sees_does_not_depend_on_its_window() {
        let modulation =
            Modulation { growth: Some(Growth { share: 0.5, period: DAY }), flashes: vec![FLASH] };
        for base in bases() {
            let long = base.modulated(&modulation, -3600.0, 20.0 * DAY);
            let short = base.modulated(&modulation, 6500.0, 10_000.0);
            assert_eq!(long.nominal_peak().to_bits(), short.nominal_peak().to_bits());
            for i in 0..500 {
                let (from, to) = (6500.0 + f64::from(i) * 7.0, 6507.0 + f64::from(i) * 7.0);
                assert_eq!(long.area(from, to).to_bits(), short.area(from, to).to_bits(), "{from}..{to}");
                assert_eq!(long.cumulative(from).to_bits(), short.cumulative(from).to_bits(), "{from}");
                let moment = |curve: &RateCurve| curve.moment(from, to, 0.3 * curve.area(from, to)).to_bits();
                assert_eq!(moment(&long), moment(&short), "{from}..{to}");
            }
        }
    }

    #[test]
    fn the_peak_of_a_span_is_found_at_a_corner() {
        let modulation = Modulation { growth: None, flashes: vec![FLASH] };
        let curve = RateCurve::constant(100.0).modulated(&modulation, 0.0, DAY);
        assert!((curve.peak_between(0.0, DAY) - 500.0).abs() < 1e-9);
        assert!((curve.peak_between(0.0, 6000.0) - 100.0).abs() < 1e-9);
        assert!((curve.peak_between(0.0, 7030.0) - 300.0).abs() < 1e-6);
        let day = RateCurve::periodic(vec![(0.0, 10.0), (DAY / 2.0, 40.0), (DAY, 10.0)]);
        assert!((day.peak_between(0.0, 30.0 * DAY) - 40.0).abs() < 1e-9);
        assert!((day.peak_between(0.9 * DAY, DAY) - 16.0).abs() < 1e-9);
    }

    #[test]
    fn growth_and_its_time_are_inverse() {
        let growth: Growth = "4%/month".parse().expect("it is growth");
        let year = 365.0 * 86_400.0;
        assert!((growth.factor_after(year) - 1.04f64.powi(12)).abs() < 1e-9);
        assert!((growth.seconds_until(1.04f64.powi(12)) / year - 1.0).abs() < 1e-9);
        assert_eq!(Growth { share: 0.0, period: 1.0 }.seconds_until(2.0), f64::INFINITY);
    }
}
