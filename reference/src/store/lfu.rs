//! How often a key is used, in eight bits (evict.c: `LFULogIncr`, `LFUDecrAndReturn`): a counter that grows with the logarithm
//! of the uses and falls with time. Above it, 16 bits say in which minute it was looked at last.

use scenarios::rng::Stream;

/// What a new key starts with, so that it is not the first to go (`LFU_INIT_VAL`).
const START: u8 = 5;

/// Of a new key.
pub(super) const fn start(now_minutes: u16) -> u32 {
    (now_minutes as u32) << 8 | START as u32
}

/// The counter after the time that passed: one less for every period.
pub(super) fn decayed(touched: u32, now_minutes: u16, decay_minutes: u32) -> u8 {
    let since = u32::from(now_minutes.wrapping_sub((touched >> 8) as u16));
    let periods = since.checked_div(decay_minutes).unwrap_or(0);
    (touched as u8).saturating_sub(u8::try_from(periods).unwrap_or(u8::MAX))
}

/// After one more use: grows by one with the chance 1 / (`log_factor` × (counter − 5) + 1).
pub(super) fn used(
    touched: u32,
    now_minutes: u16,
    decay_minutes: u32,
    log_factor: u32,
    stream: &mut Stream,
) -> u32 {
    let counter = decayed(touched, now_minutes, decay_minutes);
    let above = f64::from(counter.saturating_sub(START));
    let grows = counter < u8::MAX && stream.unit() < 1.0 / (above * f64::from(log_factor) + 1.0);
    u32::from(now_minutes) << 8 | u32::from(counter + u8::from(grows))
}

#[cfg(test)]
mod tests {
    use scenarios::rng::Purpose;
    use scenarios::units::Seed;

    use super::*;

    /// The chance gives dc/dn = 1 / (10 (c - 5) + 1), so c = 5 + (sqrt(1 + 20 n) - 1) / 10 after n hits, and somewhat more for
    /// its convexity; redis.conf's table has 10, 18 and 142.
    #[test]
    fn counters_grow_with_the_root_of_the_hits() {
        let mut stream = Stream::new(Seed(1), Purpose::named("lfu-test"), 0);
        for hits in [100, 1000, 100_000] {
            let expected = 5.0 + (f64::from(1 + 20 * hits).sqrt() - 1.0) / 10.0;
            let runs = 20;
            let sum: f64 = (0..runs)
                .map(|_| {
                    let last = (0..hits).fold(start(7), |touched, _| used(touched, 7, 1, 10, &mut stream));
                    f64::from(last as u8)
                })
                .sum();
            let mean = sum / f64::from(runs);
            assert!((mean - expected).abs() < 2.5, "{hits} hits: {mean}");
        }
    }

    #[test]
    fn counters_fall_by_one_a_period_over_the_turn_of_the_clock() {
        let touched = u32::from(u16::MAX) << 8 | 20;
        assert_eq!(decayed(touched, 4, 1), 15);
        assert_eq!(decayed(touched, 4, 2), 18);
        assert_eq!(decayed(touched, 4, 0), 20, "never");
        assert_eq!(decayed(touched, 1000, 1), 0);
    }
}
