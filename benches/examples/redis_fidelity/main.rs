//! The simulator's store held against a real Redis 7: every policy that ranks or draws keys, three numbers of samples,
//! room for 1%, 10% and 50% of the keys. Starts its own servers and writes a table in Markdown to standard output.
//!
//! ```text
//! nice cargo run --release -p benches --example redis_fidelity -- [--seconds 100] [--at-once 8] [POLICY...]
//! ```

mod play;

use std::sync::Mutex;

use play::{Cell, Played, Server, replay};
use scenarios::scenario::Eviction;

const KEYS: u64 = 500_000;
const RATE: u64 = 20_000;
/// Runs of the simulator with different seeds, whose spread is the noise of one.
const SEEDS: u64 = 4;

fn cells(seconds: u64, policies: &[String]) -> Vec<Cell> {
    let mut cells = Vec::new();
    for policy in Eviction::ALL {
        let draws = matches!(policy, Eviction::VolatileRandom | Eviction::AllkeysRandom);
        let named = policies.is_empty() || policies.iter().any(|p| p == policy.name());
        if policy == Eviction::NoEviction || !named {
            continue;
        }
        for percent in [1, 10, 50] {
            for samples in if draws { &[5][..] } else { &[3, 5, 10] } {
                cells.push(Cell {
                    policy,
                    samples: *samples,
                    keys: KEYS,
                    room: KEYS * percent / 100,
                    standing: if policy.takes_all_keys() { 0 } else { 50_000 },
                    exponent: 1.0,
                    requests: seconds * RATE,
                    rate: RATE,
                    batch: 80,
                    // What expires soonest is a matter of volatile-ttl alone; elsewhere nothing does.
                    lifetime: if policy == Eviction::VolatileTtl { (200, 1_000) } else { (864_000, 864_000) },
                });
            }
        }
    }
    cells
}

fn spread(runs: &[Played]) -> (f64, f64) {
    let n = runs.len() as f64;
    let mean = runs.iter().map(|r| r.hit_ratio).sum::<f64>() / n;
    let variance = runs.iter().map(|r| (r.hit_ratio - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, variance.sqrt())
}

fn main() -> std::io::Result<()> {
    let (mut seconds, mut at_once, mut policies) = (100, 8, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number =
            || arguments.next().and_then(|n| n.parse().ok()).expect("a number follows the option");
        match argument.as_str() {
            "--seconds" => seconds = number(),
            "--at-once" => at_once = number(),
            policy => policies.push(policy.to_owned()),
        }
    }
    let cells = cells(seconds, &policies);
    let next = Mutex::new(cells.iter().enumerate());
    let rows = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let Some((n, cell)) = next.lock().expect("no thread panics with it").next() else {
                        return;
                    };
                    let mut server = Server::start(cell).expect("redis-server is installed");
                    let real = server.play(cell).expect("the server answers");
                    drop(server);
                    // The server's connection has buffers that come and go, so it had room for a few keys more or fewer.
                    let more = real.keys as i64 - replay(cell, &real, 0, 0).keys as i64;
                    let runs: Vec<Played> = (1..=SEEDS).map(|seed| replay(cell, &real, seed, more)).collect();
                    let (simulated, noise) = spread(&runs);
                    let row = format!(
                        "| {} | {} | {}% | {:.4} | {:.4} | {:+.4} | {:.4} | {} | {:+} |",
                        cell.policy.name(),
                        cell.samples,
                        100 * cell.room / cell.keys,
                        real.hit_ratio,
                        simulated,
                        simulated - real.hit_ratio,
                        noise,
                        real.keys,
                        more,
                    );
                    #[allow(clippy::print_stderr, reason = "progress of minutes")]
                    {
                        eprintln!("{row}");
                    }
                    rows.lock().expect("no thread panics with it").push((n, row));
                }
            });
        }
    });
    let mut rows = rows.into_inner().expect("no thread panics with it");
    rows.sort();
    #[allow(clippy::print_stdout, reason = "the table is the product")]
    {
        println!(
            "| policy | samples | room | Redis | simulator | difference | noise | keys held | of them allowed for |"
        );
        println!("|---|---|---|---|---|---|---|---|---|");
        for (_, row) in rows {
            println!("{row}");
        }
    }
    Ok(())
}
