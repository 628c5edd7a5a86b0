//! What one call of `Recorder::record` costs: `cargo run --release -p results --example record_cost`.

use std::io::Write;
use std::time::Instant;

use results::{Frame, Outcome, Recorder};
use scenarios::Scenario;
use scenarios::plan::Plan;
use scenarios::units::SimTime;

const WEEK: &str = r#"
title = "Many requests"
[run]
duration = "600s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
[requests.a]
path = "/a"
[[requests.a.steps]]
work = "1ms"
[requests.b]
path = "/b"
[[requests.b.steps]]
work = "1ms"
[traffic.all]
to = "shop"
executor = "constant-arrival-rate"
rate = "10000/s"
mix = { a = 2, b = 1 }
"#;

fn main() -> std::io::Result<()> {
    let scenario =
        Scenario::parse("cost.toml", WEEK).unwrap_or_else(|e| panic!("the scenario is right: {e}"));
    let frame = Frame::new(&scenario);
    let mut state = 1u64;
    let mut outcomes: Vec<Outcome> = Plan::new(&scenario)
        .requests()
        .map(|planned| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let uniform = ((state >> 11) as f64 + 1.0) / (1u64 << 53) as f64;
            let sent = planned.due + SimTime::from_secs_f64(2e-3 * uniform);
            let done = sent + SimTime::from_secs_f64(-8e-3 * uniform.ln());
            Outcome {
                class: planned.class,
                due: planned.due,
                sent: Some(sent),
                done,
                lag: SimTime::ZERO,
                result: Ok(()),
            }
        })
        .collect();
    outcomes.sort_by_key(|o| o.done);
    let mut out = std::io::stdout().lock();
    for _ in 0..3 {
        let mut recorder = Recorder::new(&frame);
        let start = Instant::now();
        outcomes.iter().for_each(|o| recorder.record(o));
        let each = start.elapsed().as_nanos() as f64 / outcomes.len() as f64;
        std::hint::black_box(recorder.take());
        writeln!(out, "{each:.1} ns per outcome, {} outcomes", outcomes.len())?;
    }
    Ok(())
}
