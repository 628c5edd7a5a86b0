//! The pause before a retry: exponential with a cap, and jitter.
//!
//! The k-th retry's ceiling is `min(cap, base * factor^(k-1))`. Full jitter draws uniformly from zero to the ceiling,
//! equal jitter from its half to the whole (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).

use scenarios::rng::Stream;
use scenarios::scenario::{Backoff, Jitter};

/// The pause before retry number `retry` (from 1), in nanoseconds.
pub(crate) fn pause(backoff: &Backoff, retry: u32, stream: &mut Stream) -> u64 {
    let growth = backoff.factor.powf(f64::from(retry.saturating_sub(1)));
    let ceiling = (backoff.base.as_nanos() as f64 * growth).min(backoff.cap.as_nanos() as f64);
    let share = match backoff.jitter {
        Jitter::Full => stream.unit(),
        Jitter::Equal => 0.5 + 0.5 * stream.unit(),
        _ => 1.0,
    };
    (ceiling * share + 0.5) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::rng::Purpose;
    use scenarios::units::{Seed, SimTime};

    fn backoff(jitter: Jitter) -> Backoff {
        Backoff::new(SimTime::from_millis(100), 2.0, SimTime::from_secs(1), jitter)
    }

    fn pauses(jitter: Jitter, retry: u32) -> Vec<f64> {
        let mut stream = Stream::new(Seed(5), Purpose::named("backoff-test"), u64::from(retry));
        (0..20_000).map(|_| pause(&backoff(jitter), retry, &mut stream) as f64 / 1e6).collect()
    }

    #[test]
    fn pauses_double_up_to_the_cap() {
        let found: Vec<f64> = (1..=6).map(|retry| pauses(Jitter::None, retry)[0]).collect();
        assert_eq!(found, [100.0, 200.0, 400.0, 800.0, 1000.0, 1000.0]);
        assert_eq!(pauses(Jitter::None, 100_000)[0], 1000.0, "however many retries there are");
    }

    #[test]
    fn full_jitter_spreads_from_zero_and_equal_jitter_from_the_half() {
        for (jitter, low) in [(Jitter::Full, 0.0), (Jitter::Equal, 100.0)] {
            let found = pauses(jitter, 2);
            let mean = found.iter().sum::<f64>() / found.len() as f64;
            assert!(found.iter().all(|p| (low..=200.0).contains(p)), "{jitter:?}");
            // Five standard errors of a uniform law's mean.
            let tolerance = 5.0 * (200.0 - low) / 12.0_f64.sqrt() / (found.len() as f64).sqrt();
            assert!((mean - f64::midpoint(low, 200.0)).abs() < tolerance, "{jitter:?}: mean {mean}");
        }
    }
}
