//! Workers that hold connections, and users who have connections of their own.

use results::Failure;

use crate::support::{Run, batched, run};

/// A service with clients of its own, and whatever else.
fn shop(service: &str, more: &str) -> String {
    format!(
        r#"
title = "Connections"
[run]
duration = "400s"
warmup = "20s"
[hosts.app]
cores = 64
[components.shop]
kind = "service"
host = "app"
{service}
[requests.page]
path = "/"
[[requests.page.steps]]
wait = "10ms"
{more}
"#
    )
}

fn users(name: &str, to: &str, count: u32, think: &str, timeout: &str) -> String {
    format!(
        r#"
[traffic.{name}]
to = "{to}"
executor = "constant-vus"
vus = {count}
think = "{think}"
mix = {{ page = 1 }}
timeout = "{timeout}"
"#
    )
}

fn mean(run: &Run, metric: &str) -> f64 {
    let values = run.metric("shop", 0, metric);
    values.iter().sum::<f64>() / values.len() as f64
}

const HOLDS: &str = "workers = 400\nworker_holds = \"connection\"\n";

#[test]
fn four_hundred_idle_connections_hold_four_hundred_workers() {
    let all = users("all", "shop", 420, "2s", "1s");
    let holds = run(&shop(HOLDS, &all));
    assert!((mean(&holds, "held") + mean(&holds, "in_service") - 400.0).abs() < 0.5);
    let busy = mean(&holds, "in_service");
    assert!(busy < 2.1, "and nearly none of them works: {busy}");
    let timeouts: u64 = holds.failures(Failure::Timeout)[20..].iter().sum();
    // Those who came last never get one: each thinks for two seconds and waits for one, in vain.
    assert!((timeouts as f64 / 400.0 - 20.0 / 3.0).abs() < 0.1, "{timeouts} in 400 s");
    let free = run(&shop("workers = 400\n", &all));
    assert_eq!(free.outcome.counts.failed, 0);
    let short = run(&shop(&format!("{HOLDS}keep_alive = \"100ms\"\n"), &all));
    assert_eq!(short.outcome.counts.failed, 0, "workers that wait for 100 ms only are soon free again");
}

#[test]
fn a_worker_waits_for_the_shorter_of_pause_and_keep_alive() {
    let text = shop(
        &format!("{HOLDS}keep_alive = \"1s\"\n"),
        &users("all", "shop", 200, "exponential(mean=2s)", "30s"),
    );
    let run = run(&text);
    // Of each turn of 10 ms and a pause of Z, min(Z, K) is waited: Z (1 - e^(-K/Z)).
    let exact = 200.0 * 2.0 * (1.0 - (-0.5_f64).exp()) / 2.01;
    let (mean, half) = batched(&run.metric("shop", 0, "held"));
    assert!((mean - exact).abs() < half.max(0.01 * exact), "{mean} ± {half} held, {exact} by the law");
}

#[test]
fn a_balancer_holds_few_workers_for_many_clients() {
    let balancer =
        "[hosts.edge]\n[components.front]\nkind = \"load-balancer\"\nhost = \"edge\"\nto = \"shop\"\n";
    let text =
        shop(HOLDS, &format!("{balancer}{}", users("all", "front", 400, "exponential(mean=2s)", "30s")));
    let run = run(&text);
    assert_eq!(run.outcome.counts.failed, 0);
    // Two are busy on average: the latest connections are used first, and the others soon closed.
    let workers = mean(&run, "held") + mean(&run, "in_service");
    assert!((4.0..14.0).contains(&workers), "{workers} workers");
}

#[test]
fn a_killed_caller_and_a_server_that_is_taken_out_let_go_of_their_workers() {
    let more = r#"
[hosts.edge]
[components.front]
kind = "load-balancer"
host = "edge"
to = "shop"
health_check = { http = "/health", interval = "500ms", fall = 1 }
[[faults]]
at = "100s"
for = "20s"
kill = "component:front"
[[faults]]
at = "200s"
for = "20s"
serve_500 = "component:shop"
"#;
    let service = format!("{HOLDS}keep_alive = \"100s\"\n");
    let all = users("all", "front", 100, "exponential(mean=200ms)", "30s");
    let run = run(&shop(&service, &format!("{more}{all}")));
    let held = run.metric("shop", 0, "held");
    assert!(held[90] > 3.0 && held[190] > 3.0, "{} and {} held", held[90], held[190]);
    assert_eq!(held[110], 0.0, "the caller is dead");
    assert_eq!(held[210], 0.0, "the check has failed");
}

#[test]
fn users_of_a_closed_loop_stay_with_the_entry_that_they_have() {
    let two = shop("workers = 10\n", &users("all", "shop", 2, "10ms", "30s"))
        .replace("[hosts.app]", "[hosts.app]\ncount = 2")
        .replace("wait = \"10ms\"", "work = \"10ms\"")
        + "[[faults]]\nat = \"0s\"\nfor = \"1h\"\nslow = { target = \"component:shop[2]\", times = 10 }\n";
    let run = run(&two);
    // One works 10 ms of every 20 ms, the other 100 ms of every 110 ms.
    let busy = |instance| run.metric("shop", instance, "in_service").iter().sum::<f64>() / 400.0;
    assert!(
        (busy(0) - 0.5).abs() < 0.005 && (busy(1) - 10.0 / 11.0).abs() < 0.005,
        "{} {}",
        busy(0),
        busy(1)
    );
}

#[test]
fn users_whose_entry_is_dead_fail_and_the_others_notice_nothing() {
    let two = shop("workers = 10\n", &users("all", "shop", 10, "90ms", "30s"))
        .replace("[hosts.app]", "[hosts.app]\ncount = 2")
        + "[[faults]]\nat = \"100s\"\nfor = \"100s\"\nkill = \"component:shop[2]\"\n";
    let run = run(&two);
    // Refused at once, five users try again each 90 ms; the other five go on.
    let failed: u64 = run.failed()[130..180].iter().sum();
    assert!((failed as f64 / 50.0 - 5.0 / 0.09).abs() < 0.5, "{failed} in 50 s");
    let good: u64 = run.counts()[110..160].iter().sum();
    assert!((good as f64 / 50.0 - 50.0).abs() < 0.5, "{good} in 50 s");
    assert_eq!(run.failed()[221..].iter().sum::<u64>(), 0);
}
