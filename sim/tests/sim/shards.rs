//! Stores of several shards: where keys live, what a wide read waits for, what a dead shard takes with it.

use results::Failure;

use crate::support::{CachedShop, Run, covers, run};

/// A store of so many shards, and what a request asks of it.
fn sharded(shards: u32, store: &str, keyspace: &str, step: &str, rest: &str) -> String {
    CachedShop {
        run: "duration = \"40s\"",
        store,
        archive: "read = \"2ms\"\nwrite = \"3ms\"",
        keyspace,
        steps: &format!("[[requests.read.steps]]\n{step}"),
        traffic: &format!("rate = \"500/s\"\n{rest}"),
    }
    .text()
    .replace("[hosts.data]", &format!("[hosts.data]\ncount = {shards}"))
}

const CRC16: &str = "shards = { by = \"crc16\" }";
const STANDING: &str = "keys = 100_000\npersistent = true\nvalue = \"100B\"";

fn sum(run: &Run, shards: u32, metric: &str) -> Vec<f64> {
    let each: Vec<Vec<f64>> = (0..shards).map(|shard| run.metric("objects", shard, metric)).collect();
    (0..each[0].len()).map(|interval| each.iter().map(|values| values[interval]).sum()).collect()
}

#[test]
fn a_wide_read_waits_for_the_slowest_shard() {
    let step = "mget = { keyspace = \"items\", count = 200 }";
    let calibration = "[calibration]\nsource = \"this test\"\ncomponents.objects = { latency = \"exponential(mean=10ms)\" }";
    let run = run(&sharded(4, CRC16, STANDING, step, calibration));
    // The mean of the greatest of n exponential times is their mean times the n-th harmonic number.
    covers(&run.means(), 0.010 * (1.0 + 1.0 / 2.0 + 1.0 / 3.0 + 1.0 / 4.0), 0.02);
}

#[test]
fn a_read_of_k_keys_costs_a_command_on_each_shard_concerned() {
    for by in ["crc16", "ketama"] {
        let step = "mget = { keyspace = \"items\", count = 3 }";
        let calibration = "[calibration]\nsource = \"this test\"\ncomponents.objects = { command = \"100us\", key = \"10us\" }";
        let store = format!("shards = {{ by = \"{by}\" }}");
        let text = sharded(4, &store, STANDING, step, calibration);
        let run = run(&text.replace("rate =", "arrivals = \"uniform\"\nrate ="));
        let keys: Vec<f64> = (0..4).map(|shard| run.metric("objects", shard, "keys")[0]).collect();
        assert_eq!(keys.iter().sum::<f64>(), 100_000.0);
        // A shard with the share p of the keys is concerned with the chance 1 - (1 - p)^k.
        let commands: f64 = keys.iter().map(|keys| 1.0 - (1.0 - keys / 100_000.0).powi(3)).sum();
        covers(&sum(&run, 4, "utilisation"), 500.0 * (commands * 100e-6 + 3.0 * 10e-6), 0.02);
    }
}

#[test]
fn a_dead_shard_fails_and_loses_its_own_keys_only() {
    let keyspace = "keys = 1000\nprefill = 1000\nvalue = \"100B\"";
    let step = "get = { keyspace = \"items\", on_miss = { from = \"archive\" } }";
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"5s\"\nkill = \"component:objects[2]\"";
    let run = run(&sharded(4, CRC16, keyspace, step, fault));
    let keys: Vec<Vec<f64>> = (0..4).map(|shard| run.metric("objects", shard, "keys")).collect();
    let share = keys[1][5] / 1000.0;
    assert!((0.15..0.35).contains(&share), "{share}");
    let failed = run.failures(Failure::Status);
    let expected = 5.0 * 500.0 * share;
    let found: u64 = failed[10..15].iter().sum();
    // Five standard deviations of a Poisson count.
    assert!((found as f64 - expected).abs() < 5.0 * expected.sqrt(), "{found} failed, expected {expected}");
    assert_eq!(failed.iter().sum::<u64>(), found, "{failed:?}");
    for shard in [0, 2, 3] {
        assert!(keys[shard as usize].iter().all(|k| *k == keys[shard as usize][0]));
        assert_eq!(run.metric("objects", shard, "misses").iter().sum::<f64>(), 0.0);
    }
    assert_eq!((keys[1][12], keys[1][39]), (0.0, keys[1][5]), "it fills again");
}

#[test]
fn misses_on_several_shards_are_one_statement_and_are_written_back_where_they_live() {
    let keyspace = "keys = 2000\nttl = \"1d\"\nvalue = \"100B\"";
    let step = "mget = { keyspace = \"items\", count = 10, on_miss = { from = \"archive\", fill = false } }";
    let asks = run(&sharded(4, CRC16, keyspace, step, ""));
    covers(&asks.metric("archive", 0, "utilisation"), 500.0 * 0.002 / 64.0, 0.03);
    let fills = run(&sharded(4, CRC16, keyspace, &step.replace("false", "true"), ""));
    let keys = sum(&fills, 4, "keys");
    assert_eq!(keys[39], 2000.0);
    assert_eq!(sum(&fills, 4, "misses")[39], 0.0);
}

#[test]
fn following_some_keys_of_each_shard_hits_as_following_all_does() {
    let store = format!("{CRC16}\nmax_memory = \"3MB\"\neviction = \"volatile-lru\"");
    let keyspace =
        "keys = 200_000\nttl = \"1d\"\npopularity = \"zipf(0.9)\"\nvalue = \"100B\"\nprefill = 60_000";
    let step = "mget = { keyspace = \"items\", count = 20, on_miss = { from = \"archive\" } }";
    let [exact, sampled] = ["exact", "1/16"].map(|sampling| {
        let text = sharded(4, &store, keyspace, step, "");
        let run = run(&text.replace("duration", &format!("sampling = \"{sampling}\"\nduration")));
        let (hits, misses) = (sum(&run, 4, "hits"), sum(&run, 4, "misses"));
        let asked: f64 = hits.iter().chain(&misses).sum();
        assert_eq!(asked, 20.0 * run.outcome.counts.due as f64, "each key is asked for once");
        let ratio = hits[10..].iter().sum::<f64>() / hits[10..].iter().chain(&misses[10..]).sum::<f64>();
        (ratio, sum(&run, 4, "keys")[39])
    });
    assert!((exact.0 - sampled.0).abs() < 0.01, "exact {exact:?}, sampled {sampled:?}");
    assert!((exact.1 / sampled.1 - 1.0).abs() < 0.03, "exact {exact:?}, sampled {sampled:?}");
}

#[test]
fn reads_that_one_shard_answers_are_filled_where_only_some_keys_are_followed() {
    let keyspace = "keys = 200_000\nttl = \"1d\"\npopularity = \"zipf(0.9)\"\nvalue = \"100B\"";
    for (count, step) in [
        (1.0, "get = { keyspace = \"items\", on_miss = { from = \"archive\", fill = true } }"),
        (2.0, "mget = { keyspace = \"items\", count = 2, on_miss = { from = \"archive\", fill = true } }"),
    ] {
        let [exact, sampled] = ["exact", "1/16"].map(|sampling| {
            let text = sharded(3, CRC16, keyspace, step, "");
            let run = run(&text.replace("duration", &format!("sampling = \"{sampling}\"\nduration")));
            assert_eq!(run.outcome.counts.failed, 0, "{sampling}: a request that misses is answered");
            let (hits, misses) = (sum(&run, 3, "hits").iter().sum::<f64>(), sum(&run, 3, "misses"));
            let asked = hits + misses.iter().sum::<f64>();
            assert_eq!(asked, count * run.outcome.counts.due as f64, "each key is asked for once");
            hits / asked
        });
        assert!((exact - sampled).abs() < 0.02, "{count}: exact {exact}, sampled {sampled}");
    }
}
