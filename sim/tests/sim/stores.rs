//! Stores: hit ratios, lifetimes, memory, and what a kill loses.

use results::Failure;

use crate::support::{CachedShop, Run, run};

/// Two million reads at 20,000 a second of 500,000 cache keys, beside 900,000 persistent ones of 100 bytes.
fn cache(samples: u32) -> Run {
    let fill = "on_miss = { from = \"archive\", fill = true }";
    let shop = CachedShop {
        run: "duration = \"50s\"\nwarmup = \"50s\"",
        store: &format!("max_memory = \"{MAX_MEMORY}B\"\neviction = \"volatile-lru\"\nsamples = {samples}"),
        archive: "read = \"1us\"\nwrite = \"1us\"",
        keyspace: "keys = 900_000\npersistent = true\nvalue = \"100B\"\n\
                   [keyspaces.c]\nin = \"objects\"\nkeys = 500_000\nttl = \"10d\"\npopularity = \"zipf(1.0)\"\nvalue = \"100B\"",
        steps: &format!("[[requests.read.steps]]\nget = {{ keyspace = \"c\", {fill} }}"),
        traffic: "rate = \"20000/s\"",
    };
    run(&shop.text())
}

/// Room for about 99,525 cache keys.
const MAX_MEMORY: u64 = 188_538_384;

/// Che's approximation for LRU under the independent reference model: the hit ratio with room for `room` keys.
fn che(keys: usize, exponent: f64, room: f64) -> f64 {
    let weights: Vec<f64> = (1..=keys).map(|rank| (rank as f64).powf(-exponent)).collect();
    let total: f64 = weights.iter().sum();
    let (mut low, mut high) = (0.0, 1e9);
    for _ in 0..100 {
        let time = f64::midpoint(low, high);
        let held: f64 = weights.iter().map(|w| -(-w / total * time).exp_m1()).sum();
        if held < room { low = time } else { high = time }
    }
    weights.iter().map(|w| w / total * -(-w / total * low).exp_m1()).sum()
}

#[test]
fn volatile_lru_hits_as_redis_does_and_tells_sample_counts_apart() {
    assert!((che(500_000, 1.0, 100_000.0) - 0.834_455_26).abs() < 1e-4, "the formula is the anchor's");
    let ratios = [3, 5, 10].map(|samples| {
        let run = cache(samples);
        let keys = run.metric("objects", 0, "keys_with_ttl");
        let room = keys[keys.len() - 1];
        assert!((98_500.0..100_500.0).contains(&room), "{room} cache keys");
        assert!(run.metric("objects", 0, "memory_bytes").iter().all(|b| *b <= MAX_MEMORY as f64 + 1_000.0));
        let exact = che(500_000, 1.0, room);
        let ratio = run.hit_ratio("objects");
        assert!(exact - ratio < if samples == 10 { 0.005 } else { 0.01 }, "{ratio}, exact LRU {exact}");
        ratio
    });
    // Measured on Redis 7.0: .8291, .8322, .8336.
    for (ratio, redis) in ratios.into_iter().zip([0.8291, 0.8322, 0.8336]) {
        assert!((ratio - redis).abs() < 0.002, "{ratios:?}");
    }
    assert!(ratios[0] < ratios[1] && ratios[1] < ratios[2], "{ratios:?}");
}

fn shop(store: &str, keyspace: &str, steps: &str, rest: &str) -> String {
    CachedShop {
        run: "duration = \"40s\"",
        store,
        archive: "read = \"2ms\"\nwrite = \"3ms\"",
        keyspace,
        steps,
        traffic: &format!("rate = \"100/s\"\n{rest}"),
    }
    .text()
}

const GET: &str =
    "[[requests.read.steps]]\nget = { keyspace = \"items\", on_miss = { from = \"archive\", fill = true } }";

#[test]
fn keys_live_as_long_as_their_ttl() {
    let run = run(&shop("", "keys = 1\nttl = \"10s\"\nvalue = \"100B\"", GET, ""));
    // One key, read a hundred times a second: a miss at the start and after each lifetime.
    let misses: f64 = run.metric("objects", 0, "misses").iter().sum();
    assert!((4.0..=8.0).contains(&misses), "{misses} misses");
    let expired: f64 = run.metric("objects", 0, "expired").iter().sum();
    assert!((3.0..=4.0).contains(&expired), "{expired} expired");
}

#[test]
fn prefilled_keys_are_there_from_the_start() {
    let run = run(&shop("", "keys = 1000\nprefill = 1000\nttl = \"1d\"\nvalue = \"100B\"", GET, ""));
    assert!(run.hit_ratio("objects") > 0.98, "{}", run.hit_ratio("objects"));
}

#[test]
fn killed_store_fails_its_requests_and_comes_back_empty() {
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"5s\"\nkill = \"component:objects\"";
    let run = run(&shop("", "keys = 1000\nprefill = 1000\nttl = \"1d\"\nvalue = \"100B\"", GET, fault));
    let failed = run.failures(Failure::Status);
    assert!(failed[..10].iter().all(|f| *f == 0) && failed[15..].iter().all(|f| *f == 0), "{failed:?}");
    assert!(failed[10..15].iter().all(|f| *f > 60), "{failed:?}");
    let keys = run.metric("objects", 0, "keys");
    assert_eq!((keys[8], keys[12]), (1000.0, 0.0));
    assert!(run.metric("objects", 0, "misses")[15] > 60.0);
}

/// A kill of the store from the 10th to the 30th second.
const KILL: &str = "[[faults]]\nat = \"10s\"\nfor = \"20s\"\nkill = \"component:objects\"";
const CACHED: &str = "keys = 1000\nprefill = 1000\nttl = \"1d\"\nvalue = \"100B\"";

#[test]
fn a_copy_takes_over_with_what_it_had() {
    let store = "replicas = 1\nfailover = { detect = \"2s\", switch = \"3s\" }";
    let run = run(&shop(store, CACHED, GET, KILL));
    let failed = run.failures(Failure::Status);
    assert!(failed[10..15].iter().all(|f| *f > 60), "{failed:?}");
    assert!(failed[..10].iter().chain(&failed[15..]).all(|f| *f == 0), "{failed:?}");
    assert!(run.hit_ratio("objects") > 0.98, "the copy had the cache: {}", run.hit_ratio("objects"));
    let up = run.metric("objects", 0, "up");
    assert_eq!((up[9], up[12], up[16], up[35]), (1.0, 0.0, 1.0, 1.0));
}

#[test]
fn what_the_copy_had_not_got_is_lost() {
    let keyspace = "keys = 100000\nttl = \"1d\"\nvalue = \"100B\"";
    let set = "[[requests.read.steps]]\nset = { keyspace = \"items\" }";
    let [close, behind] = ["1ms", "2s"].map(|lag| {
        let store = format!(
            "replicas = 1\nreplication_lag = \"{lag}\"\nfailover = {{ detect = \"2s\", switch = \"3s\" }}"
        );
        let run = run(&shop(&store, keyspace, set, KILL));
        let keys = run.metric("objects", 0, "keys");
        let lost: f64 = run.metric("objects", 0, "lost_writes").iter().sum();
        // A second before the kill there were about a hundred fewer than at it.
        let left = keys[8] + 100.0 - lost;
        assert!((keys[12] - left).abs() < 60.0, "{} keys, {lost} lost, {} left", keys[8], keys[12]);
        lost
    });
    assert!(close <= 2.0, "{close}");
    assert!((150.0..250.0).contains(&behind), "100 writes a second for two seconds: {behind}");
}

#[test]
fn a_store_that_hangs_had_sent_what_it_acknowledged_and_one_that_is_unplugged_had_not() {
    let keyspace = "keys = 100000\nttl = \"1d\"\nvalue = \"100B\"";
    let set = "[[requests.read.steps]]\nset = { keyspace = \"items\" }";
    let store = "replicas = 1\nreplication_lag = \"2s\"\nfailover = { detect = \"2s\", switch = \"3s\" }";
    let [hung, unplugged] = ["hang", "unplug"].map(|fault| {
        let run = run(&shop(store, keyspace, set, &KILL.replace("kill", fault)));
        let keys = run.metric("objects", 0, "keys");
        let lost = run.metric("objects", 0, "lost_writes").iter().sum::<f64>();
        // A second before the fault there were about a hundred fewer than at it, and as many are written in each second after.
        let expected = keys[8] + 100.0 - lost + 100.0;
        assert!((keys[15] - expected).abs() < 130.0, "{fault}: {} keys, {lost} lost, {}", keys[8], keys[15]);
        lost
    });
    assert_eq!(hung, 0.0);
    assert!((150.0..250.0).contains(&unplugged), "100 writes a second for two seconds: {unplugged}");
}

#[test]
fn fills_that_the_copy_had_not_got_are_lost_where_only_some_keys_are_followed() {
    let keyspace = "keys = 1_000_000\nttl = \"1d\"\nvalue = \"100B\"";
    let [kept, refused] = ["", "max_memory = \"1B\"\neviction = \"noeviction\"\n"].map(|memory| {
        let store = format!(
            "{memory}replicas = 1\nreplication_lag = \"2s\"\nfailover = {{ detect = \"2s\", switch = \"3s\" }}"
        );
        let text = shop(&store, keyspace, GET, KILL);
        let run = run(&text.replacen("duration", "sampling = \"1/16\"\nduration", 1));
        run.metric("objects", 0, "lost_writes").iter().sum::<f64>()
    });
    assert!((150.0..250.0).contains(&kept), "100 fills a second for two seconds: {kept}");
    assert_eq!(refused, 0.0, "what is refused is not written");
}

#[test]
fn a_copy_takes_over_from_a_store_that_hangs() {
    let store = "replicas = 1\nfailover = { detect = \"2s\", switch = \"3s\" }";
    let hang = KILL.replace("kill", "hang");
    let run = run(&shop(store, CACHED, GET, &hang));
    let failed = run.failures(Failure::Status);
    assert!(failed[16..].iter().all(|f| *f == 0), "{failed:?}");
    let up = run.metric("objects", 0, "up");
    assert_eq!((up[9], up[12], up[16], up[35]), (1.0, 0.0, 1.0, 1.0));
}

#[test]
fn a_store_that_comes_back_first_has_what_is_on_disk() {
    let store = "replicas = 1\nfailover = { detect = \"20s\", switch = \"20s\" }";
    let run = run(&shop(store, CACHED, GET, KILL));
    let misses = run.metric("objects", 0, "misses");
    assert!(misses[30] > 60.0, "{misses:?}");
    assert!(run.failures(Failure::Status)[30..].iter().all(|f| *f == 0));
}

/// Each request writes one of a hundred thousand keys.
const WRITTEN: &str = "keys = 100000\nttl = \"1d\"\nvalue = \"100B\"";
const SET: &str = "[[requests.read.steps]]\nset = { keyspace = \"items\" }";
const SHORT_KILL: &str = "[[faults]]\nat = \"10s\"\nfor = \"5s\"\nkill = \"component:objects\"\n";

#[test]
fn a_killed_store_comes_back_with_its_last_snapshot() {
    let store = "snapshot = { every = \"6s\", fork_per_gb = \"0s\" }";
    let keys = run(&shop(store, WRITTEN, SET, SHORT_KILL)).metric("objects", 0, "keys");
    // Some 600 were written by the snapshot at 6 s, 1,000 by the kill, and a hundred in the first second after it.
    assert!((keys[15] - keys[5] - 100.0).abs() < 60.0 && keys[8] > keys[5] + 200.0, "{keys:?}");
    assert!(keys[10..14].iter().all(|k| *k == 0.0), "{keys:?}");
    let none = run(&shop("", WRITTEN, SET, SHORT_KILL)).metric("objects", 0, "keys");
    assert!(none[15] < 200.0, "without a snapshot there is nothing to read: {none:?}");
    let late = store.replace("6s", "11s");
    let late = run(&shop(&late, WRITTEN, SET, SHORT_KILL)).metric("objects", 0, "keys");
    assert!(late[15] < 200.0, "nor before the first one: {late:?}");
    let short = WRITTEN.replace("1d", "8s");
    let over = run(&shop(store, &short, SET, SHORT_KILL)).metric("objects", 0, "keys");
    assert!(over[15] < 200.0, "what was written by 6 s is over at 15 s: {over:?}");
}

#[test]
fn a_snapshot_that_failed_leaves_the_one_before_it() {
    let store = "snapshot = { every = \"3s\", fork_per_gb = \"0s\" }";
    let full = "[[faults]]\nat = \"4s\"\nfor = \"7s\"\ndisk_full = \"component:objects\"\n";
    let keys = run(&shop(store, WRITTEN, SET, &format!("{full}{SHORT_KILL}"))).metric("objects", 0, "keys");
    // The one at 3 s was written; those at 6 s and 9 s were not, and writes were refused from then on.
    assert!((keys[15] - keys[2] - 100.0).abs() < 60.0 && keys[8] > keys[2] + 200.0, "{keys:?}");
}

#[test]
fn a_store_reads_its_snapshot_each_time_that_it_dies_and_only_the_last() {
    // Late in the run, so that the first snapshots need not be kept.
    let again = "[[faults]]\nat = \"30s\"\nfor = \"1s\"\nkill = \"component:objects\"\n\
                 [[faults]]\nat = \"33s\"\nfor = \"1s\"\nkill = \"component:objects\"\n";
    let store = "snapshot = { every = \"4s\", fork_per_gb = \"0s\" }";
    let keys = run(&shop(store, WRITTEN, SET, again)).metric("objects", 0, "keys");
    // From 28 s, and from 32 s: what was read at 31 s and written since.
    assert!((keys[31] - keys[27] - 100.0).abs() < 60.0, "{keys:?}");
    assert!((keys[34] - keys[31] - 100.0).abs() < 60.0, "{keys:?}");
}

#[test]
fn a_snapshot_stops_the_store_for_as_long_as_its_memory_takes_to_fork() {
    let keyspace = "keys = 1_000_000\npersistent = true\nvalue = \"85B\"";
    let run = run(&shop("snapshot = { every = \"10s\", fork_per_gb = \"1s\" }", keyspace, GET, ""));
    let bytes = run.metric("objects", 0, "memory_bytes")[5];
    let busy = run.metric("objects", 0, "utilisation");
    for (second, busy) in busy.iter().enumerate() {
        let expected = if second % 10 == 0 && second > 0 { bytes * 1e-9 } else { 0.0 };
        assert!((busy - expected).abs() < 1e-6, "second {second}: {busy}, expected {expected}");
    }
}

#[test]
fn persistent_keys_survive_a_kill() {
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"5s\"\nkill = \"component:objects\"";
    let run = run(&shop("", "keys = 1000\npersistent = true\nvalue = \"100B\"", GET, fault));
    assert_eq!(run.metric("objects", 0, "misses").iter().sum::<f64>(), 0.0);
    assert!(run.metric("objects", 0, "keys").iter().all(|k| *k == 1000.0));
}

#[test]
fn full_store_without_evictable_keys_refuses_writes_but_not_fills() {
    let store = "max_memory = \"50kB\"\neviction = \"noeviction\"";
    let keyspace = "keys = 10000\nttl = \"1d\"\nvalue = \"100B\"";
    let fills = run(&shop(store, keyspace, GET, ""));
    assert_eq!(fills.outcome.counts.failed, 0);
    let set = "[[requests.read.steps]]\nset = { keyspace = \"items\" }";
    let sets = run(&shop(store, keyspace, set, ""));
    let failed = sets.failures(Failure::Status);
    assert_eq!(failed[0], 0);
    assert!(failed[10] > 60, "{failed:?}");
}

#[test]
fn statements_take_their_time_on_the_stores_host() {
    let steps = "[[requests.read.steps]]\nselect = { from = \"archive\", keyspace = \"items\" }\n\
                 [[requests.read.steps]]\nupdate = { in = \"archive\", keyspace = \"items\" }";
    let run = run(&shop("", "keys = 10\nttl = \"1d\"\nvalue = \"1B\"", steps, ""));
    let means = run.means();
    let mean = means.iter().sum::<f64>() / means.len() as f64;
    assert!((0.005..0.0051).contains(&mean), "{mean}");
    let busy = run.metric("archive", 0, "utilisation");
    let busy = busy.iter().sum::<f64>() / busy.len() as f64;
    assert!((busy - 0.5 / 64.0).abs() < 0.0006, "{busy}");
}

#[test]
fn calibrated_work_ends_late_with_its_core_free_and_calibrated_statements_take_what_they_take() {
    let calibration = r#"
[calibration]
work = "40ms"
components.archive = { read = "5ms", write = "7ms" }
"#;
    let steps = "[[requests.read.steps]]\nwork = \"10ms\"\n\
                 [[requests.read.steps]]\nselect = { from = \"archive\", keyspace = \"items\" }\n\
                 [[requests.read.steps]]\nupdate = { in = \"archive\", keyspace = \"items\" }";
    let keyspace = "keys = 10\npersistent = true\nvalue = \"1B\"";
    let alone = |calibration| {
        let text = shop("", keyspace, steps, calibration);
        run(&text.replace("100/s", "1/s").replace("timeout", "arrivals = \"uniform\"\ntimeout"))
    };
    let (plain, late) = (alone(""), alone(calibration));
    let mean = |means: &[f64]| means.iter().sum::<f64>() / means.len() as f64;
    let [before, after] = [&plain, &late].map(|run| mean(&run.means()));
    // Without a calibration the statements take 2 and 3 ms.
    assert!((after - before - 0.047).abs() < 1e-9, "{after} and {before}");
    let [before, after] = [&plain, &late].map(|run| mean(&run.metric("shop", 0, "utilisation")));
    assert!((after - before).abs() < 1e-9, "its cores are as busy as before: {after} and {before}");
}

#[test]
fn what_a_statement_waits_for_beside_its_processor_keeps_none_busy() {
    let steps = "[[requests.read.steps]]\nselect = { from = \"archive\", keyspace = \"items\" }\n\
                 [[requests.read.steps]]\nupdate = { in = \"archive\", keyspace = \"items\" }";
    let with = |costs: &str| {
        let calibration = format!("[calibration]\ncomponents.archive = {{ {costs} }}");
        let text = shop("", "keys = 10\npersistent = true\nvalue = \"1B\"", steps, &calibration)
            .replace("100/s", "1/s")
            .replace("timeout", "arrivals = \"uniform\"\ntimeout");
        let run = run(&text);
        (run.means(), run.metric("archive", 0, "utilisation"))
    };
    let (means, busy) = with("read = \"5ms\", write = \"7ms\"");
    let costs = "read = \"5ms\", write = \"7ms\", latency = \"1s\", read_latency = \"30ms\", write_latency = \"90ms\"";
    let (later, as_busy) = with(costs);
    // Each kind has its own, in place of what the component's others take.
    let late = |(before, after): (&f64, &f64)| (after - before - 0.12).abs() < 1e-9;
    assert!(means.iter().zip(&later).all(late), "{means:?} and {later:?}");
    assert!((busy[5] - as_busy[5]).abs() < 1e-9 && busy[5] > 0.0, "{busy:?} and {as_busy:?}");
}

#[test]
fn what_a_store_holds_beside_records_is_not_there_for_them() {
    let keyspace = "keys = 5000\nprefill = 5000\nttl = \"1d\"\nvalue = \"400B\"";
    let steps = "[[requests.read.steps]]\nget = { keyspace = \"items\", on_miss = { from = \"archive\", fill = true } }";
    let keys = |limit: &str, calibration: &str| {
        let text = shop(
            &format!("max_memory = \"{limit}\"\neviction = \"allkeys-lru\""),
            keyspace,
            steps,
            calibration,
        );
        run(&text).metric("objects", 0, results::sample::KEYS)
    };
    let (small, large) = (keys("1MB", ""), keys("3MB", ""));
    let beside = keys("3MB", "[calibration]\ncomponents.objects = { memory = \"2MB\" }");
    assert!(small[5] * 1.5 < large[5], "{} and {}", small[5], large[5]);
    assert_eq!(beside, small);
}

#[test]
fn calibrated_costs_add_up() {
    let calibration = r#"
[calibration]
source = "this test"
client = "1ms"
components.shop = { latency = "2ms" }
components.objects = { latency = "4ms", command = "8ms", key = "1ms" }
components.archive = { latency = "16ms" }
"#;
    let steps = "[[requests.read.steps]]\nmget = { keyspace = \"items\", count = 3 }\n\
                 [[requests.read.steps]]\nselect = { from = \"archive\", keyspace = \"items\" }";
    let text = shop("", "keys = 10\npersistent = true\nvalue = \"1B\"", steps, calibration)
        .replace("100/s", "1/s")
        .replace("timeout", "arrivals = \"uniform\"\ntimeout");
    let run = run(&text);
    let expected = 0.001 + 0.002 + 0.004 + 0.008 + 0.003 + 0.016 + 0.002;
    assert!(run.means().iter().all(|m| (m - expected).abs() < 1e-9), "{:?}", run.means());
    assert!((run.metric("objects", 0, "utilisation")[5] - 0.011).abs() < 1e-9);
}
