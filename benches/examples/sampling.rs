//! What following some keys costs in error: `octivi/week` at a hundredth of its size with every key followed, and with one in
//! 64 and one in 256. Takes where on the timeline to start and for how long (`2d18h 6h`); without, the week with its faults.

use std::time::Instant;

use benches::sampling::{part, play};
use scenarios::scenario::Sampling;

#[allow(clippy::print_stdout, clippy::print_stderr)]
fn main() {
    let mut span = std::env::args().skip(1).map(|text| text.parse().expect("a duration, such as 6h"));
    let part = part(span.next(), span.next());
    println!("| keys followed | hit ratio | p50 (ms) | p99 (ms) | mean (ms) |");
    println!("|---|--:|--:|--:|--:|");
    for sampling in [Sampling::Exact, Sampling::OneIn(64), Sampling::OneIn(256)] {
        let start = Instant::now();
        let found = play(&part, sampling);
        let took = start.elapsed().as_secs_f64();
        let [p50, p99] = [50.0, 99.0].map(|percent| found.percentile_ms(percent));
        let mean = found.run.response_times().mean().expect("requests were answered") * 1e3;
        println!("| {sampling} | {:.4} | {p50:.2} | {p99:.1} | {mean:.3} |", found.hit_ratio());
        let keys = found.hits + found.misses;
        eprintln!("{sampling}: {} requests that read {keys} keys took {took:.1} s", found.run.due());
    }
}
