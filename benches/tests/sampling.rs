//! Following some keys against following all, on the week of a billion requests at a hundredth of its size.

use benches::sampling::{part, play};
use scenarios::scenario::Sampling;

#[test]
fn one_key_in_sixty_four_of_octivis_store_stands_for_all() {
    let time = |text: &str| Some(text.parse().expect("a duration"));
    // Two hours of an evening.
    let part = part(time("1d19h"), time("2h"));
    let [exact, sampled] = [Sampling::Exact, Sampling::OneIn(64)].map(|sampling| {
        let found = play(&part, sampling);
        (found.hit_ratio(), found.percentile_ms(99.0))
    });
    assert!((exact.0 - sampled.0).abs() < 0.01, "hit ratio: {} exact, {} sampled", exact.0, sampled.0);
    assert!((sampled.1 / exact.1 - 1.0).abs() < 0.05, "p99: {} ms exact, {} ms sampled", exact.1, sampled.1);
}
