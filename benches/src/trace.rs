//! What is asked for: the same for a server and its model.

use scenarios::plan::zipf::Zipf;
use scenarios::rng::{Purpose, Stream};
use scenarios::units::Seed;

const SEED: Seed = Seed(20_260_101);

/// Ranks by Zipf's law, 0 the most popular.
pub(crate) fn ranks(universe: u64, exponent: f64, requests: usize) -> Vec<u64> {
    let zipf = Zipf::new(universe, exponent);
    let mut stream = Stream::new(SEED, Purpose::named("fidelity-trace"), exponent.to_bits());
    (0..requests).map(|_| zipf.sample(&mut stream)).collect()
}

/// A body's size: exponential about 3 kB, one in fifty twelve times that.
pub(crate) fn body_bytes(key: u64) -> u64 {
    let mut stream = Stream::new(SEED, Purpose::named("fidelity-size"), key);
    let large = if stream.unit() < 0.02 { 12.0 } else { 1.0 };
    ((200.0 - 3_000.0 * large * stream.unit_open().ln()) as u64).min(60_000)
}
