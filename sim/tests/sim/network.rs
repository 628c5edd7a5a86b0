//! Ways between machines: what they add to a response time, and what gets lost on them.

use results::Failure;

use crate::support::{EVENLY, Run, Shop, covers, run, step};

/// Clients, a balancer, a service that waits 10 ms and asks a store; 50 requests a second, evenly spaced.
fn shop(network: &str, rest: &str) -> String {
    Shop {
        run: "duration = \"40s\"",
        app: &format!("[hosts.data]\n{network}"),
        balancer: Some(""),
        service: "workers = 64\n[components.objects]\nkind = \"kv-store\"\nhost = \"data\"\n\
                  [keyspaces.items]\nin = \"objects\"\nkeys = 1000\npersistent = true\nvalue = \"400B\"",
        steps: &format!(
            "response = \"10kB\"\n{}{}",
            step("wait = \"10ms\""),
            step("get = { keyspace = \"items\" }")
        ),
        traffic: &format!("{EVENLY}rate = \"50/s\"\n{rest}"),
        ..Shop::default()
    }
    .text()
}

fn way(a: &str, b: &str, keys: &str) -> String {
    format!("[[network]]\nbetween = [\"{a}\", \"{b}\"]\n{keys}\n")
}

/// The mean response time of the last twenty seconds, in milliseconds: connections are open by then.
fn mean_ms(run: &Run) -> f64 {
    let means = run.means();
    let last = &means[means.len() / 2..];
    1e3 * last.iter().sum::<f64>() / last.len() as f64
}

#[test]
fn every_hop_costs_its_way_there_and_back() {
    let ways = [
        way("clients", "edge", "latency = \"20ms\""),
        way("edge", "app", "latency = \"1ms\""),
        way("app", "data", "latency = \"500us\""),
    ];
    let mean = mean_ms(&run(&shop(&ways.concat(), "")));
    assert!((mean - (10.0 + 40.0 + 2.0 + 1.0)).abs() < 0.01, "{mean}");
}

#[test]
fn a_way_between_hosts_goes_before_one_between_their_zones() {
    let zoned = |network: &str| {
        let text = shop(network, "");
        text.replace("[hosts.edge]", "[hosts.edge]\nzone = \"a\"")
            .replace("[hosts.app]", "[hosts.app]\nzone = \"b\"")
    };
    let zones = way("zone:a", "zone:b", "latency = \"3ms\"");
    assert!((mean_ms(&run(&zoned(&zones))) - 16.0).abs() < 0.01);
    let both = zones + &way("edge", "app", "latency = \"1ms\"");
    assert!((mean_ms(&run(&zoned(&both))) - 12.0).abs() < 0.01);
}

#[test]
fn an_answer_takes_its_bytes_divided_by_the_bandwidth() {
    // 10,400 bytes at 1 Mbit/s take 83.2 ms, 400 bytes of the request 3.2 ms.
    let mean = mean_ms(&run(&shop(&way("clients", "edge", "bandwidth = \"1Mbit/s\""), "")));
    assert!((mean - (10.0 + 83.2 + 3.2)).abs() < 0.01, "{mean}");
}

#[test]
fn machines_share_the_bandwidth_between_them_and_queue_for_it() {
    // 50 answers of 83.2 kbit a second are 4.16 Mbit/s: more than there is, so the queue grows until clients give up.
    let run = run(&shop(&way("edge", "app", "bandwidth = \"4Mbit/s\""), ""));
    let means = run.means();
    assert!(means[39] > 10.0 * means[0], "{means:?}");
}

/// One machine whose interface answers take a millisecond of.
fn narrow(arrivals: &str, more: &str) -> String {
    Shop {
        run: "duration = \"300s\"\nwarmup = \"5s\"",
        app: "nic = \"1Gbit/s\"",
        service: &format!("workers = 10000\nbacklog = 10000\n{more}"),
        steps: &format!("response = \"124600B\"\n{}", step("wait = \"5ms\"")),
        traffic: &format!(
            "to = \"shop\"\nrate = \"800/s\"\narrivals = \"{arrivals}\"\nconnections = 20000\ntimeout = \"10s\""
        ),
        ..Shop::default()
    }
    .text()
}

#[test]
fn answers_queue_for_the_interface_of_their_machine_as_in_md1() {
    // A request takes 3.2 µs; an answer of 1 ms waits ρ / 2(1 - ρ) × 1 ms = 2 ms at ρ = 0.8 (Pollaczek and Khinchine).
    let run = run(&narrow("poisson", ""));
    covers(&run.means(), 5e-3 + 3.2e-6 + 3e-3, 0.02);
    covers(&run.metric("host:app", 0, "nic_out"), 0.8, 0.01);
    covers(&run.metric("host:app", 0, "nic_in"), 0.8 * 0.0032, 0.01);
}

/// One machine before another, whose interface sends what a cache on it keeps of so many objects.
fn kept(keys: u32) -> String {
    format!(
        r#"
title = "What a cache keeps"
[run]
duration = "100s"
warmup = "10s"
[hosts.edge]
nic = "10Mbit/s"
[hosts.app]
[components.cache]
kind = "http-cache"
host = "edge"
to = "shop"
memory = "1GB"
[components.shop]
kind = "service"
host = "app"
[components.archive]
kind = "sql-store"
host = "app"
connections = 10
read = "1ms"
[keyspaces.items]
in = "archive"
keys = {keys}
value = "1kB"
[requests.item]
path = "/items/{{items}}"
response = "lognormal(median=60kB, p99=400kB)"
cache = {{ ttl = "1d" }}
[[requests.item.steps]]
work = "1ms"
[traffic.users]
to = "cache"
executor = "constant-arrival-rate"
arrivals = "uniform"
rate = "2/s"
mix = {{ item = 1 }}
timeout = "10s"
"#
    )
}

#[test]
fn what_a_cache_keeps_weighs_the_same_for_whoever_asks_for_it() {
    let spread = |keys| {
        let means = run(&kept(keys)).means();
        means.iter().copied().fold(0.0, f64::max) - means.iter().copied().fold(f64::INFINITY, f64::min)
    };
    assert!(spread(1) < 1e-6, "one object is of one size: {}", spread(1));
    assert!(spread(10_000) > 0.01, "several are of several: {}", spread(10_000));
}

#[test]
fn to_a_client_who_has_gone_no_more_is_sent_than_a_new_connection_may_have_under_way() {
    let text = Shop {
        run: "duration = \"100s\"",
        app: "nic = \"10Mbit/s\"",
        service: "workers = 100",
        steps: &format!("response = \"1250kB\"\n{}", step("wait = \"2s\"")),
        traffic: "to = \"shop\"\nrate = \"1/s\"\narrivals = \"uniform\"\nconnections = 100\ntimeout = \"1s\"",
        ..Shop::default()
    };
    let run = run(&text.text());
    assert_eq!(run.counts().iter().sum::<u64>(), 0, "nobody waits for two seconds");
    // Ten segments of 1,448 bytes each second, of 1.25 MB that are as much as passes.
    let sent = run.metric("host:app", 0, "nic_out");
    let mean = sent.iter().sum::<f64>() / sent.len() as f64;
    assert!((mean - 0.0116).abs() < 5e-4, "{mean}");
}

#[test]
fn what_stays_on_a_machine_does_not_pass_its_interface() {
    // Through a balancer on the same machine there is one passage all the same.
    let balancer = "[components.edge]\nkind = \"load-balancer\"\nhost = \"app\"\nto = \"shop\"";
    let text = narrow("uniform", balancer).replace("to = \"shop\"\nrate", "to = \"edge\"\nrate");
    let mean = mean_ms(&run(&text.replace("duration = \"300s\"", "duration = \"20s\"")));
    assert!((mean - 6.0032).abs() < 1e-3, "{mean}");
}

#[test]
fn a_lost_request_is_sent_again_after_the_retransmission_timeout() {
    // Of 2,000 requests 5% lose their only segment: those take 200 ms more at least.
    let lossy = way("clients", "edge", "latency = \"1ms\"\nloss = \"5%\"");
    let run = run(&shop(&lossy, ""));
    assert_eq!(run.failed().iter().sum::<u64>(), 0);
    let mean = mean_ms(&run);
    // 202 ms for 5% of the requests, and for the answers that lose one of their eight segments and then its repetition.
    assert!((23.0..32.0).contains(&mean), "{mean}");
    let slow = run.percentiles(99.0);
    // With fifty requests a second there may be a second without a loss.
    assert!(slow.iter().filter(|p99| **p99 > 0.2).count() >= 35, "{slow:?}");
}

#[test]
fn a_partition_stops_everything_between_its_sides_until_it_heals() {
    let partition = "[[faults]]\nat = \"10s\"\nfor = \"3s\"\npartition = [\"app\", \"data\"]\n";
    let run = run(&shop("", partition));
    assert_eq!(run.failed().iter().sum::<u64>(), 0, "the clients wait for longer than it lasts");
    let means = run.means();
    assert!(means[8] < 0.011 && means[20] < 0.011, "{means:?}");
    // Sent at 10 s, tried again after 0.2, 0.6, 1.4 and 3.0 s, and so on: whoever comes at once waits for three seconds.
    assert!((1.5..4.0).contains(&means[10]), "{means:?}");
    let impatient = shop("", partition).replace("timeout = \"10s\"", "timeout = \"1s\"");
    let failed = crate::support::run(&impatient).failures(Failure::Timeout);
    assert!(failed[10..13].iter().sum::<u64>() >= 95, "{failed:?}");
    assert_eq!(failed[14..].iter().sum::<u64>(), 0, "{failed:?}");
}

#[test]
fn delay_and_loss_last_as_long_as_their_faults() {
    let faults = "[[faults]]\nat = \"10s\"\nfor = \"5s\"\ndelay = { between = [\"clients\", \"edge\"], added = \"50ms\" }\n\
                  [[faults]]\nat = \"20s\"\nfor = \"5s\"\nloss = { between = [\"edge\", \"app\"], share = \"50%\" }\n";
    let means = run(&shop("", faults)).means();
    assert!((means[12] - 0.110).abs() < 1e-6, "{means:?}");
    assert!(means[22] > 0.2, "{means:?}");
    assert!(means[8] < 0.0101 && means[18] < 0.0101 && means[35] < 0.0101, "{means:?}");
}
