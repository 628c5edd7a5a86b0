//! Writes an interval log of HdrHistogram for measuring how long reports take: as many intervals as make up some bytes, of
//! 10,000 values each, or a million sparse intervals over a week.

use std::fs::File;
use std::io::{BufWriter, Write as _};

use results::buckets::Fine;
use scenarios::rng::{Purpose, Stream};
use scenarios::units::Seed;

/// Different histograms, which take turns.
const DIFFERENT: usize = 512;

/// Log-normal times with a median of 5 ms, and a tail now and then.
fn histogram(random: &mut Stream, values: u32) -> String {
    let mut times = Fine::default();
    for _ in 0..values {
        let normal = (0..12).map(|_| random.unit()).sum::<f64>() - 6.0;
        let slow = if random.unit() < 0.01 { 20.0 } else { 1.0 };
        times.add((5e6 * slow * (0.7 * normal).exp()) as u64);
    }
    times.encode()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "usage: interval_log FILE (week | BYTES)";
    let mut arguments = std::env::args().skip(1);
    let (path, kind) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let week = kind == "week";
    let (values, seconds, bytes) = if week { (60, 0.6048, u64::MAX) } else { (10_000, 1.0, kind.parse()?) };
    let intervals = if week { 1_000_000 } else { u64::MAX };
    let mut random = Stream::new(Seed(1), Purpose::named("interval log"), 0);
    let histograms: Vec<String> = (0..DIFFERENT).map(|_| histogram(&mut random, values)).collect();
    let mut to = BufWriter::with_capacity(1 << 20, File::create(path)?);
    writeln!(to, "#[Histogram log format version 1.3]\n#[StartTime: 1767225600.000 (seconds since epoch)]")?;
    let mut written = 0;
    for i in 0..intervals {
        let line = format!(
            "{:.3},{seconds:.3},0.000,{}\n",
            i as f64 * seconds,
            histograms[random.below(DIFFERENT as u64) as usize]
        );
        written += line.len() as u64;
        if written > bytes {
            break;
        }
        to.write_all(line.as_bytes())?;
    }
    Ok(to.flush()?)
}
