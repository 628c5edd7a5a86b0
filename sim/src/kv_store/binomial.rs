//! How many of several trials succeed.

use scenarios::rng::Stream;

/// How many of so many trials succeed, each with the same chance: what of that is the same for every draw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binomial {
    pub(super) trials: u32,
    pub(super) chance: f64,
    /// The chance that none succeeds, where that is likely enough to begin with.
    none: f64,
}

/// Below so many expected successes they are counted from zero upward.
const FEW_EXPECTED: f64 = 3.0;

impl Binomial {
    /// No trials.
    pub(crate) const NONE: Self = Self { trials: 0, chance: 0.0, none: 1.0 };

    pub(crate) fn new(trials: u32, chance: f64) -> Self {
        let few = f64::from(trials) * chance < FEW_EXPECTED;
        Self { trials, chance, none: if few { (1.0 - chance).powi(trials as i32) } else { 0.0 } }
    }

    #[inline]
    pub(crate) fn draw(&self, stream: &mut Stream) -> u32 {
        let Self { trials, chance, none } = *self;
        if chance <= 0.0 || trials == 0 {
            return 0;
        }
        if chance >= 1.0 {
            return trials;
        }
        if f64::from(trials) * chance >= FEW_EXPECTED {
            return many(stream, trials, chance);
        }
        // By inversion (Devroye, "Non-Uniform Random Variate Generation", X.4.3).
        let (mut left, mut mass, mut successes) = (stream.unit() - none, none, 0);
        if left < 0.0 {
            return 0;
        }
        let odds = chance / (1.0 - chance);
        while left >= 0.0 && successes < trials {
            mass *= odds * f64::from(trials - successes) / f64::from(successes + 1);
            successes += 1;
            left -= mass;
        }
        successes
    }
}

/// How many of `trials` succeed, each with this chance.
#[inline]
pub(crate) fn binomial(stream: &mut Stream, trials: u32, chance: f64) -> u32 {
    Binomial::new(trials, chance).draw(stream)
}

/// The same, where many may.
#[inline(never)]
fn many(stream: &mut Stream, trials: u32, chance: f64) -> u32 {
    // Sixty-four trials at a time: a uniform number is below the chance if it is so at the first bit in which they differ.
    let bits = (chance * (1_u64 << 53) as f64) as u64;
    let (mut successes, mut trials) = (0, trials);
    while trials > 0 {
        let mut undecided = if trials >= 64 { u64::MAX } else { (1 << trials) - 1 };
        trials = trials.saturating_sub(64);
        let (mut bit, mut below) = (53, 0);
        while undecided != 0 && bit > 0 {
            bit -= 1;
            let drawn = stream.next_bits();
            // All ones where the chance has a one at this bit: what drew a zero there is below it, else what drew a one above.
            let ones = 0_u64.wrapping_sub(bits >> bit & 1);
            below |= undecided & !drawn & ones;
            undecided &= !(drawn ^ ones);
        }
        successes += below.count_ones();
    }
    successes
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::rng::Purpose;
    use scenarios::units::Seed;

    /// Bit by bit, as a uniform number is compared with the chance.
    fn one_by_one(stream: &mut Stream, trials: u32, chance: f64) -> u32 {
        let bits = (chance * (1_u64 << 53) as f64) as u64;
        let mut successes = 0;
        for first in (0..trials).step_by(64) {
            let mut undecided: Vec<u32> = (0..(trials - first).min(64)).collect();
            let mut bit = 53;
            while !undecided.is_empty() && bit > 0 {
                bit -= 1;
                let (drawn, chance) = (stream.next_bits(), bits >> bit & 1);
                undecided.retain(|trial| {
                    let own = drawn >> trial & 1;
                    successes += u32::from(own < chance);
                    own == chance
                });
            }
        }
        successes
    }

    #[test]
    fn many_trials_at_once_are_as_many_one_by_one_and_draw_as_often() {
        for (number, trials) in [1, 5, 63, 64, 65, 100, 128, 1_000].into_iter().enumerate() {
            for chance in [0.08, 0.25, 0.5, 0.999] {
                let stream = || Stream::new(Seed(4), Purpose::named("binomial-test"), number as u64);
                let (mut at_once, mut each) = (stream(), stream());
                let successes = many(&mut at_once, trials, chance);
                assert_eq!(successes, one_by_one(&mut each, trials, chance), "{trials} of {chance}");
                assert_eq!(at_once.next_bits(), each.next_bits(), "{trials} of {chance}");
            }
        }
    }
}
