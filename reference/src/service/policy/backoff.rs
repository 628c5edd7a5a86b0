//! The pause before a retry: the k-th one's ceiling is `min(cap, base · factor^(k-1))`, and jitter draws all of it or half of it
//! (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).

use std::time::Duration;

use scenarios::rng::Stream;
use scenarios::scenario::{Backoff, Jitter};

/// The pause before retry number `retry`, counted from 1.
pub(crate) fn pause(backoff: &Backoff, retry: u32, stream: &mut Stream) -> Duration {
    let grown = backoff.base.as_secs_f64() * backoff.factor.powf(f64::from(retry.max(1) - 1));
    let ceiling = grown.min(backoff.cap.as_secs_f64());
    let drawn = match backoff.jitter {
        Jitter::Full => stream.unit(),
        Jitter::Equal => f64::midpoint(1.0, stream.unit()),
        _ => 1.0,
    };
    Duration::from_secs_f64(ceiling * drawn)
}

#[cfg(test)]
mod tests {
    use scenarios::rng::Purpose;
    use scenarios::units::{Seed, SimTime};

    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_jitter_draws_all_or_half_of_them() {
        let mut stream = Stream::new(Seed(3), Purpose::named("a test of pauses"), 0);
        let mut drawn = |jitter, retry| {
            let (base, cap) = (SimTime::from_millis(100), SimTime::from_secs(1));
            pause(&Backoff::new(base, 2.0, cap, jitter), retry, &mut stream).as_secs_f64()
        };
        for (retry, expected) in [(1, 0.1), (2, 0.2), (4, 0.8), (5, 1.0), (1_000_000, 1.0)] {
            assert!((drawn(Jitter::None, retry) - expected).abs() < 1e-9, "retry {retry}");
        }
        let full: Vec<f64> = (0..1000).map(|_| drawn(Jitter::Full, 2)).collect();
        let equal: Vec<f64> = (0..1000).map(|_| drawn(Jitter::Equal, 2)).collect();
        assert!(full.iter().all(|p| (0.0..=0.2).contains(p)) && full.iter().any(|p| *p < 0.05));
        assert!(equal.iter().all(|p| (0.1..=0.2).contains(p)) && equal.iter().any(|p| *p < 0.11));
    }
}
