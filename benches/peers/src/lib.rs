//! What the peers' programs share: the system, the draws, the histogram, the line that each prints.
//!
//! The system: three stations of eight servers in tandem, Poisson arrivals, exponential services of mean 1 ms, at 80% load.

pub mod bare;

use std::time::Instant;

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

/// Stations in tandem.
pub const STATIONS: usize = 3;
/// Servers of each.
pub const SERVERS: u32 = 8;
/// The mean service in nanoseconds.
pub const SERVICE: f64 = 1e6;
/// The mean time between arrivals in nanoseconds.
pub const BETWEEN: f64 = SERVICE / (0.8 * SERVERS as f64);

/// Exponential draws.
#[derive(Debug)]
pub struct Draws(SmallRng);

impl Draws {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(SmallRng::seed_from_u64(seed))
    }

    /// With this mean, in whole nanoseconds.
    #[inline]
    pub fn exponential(&mut self, mean: f64) -> u64 {
        (-mean * (1.0 - self.0.random::<f64>()).ln()) as u64
    }
}

/// A histogram of three digits, in HdrHistogram's layout.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    sum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; 40 << 10], sum: 0 }
    }
}

impl Histogram {
    /// Counts a response time in nanoseconds.
    #[inline]
    pub fn add(&mut self, nanos: u64) {
        let units = nanos >> 6;
        let octave = 53 - (units | 1 << 10).leading_zeros();
        self.counts[((octave as usize) << 10) + (units >> octave) as usize] += 1;
        self.sum += nanos;
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn percentile_ms(&self, share: f64) -> f64 {
        let rank = (share * self.total() as f64) as u64;
        let mut so_far = 0;
        for (index, count) in self.counts.iter().enumerate() {
            so_far += count;
            if so_far >= rank {
                let octave = (index >> 10).saturating_sub(1);
                return (((index - (octave << 10)) << octave) << 6) as f64 / 1e6;
            }
        }
        f64::NAN
    }
}

/// Runs a program of the suite: its arguments are how many customers and the seed; prints customers, seconds, the mean and
/// the p99 of the responses in milliseconds.
pub fn program(simulate: impl FnOnce(u64, u64) -> Histogram) {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("customers and a seed"));
    let customers = arguments.next().unwrap_or(1_000_000);
    let seed = arguments.next().unwrap_or(1);
    let started = Instant::now();
    let responses = simulate(customers, seed);
    let seconds = started.elapsed().as_secs_f64();
    let total = responses.total();
    let mean = responses.sum as f64 / total as f64 / 1e6;
    println!("{total} {seconds:.6} {mean:.4} {:.4}", responses.percentile_ms(0.99));
}
