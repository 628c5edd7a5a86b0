//! What services do beside working: calls, parallel steps, third parties, limits, policies, workers that come and go.

use crate::support::{Run, covers, run};

/// A service, another behind a balancer, and one class; a request every ten milliseconds on average.
fn shop(service: &str, steps: &str, more: &str) -> String {
    format!(
        r#"
title = "A shop and what it calls"
[run]
duration = "100s"
warmup = "2s"
[hosts.app]
cores = 64
[hosts.inner]
count = 2
cores = 64
[components.shop]
kind = "service"
host = "app"
workers = 500
{service}
[components.front]
kind = "load-balancer"
host = "app"
to = "search"
[components.search]
kind = "service"
host = "inner"
workers = 500
[requests.page]
path = "/"
{steps}
{more}
[traffic.users]
to = "shop"
mix = {{ page = 1 }}
executor = "constant-arrival-rate"
rate = "100/s"
connections = 5000
timeout = "30s"
"#
    )
}

fn steps(all: &[&str]) -> String {
    all.iter().map(|step| format!("[[requests.page.steps]]\n{step}\n")).collect()
}

/// The mean of a metric over the run.
fn mean(run: &Run, component: &str, instance: u32, metric: &str) -> f64 {
    let values = run.metric(component, instance, metric);
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

/// The share of requests that failed.
fn failed(run: &Run) -> f64 {
    run.outcome.counts.failed as f64 / run.outcome.counts.due as f64
}

/// All mean response times are this many milliseconds.
fn always(run: &Run, milliseconds: f64) {
    for mean in run.means() {
        assert!((mean * 1e3 - milliseconds).abs() < 1e-6, "{} ms", mean * 1e3);
    }
}

#[test]
fn parallel_steps_take_as_long_as_the_longest() {
    let all = [
        r#"wait = "1ms""#,
        r#"parallel = [ { wait = "30ms" }, { wait = "10ms", repeat = 2 }, { call = { to = "front", wait = "25ms" } } ]"#,
        r#"wait = "1ms""#,
    ];
    always(&run(&shop("", &steps(&all), "")), 32.0);
}

#[test]
fn serializing_takes_processor_time_by_the_size_of_the_answer() {
    let serialized = |per_kb: &str, size: &str| {
        let step = format!("serialize = {{ per_kb = \"{per_kb}\" }}");
        let file = shop("", &steps(&[&step]), "")
            .replace("path = \"/\"", &format!("path = \"/\"\nresponse = \"{size}\""));
        run(&file)
    };
    always(&serialized("90us", "400kB"), 36.0);
    let fast = serialized("9us", "400kB");
    always(&fast, 3.6);
    let busy = 64.0 * mean(&fast, "shop", 0, "utilisation");
    assert!((busy - 0.36).abs() < 0.03, "3.6 ms a hundred times a second are 0.36 cores: {busy}");
    // The size is the law's: its mean makes the mean.
    let spread = serialized("100us", "exponential(mean=50kB)");
    let mean_s = spread.means().into_iter().sum::<f64>() / spread.means().len() as f64;
    assert!((mean_s - 5e-3).abs() < 0.2e-3, "{mean_s} s");
}

#[test]
fn a_call_of_a_class_walks_its_steps_at_the_other_service() {
    let find = r#"
[requests.find]
path = "/find"
[[requests.find.steps]]
wait = "3ms"
[[requests.find.steps]]
parallel = [ { wait = "4ms" }, { wait = "2ms" } ]
"#;
    let all = [r#"call = { to = "front", class = "find" }"#, r#"call = { to = "search", class = "find" }"#];
    let run = run(&shop("", &steps(&all), find));
    always(&run, 14.0);
    // Each of the two instances has half of two calls of 7 ms, a hundred times a second.
    for instance in 0..2 {
        let busy = mean(&run, "search", instance, "in_service");
        assert!((busy - 0.7).abs() < 0.05, "{busy} busy workers");
    }
}

#[test]
fn a_share_of_the_requests_takes_a_step_and_each_as_often_as_it_is_repeated() {
    let all = [r#"wait = "10ms"
share = "30%"
repeat = 3"#];
    let run = run(&shop("", &steps(&all), ""));
    covers(&run.means(), 0.009, 0.08);
}

#[test]
fn repeats_and_calls_draw_for_themselves() {
    let all = [r#"wait = "exponential(mean=10ms)"
repeat = 4"#];
    let run = run(&shop("", &steps(&all), ""));
    // Erlang-4 of mean 40 ms: its p99 is 100.45 ms. Four times one and the same draw would have 184 ms.
    let p99 = run.batch_percentiles(99.0);
    let mean = p99.iter().sum::<f64>() / p99.len() as f64;
    assert!((0.085..0.12).contains(&mean), "p99 {mean} s");
}

#[test]
fn who_rejects_what_is_too_much_loses_what_erlang_says() {
    let text =
        shop("backlog = 0\nwhen_full = \"reject\"", &steps(&[r#"wait = "exponential(mean=64ms)""#]), "")
            .replace("workers = 500\nbacklog", "workers = 8\nbacklog");
    let run = run(&text.replace("100s", "2000s"));
    // M/M/8/8 at 6.4 erlangs loses 0.14439389.
    assert!((failed(&run) - 0.14439389).abs() < 0.004, "{}", failed(&run));
}

#[test]
fn a_third_party_fails_for_its_share_or_when_it_is_late() {
    let failing = [r#"third_party = { latency = "5ms", error = "10%" }"#];
    let run_failing = run(&shop("", &steps(&failing), ""));
    assert!((failed(&run_failing) - 0.1).abs() < 0.01, "{}", failed(&run_failing));
    let late = [r#"third_party = { latency = "exponential(mean=10ms)", timeout = "20ms" }"#];
    let share = failed(&run(&shop("", &steps(&late), "")));
    assert!((share - (-2.0_f64).exp()).abs() < 0.012, "{share}");
    let optional = [
        r#"third_party = { latency = "exponential(mean=10ms)", timeout = "20ms", required = false, error = "50%" }"#,
    ];
    assert_eq!(failed(&run(&shop("", &steps(&optional), ""))), 0.0);
}

#[test]
fn a_call_that_times_out_fails_its_request_then_and_not_later() {
    let all = [r#"call = { to = "search", wait = "1s" }
policy = { timeout = "100ms" }"#];
    let run = run(&shop("", &steps(&all), ""));
    assert_eq!(failed(&run), 1.0);
    let busy: f64 = (0..2).map(|i| mean(&run, "search", i, "in_service")).sum();
    assert!((busy - 100.0).abs() < 4.0, "the other service works to the end: {busy} busy");
    let waiting = mean(&run, "shop", 0, "in_service");
    assert!((waiting - 10.0).abs() < 0.5, "the caller waits for 100 ms: {waiting} busy");
    assert!((mean(&run, "shop", 0, "timeouts") - 100.0).abs() < 5.0);
}

#[test]
fn retries_make_up_for_what_fails_by_chance() {
    let flaky = |policy: &str| {
        let step = format!("third_party = {{ latency = \"5ms\", error = \"50%\" }}\npolicy = {policy}");
        run(&shop("", &steps(&[&step]), ""))
    };
    let run = flaky("{ retries = { times = 2, backoff = \"10ms\", jitter = \"none\" } }");
    assert!((failed(&run) - 0.125).abs() < 0.01, "{}", failed(&run));
    assert!((mean(&run, "shop", 0, "retries") - 75.0).abs() < 3.0);
    // An answer after 0, 1, 2 retries comes after 5, 20, 45 ms, and of eight requests the last's is an error.
    covers(&run.means(), (5.0 * 4.0 + 20.0 * 2.0 + 45.0 * 2.0) / 7.0 / 1e3, 0.06);
}

#[test]
fn a_retry_budget_bounds_the_load_on_top() {
    let policy = r#"{ retries = { times = 10, backoff = "1ms", budget = { share = "20%", min_rate = "0/s", window = "10s" } } }"#;
    let step = format!("third_party = {{ latency = \"1ms\", error = \"100%\" }}\npolicy = {policy}");
    let run = run(&shop("", &steps(&[&step]), ""));
    assert!((mean(&run, "shop", 0, "retries") - 20.0).abs() < 1.5, "{}", mean(&run, "shop", 0, "retries"));
}

#[test]
fn an_open_breaker_spares_a_broken_service_and_closes_when_it_is_mended() {
    let all = [r#"call = { to = "search", wait = "5ms" }
policy = { circuit_breaker = { failures = "50%", min_calls = 20, window = "2s", open = "5s", probes = 5 } }"#];
    let fault = "[[faults]]\nat = \"20s\"\nfor = \"30s\"\nserve_500 = \"host:inner[*]\"\n";
    let run = run(&shop("", &steps(&all), fault));
    let refused: f64 = run.metric("shop", 0, "refused").iter().sum();
    let failed = run.outcome.counts.failed as f64;
    // Some tens of calls until it opens, then five probes every five seconds.
    assert!(failed > 2_500.0, "requests fail while it is open: {failed}");
    assert!(failed - refused < 300.0, "{} calls reached the broken service", failed - refused);
    let last = run.failed()[70..].iter().sum::<u64>();
    assert_eq!(last, 0, "all is well ten seconds after");
}

#[test]
fn a_hedge_cuts_the_tail_for_little_load_on_top() {
    let party = r#"third_party = { latency = "lognormal(median=10ms, p99=200ms)" }"#;
    let hedged = format!("{party}\npolicy = {{ hedge = {{ after = \"60ms\" }} }}");
    let (plain, hedged) = (run(&shop("", &steps(&[party]), "")), run(&shop("", &steps(&[&hedged]), "")));
    let p99 = |run: &Run| {
        let all = run.batch_percentiles(99.0);
        all.iter().sum::<f64>() / all.len() as f64
    };
    let (before, after) = (p99(&plain), p99(&hedged));
    assert!(after < 0.6 * before, "p99 {before} s, hedged {after} s");
    // 8.2% of a log-normal law of this median and p99 are above 60 ms.
    let hedges = mean(&hedged, "shop", 0, "hedges");
    assert!((hedges - 8.2).abs() < 1.0, "{hedges} hedges a second");
    assert_eq!(failed(&hedged), 0.0);
}

#[test]
fn a_bulkhead_refuses_at_once_what_would_wait_behind_a_slow_service() {
    let all = [r#"call = { to = "search", wait = "500ms" }
policy = { bulkhead = { calls = 10 } }"#];
    let run = run(&shop("", &steps(&all), ""));
    // Ten at a time for half a second each: twenty of a hundred a second, nearly always used.
    assert!((failed(&run) - 0.8).abs() < 0.02, "{}", failed(&run));
    always(&run, 500.0);
    assert!(mean(&run, "shop", 0, "in_service") <= 10.01);
}

#[test]
fn waiting_for_a_pooled_connection_counts() {
    let all = [r#"call = { to = "search", wait = "8ms" }
policy = { pool = 1 }"#];
    let run = run(&shop("", &steps(&all), "").replace("100s", "1000s"));
    // M/D/1 at 0.8: a mean wait of 2 service times.
    covers(&run.means(), 0.024, 0.06);
}

#[test]
fn prefork_starts_workers_as_they_get_scarce_and_ends_them_later() {
    let text = shop("", &steps(&[r#"wait = "500ms""#]), "")
        .replace("workers = 500", "workers = { manager = \"prefork\", max = 60, start = 5, min_spare = 5, max_spare = 10 }")
        .replace("executor = \"constant-arrival-rate\"\nrate = \"100/s\"", "executor = \"ramping-arrival-rate\"\nstart_rate = \"100/s\"\nstages = [{ for = \"50s\", to = \"100/s\" }, { for = \"1s\", to = \"2/s\" }]");
    // The second service is not looked at here.
    let text = text.replacen("kind = \"service\"\nhost = \"inner\"\nworkers = { manager = \"prefork\", max = 60, start = 5, min_spare = 5, max_spare = 10 }", "kind = \"service\"\nhost = \"inner\"\nworkers = 4", 1);
    let run = run(&text);
    let workers = run.metric("shop", 0, "workers");
    assert!(workers[..8].iter().any(|&n| n < 60.0), "it takes seconds: {:?}", &workers[..8]);
    assert_eq!(workers[30], 60.0, "the load takes all there may be");
    // One a second goes until ten are spare, beside the one or so that is busy.
    let last = workers[workers.len() - 1];
    assert!((9.0..=15.0).contains(&last), "{last} workers at the end");
}

#[test]
fn workers_on_demand_start_with_the_load_and_end_with_it() {
    let text = shop("", &steps(&[r#"wait = "100ms""#]), "").replace(
        "workers = 500\n\n[components.front]",
        "workers = { manager = \"ondemand\", max = 50, boot = \"20ms\" }\n[components.front]",
    );
    let run = run(&text);
    let workers = mean(&run, "shop", 0, "workers");
    assert!((10.0..=30.0).contains(&workers), "ten are busy on average: {workers} workers");
    assert_eq!(failed(&run), 0.0);
}
