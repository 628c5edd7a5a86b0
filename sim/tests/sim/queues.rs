//! Queues with closed solutions. Seeds are fixed; intervals are 99.9% from batch means.

use crate::support::{Shop, batched, covers, run, step};

/// A station of `cores` cores, or of `workers` workers that each wait, at a mean service time of 1 ms.
fn station(rate: u32, cores: u32, workers: u32, steps: &str) -> String {
    Shop {
        run: "duration = \"990s\"\nwarmup = \"5s\"",
        app: &format!("cores = {cores}\n[hosts.other]\ncores = {cores}"),
        service: &format!(
            "workers = {workers}\n[components.second]\nkind = \"service\"\nhost = \"other\"\nworkers = {workers}"
        ),
        steps,
        traffic: &format!(
            "to = \"shop\"\nrate = \"{rate}/s\"\nconnections = 60000\nmax_in_flight = 60000\ntimeout = \"10s\""
        ),
        ..Shop::default()
    }
    .text()
}

const MS: f64 = 1e-3;

#[test]
fn mm1_has_the_mean_sojourn_and_the_p99_of_the_formula() {
    let run = run(&station(800, 1, 50_000, &step(r#"work = "exponential(mean=1ms)""#)));
    covers(&run.means(), 5.0 * MS, 0.1);
    covers(&run.batch_percentiles(99.0), 23.025_851 * MS, 0.15);
    covers(&run.metric("shop", 0, "utilisation"), 0.8, 0.01);
}

#[test]
fn mm8_by_cores_waits_as_erlang_c_says() {
    let run = run(&station(6_400, 8, 50_000, &step(r#"work = "exponential(mean=1ms)""#)));
    covers(&run.means(), 1.286_028_08 * MS, 0.01);
    // The mean queue is P(wait) · ρ / (1 - ρ).
    let waiting: Vec<f64> = run.metric("shop", 0, "queue").iter().map(|q| q * 0.2 / 0.8).collect();
    covers(&waiting, 0.457_644_93, 0.03);
}

#[test]
fn mm8_by_workers_is_the_same_queue_as_by_cores() {
    let run = run(&station(6_400, 1, 8, &step(r#"wait = "exponential(mean=1ms)""#)));
    covers(&run.means(), 1.286_028_08 * MS, 0.01);
    covers(&run.metric("shop", 0, "in_service"), 6.4, 0.01);
}

#[test]
fn mm64_at_nine_tenths_waits_as_erlang_c_says() {
    let run =
        run(&station(57_600, 64, 50_000, &step(r#"work = "exponential(mean=1ms)""#)).replace("990s", "90s"));
    covers(&run.means(), 1.048_541_143 * MS, 0.01);
    let waiting: Vec<f64> = run.metric("shop", 0, "queue").iter().map(|q| q * 0.1 / 0.9).collect();
    covers(&waiting, 0.310_663_32, 0.1);
}

#[test]
fn md1_waits_half_as_long_as_mm1() {
    let run = run(&station(800, 1, 50_000, &step(r#"work = "1ms""#)));
    covers(&run.means(), 3.0 * MS, 0.05);
}

#[test]
fn mg1_waits_as_pollaczek_and_khinchin_say() {
    let run = run(&station(800, 1, 50_000, &step(r#"work = "lognormal(mean=1ms, cv=2)""#)));
    covers(&run.means(), 11.0 * MS, 0.25);
}

#[test]
fn a_tandem_has_the_sum_of_its_stations_sojourns() {
    let second = "at = \"second\"\nwork = \"exponential(mean=1ms)\"";
    let steps = step(r#"work = "exponential(mean=1ms)""#) + &step(second);
    let run = run(&station(6_400, 8, 50_000, &steps));
    covers(&run.means(), 2.0 * 1.286_028_08 * MS, 0.01);
}

#[test]
fn three_stations_have_the_sojourn_of_the_anchor() {
    let third = "[hosts.third]\ncores = 8\n[components.third]\nkind = \"service\"\nhost = \"third\"\nworkers = 50000\n";
    let steps = ["", "at = \"second\"\n", "at = \"third\"\n"]
        .map(|at| step(&format!("{at}work = \"exponential(mean=1ms)\"")))
        .concat();
    let run = run(&(station(6_400, 8, 50_000, &steps) + third).replace("990s", "300s"));
    covers(&run.means(), 3.858_084_2 * MS, 0.02);
}

#[test]
fn littles_law_holds() {
    let text =
        station(6_400, 1, 8, &step(r#"wait = "exponential(mean=1ms)""#)).replace("warmup = \"5s\"", "");
    let run = run(&text);
    let (busy, queue) = (run.metric("shop", 0, "in_service"), run.metric("shop", 0, "queue"));
    let inside: f64 = busy.iter().chain(&queue).sum::<f64>() / busy.len() as f64;
    let sojourns: f64 = run.means().iter().zip(run.counts()).map(|(mean, n)| mean * n as f64).sum();
    let from_sojourns = sojourns / run.frame.total.as_secs_f64();
    // An identity but for those who are inside at the end.
    assert!((inside / from_sojourns - 1.0).abs() < 1e-4, "{inside} inside, {from_sojourns} by Little's law");
}

#[test]
fn the_canary_a_wrong_formula_is_noticed() {
    let run = run(&station(6_400, 8, 50_000, &step(r#"work = "exponential(mean=1ms)""#)));
    let (mean, half) = batched(&run.means());
    // M/M/1 with the same load.
    assert!((mean - 5.0 * MS).abs() > 10.0 * half);
    // A load of 0.81 instead of 0.80.
    assert!((mean - 1.309_6 * MS).abs() > half, "{mean} ± {half}");
}
