//! An HTTP cache in trouble: stampedes, sick back ends, threads that run out, answers that cannot be cached.

use results::Failure;
use results::sample::{COALESCED, MISSES, PASSES};

use crate::support::{Run, run};

/// A cache and two machines of four cores behind it.
fn stack(cache: &str, requests: &str, rate: &str, mix: &str, faults: &str) -> Run {
    run(&format!(
        r#"
title = "A cache in trouble"
[run]
duration = "60s"
[hosts.edge]
[hosts.app]
count = 2
cores = 4
[components.varnish]
kind = "http-cache"
host = "edge"
to = "php"
memory = "10MB"
{cache}
[components.php]
kind = "service"
host = "app"
workers = 500
{requests}
[traffic.users]
to = "varnish"
executor = "constant-arrival-rate"
rate = "{rate}"
mix = {{ {mix} = 1 }}
timeout = "30s"
connections = 3000
{faults}
"#
    ))
}

/// A page that is kept for ten seconds and takes a tenth of a second to make.
const PAGE: &str = r#"
[requests.page]
path = "/"
cache = { ttl = "10s", grace = "0s" }
[[requests.page.steps]]
work = "100ms"
"#;

/// An answer that is never kept, of a GET and of a POST.
const OWN: &str = r#"
[requests.basket]
path = "/basket"
[[requests.basket.steps]]
wait = "20ms"
[requests.order]
method = "POST"
path = "/orders"
[[requests.order.steps]]
wait = "1s"
"#;

fn total(run: &Run, component: &str, metric: &str) -> f64 {
    (0..2).flat_map(|instance| run.metric(component, instance, metric)).sum()
}

fn slowest(run: &Run) -> f64 {
    run.percentiles(100.0).into_iter().fold(0.0, f64::max)
}

#[test]
fn a_key_that_ends_under_load_floods_the_back_end_unless_its_fetches_are_made_one() {
    let herd = stack("coalesce = false", PAGE, "1000/s", "page", "");
    let one = stack("", PAGE, "1000/s", "page", "");
    let graceful = stack("", &PAGE.replace("grace = \"0s\"", "grace = \"5s\""), "1000/s", "page", "");
    // Six lifetimes of ten seconds and a tenth.
    assert_eq!(total(&one, "varnish", MISSES), 6.0);
    assert!((slowest(&one) - 0.1).abs() < 0.002, "who waits, waits for one fetch: {} s", slowest(&one));
    // All that come within the tenth of a second, and each takes a core for as long.
    let fetches = total(&herd, "varnish", MISSES) / 6.0;
    assert!((80.0..130.0).contains(&fetches), "{fetches} fetches each time");
    assert!(slowest(&herd) > 1.0, "they stand in line for eight cores: {} s", slowest(&herd));
    let busy = |run: &Run| total(run, "php", "utilisation");
    assert!(busy(&herd) > 50.0 * busy(&one), "{} and {}", busy(&herd), busy(&one));
    assert_eq!(
        graceful.percentiles(100.0)[1..].iter().filter(|p| **p > 0.001).count(),
        0,
        "nobody waits at all"
    );
}

#[test]
fn each_miss_renews_its_mark_while_one_that_passes_requests_on_ends() {
    let miss = stack("hit_for_miss = \"10s\"", OWN, "100/s", "basket", "");
    let pass = stack("hit_for_pass = \"10s\"", OWN, "100/s", "basket", "");
    let due = miss.outcome.counts.due as f64;
    assert_eq!((total(&miss, "varnish", MISSES), total(&miss, "varnish", PASSES)), (1.0, due - 1.0));
    // Each ten seconds somebody finds the mark ended, and leaves the next; who comes meanwhile waits for that.
    let misses = total(&pass, "varnish", MISSES);
    assert!((5.0..=7.0).contains(&misses), "{misses} misses");
    assert_eq!(total(&pass, "varnish", PASSES), due - misses);
    assert!(total(&pass, "varnish", COALESCED) > 3.0);
    assert_eq!((miss.outcome.counts.failed, pass.outcome.counts.failed), (0, 0));
}

const HUNG: &str = "[[faults]]\nat = \"10s\"\nfor = \"30s\"\nunplug = \"host:app[1]\"\n";
const PROBE: &str =
    r#"probe = { http = "/health", interval = "1s", timeout = "500ms", window = 4, threshold = 3 }"#;

#[test]
fn a_sick_back_end_is_asked_no_more_once_its_probes_say_so() {
    let slow = |cache: &str| {
        let run = stack(cache, OWN, "100/s", "basket", HUNG);
        run.percentiles(90.0).iter().filter(|p| **p > 1.0).count()
    };
    let (blind, probed) = (slow(""), slow(PROBE));
    assert!(blind >= 25, "every second request goes to the dead one: {blind} bad seconds");
    // Two bad probes make it sick; whoever was sent before waits for 3.5 s.
    assert!((1..=4).contains(&probed), "{probed} bad seconds");
}

#[test]
fn with_all_back_ends_sick_requests_fail_at_once_and_stale_objects_are_served() {
    let hung = HUNG.replace("host:app[1]", "host:app[*]");
    let run = stack(PROBE, OWN, "100/s", "basket", &hung);
    let failed = run.failed();
    assert!(failed[16..38].iter().all(|n| (70..=130).contains(n)), "{failed:?}");
    let tally = run.outcome.delta.tallies().interval(20, None);
    assert_eq!(tally.ok, 0);
    assert_eq!(run.failures(Failure::Status)[16..38].iter().sum::<u64>(), failed[16..38].iter().sum::<u64>());
    assert_eq!(failed[45..].iter().sum::<u64>(), 0, "three good probes, and all is well");
    let graceful = PAGE.replace("grace = \"0s\"", "grace = \"1h\"");
    assert_eq!(stack(PROBE, &graceful, "100/s", "page", &hung).outcome.counts.failed, 0);
}

#[test]
fn a_cache_that_starts_waits_for_the_probes_that_it_lacks() {
    let kill = "[[faults]]\nat = \"10s\"\nfor = \"5s\"\nkill = \"component:varnish\"\n";
    let bad_seconds = |initial: &str| {
        let probe = format!("probe = {{ http = \"/health\", interval = \"4s\", timeout = \"1s\"{initial} }}");
        let run = stack(&probe, OWN, "100/s", "basket", kill);
        run.failed()[15..].iter().filter(|n| **n > 0).count()
    };
    let (first, third) = (bad_seconds(""), bad_seconds(", initial = 0"));
    assert!((1..=5).contains(&first), "the first good probe is enough: {first} s");
    assert!((third as i32 - first as i32 - 8).abs() <= 1, "two intervals more: {first} s and {third} s");
    assert_eq!(bad_seconds(", initial = 3"), 0);
}

const THREADS: &str = "threads = { pools = 1, min = 5, max = 20, queue = 5 }";

#[test]
fn each_request_that_is_passed_on_takes_two_threads_and_those_above_are_dropped() {
    let run = stack(THREADS, OWN, "100/s", "order", "");
    let threads = run.metric("varnish", 0, "threads");
    let mean = threads[5..].iter().sum::<f64>() / threads[5..].len() as f64;
    assert!((18.0..=20.0).contains(&mean), "{mean} threads work");
    // Ten pairs, a second each.
    let good = run.counts()[5..55].iter().sum::<u64>() as f64 / 50.0;
    assert!((good - 10.0).abs() < 0.5, "{good} a second");
    let resets: u64 = run.failures(Failure::Reset).iter().sum();
    assert_eq!(resets, run.outcome.counts.failed);
    assert_eq!(resets as f64, run.metric("varnish", 0, "dropped").iter().sum::<f64>());
    assert_eq!(stack("", OWN, "100/s", "order", "").outcome.counts.failed, 0);
}

#[test]
fn who_waits_for_another_s_fetch_holds_no_thread() {
    let slow = PAGE.replace("work = \"100ms\"", "wait = \"5s\"");
    let run = stack(THREADS, &slow, "50/s", "page", "");
    assert_eq!(run.outcome.counts.failed, 0, "250 requests wait at once, with twenty threads");
    assert!(run.metric("varnish", 0, "threads")[2] < 2.1);
}

#[test]
fn a_user_whose_connection_was_idle_for_too_long_opens_it_anew() {
    let mean = |timeout: &str| {
        let run = run(&format!(
            r#"
title = "Idle connections"
[run]
duration = "100s"
[hosts.edge]
[hosts.app]
[[network]]
between = ["clients", "edge"]
latency = "50ms"
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "php"
{timeout}
[components.php]
kind = "service"
host = "app"
[requests.page]
path = "/"
response = "1B"
[[requests.page.steps]]
wait = "10ms"
[traffic.users]
to = "balancer"
executor = "constant-vus"
vus = 10
think = "2s"
mix = {{ page = 1 }}
"#
        ));
        let means = run.means();
        means[5..].iter().filter(|mean| mean.is_finite()).fold(0.0, |most: f64, mean| most.max(*mean))
    };
    let (kept, closed) = (mean("client_timeout = \"10s\""), mean("client_timeout = \"1s\""));
    assert!((kept - 0.11).abs() < 0.001, "{kept} s");
    assert!((closed - kept - 0.1).abs() < 0.001, "a round trip more: {closed} s");
    assert_eq!(mean(""), kept);
}
