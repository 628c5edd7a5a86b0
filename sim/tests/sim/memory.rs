//! What a machine's memory does to the processes on it. Seeds are fixed; intervals are 99.9% from batch means.

use crate::support::{Shop, covers, run, step};

const MIB: f64 = 1_048_576.0;

/// One machine with a service that works 1 ms for each request, 100 times a second.
fn machine(host: &str, service: &str) -> String {
    Shop {
        run: "duration = \"400s\"\nwarmup = \"10s\"",
        app: host,
        service,
        steps: &step("work = \"exponential(mean=1ms)\""),
        traffic: "to = \"shop\"\nrate = \"100/s\"\nconnections = 10000\ntimeout = \"5s\"",
        ..Shop::default()
    }
    .text()
}

#[test]
fn what_does_not_fit_is_swapped_and_slows_all_work_by_the_reads_it_waits_for() {
    // 1,000 MiB are held where 800 fit: a fifth. In a second of work that is 2,000 reads of 1 ms: three times as slow, ρ is
    // 0.3, and M/M/1 takes 3 ms / 0.7.
    let host = "memory = \"800MiB\"\nswap = \"1GiB\"\ndisk = { read = \"1ms\", parallel = 8 }";
    let service = "workers = 100\nmemory = { base = \"500MiB\", per_worker = \"5MiB\" }";
    let run = run(&machine(host, service));
    covers(&run.means(), 3e-3 / 0.7, 0.05);
    assert!(run.metric("host:app", 0, "memory_bytes").iter().all(|bytes| *bytes == 1_000.0 * MIB));
    assert!(run.metric("host:app", 0, "memory_kills").iter().all(|kills| *kills == 0.0));
}

#[test]
fn memory_that_fits_changes_nothing() {
    let service = "workers = 100\nmemory = { base = \"500MiB\", per_worker = \"5MiB\" }";
    let plain = run(&machine("", "workers = 100")).means();
    assert_eq!(run(&machine("memory = \"1000MiB\"", service)).means(), plain);
}

/// A store that takes 1 MB/s of new keys, beside a service that holds 30 MiB.
fn growing_store(memory: &str) -> String {
    machine(&format!("memory = \"{memory}\""), "memory = { base = \"30MiB\" }\nworkers = 8")
        .replace("[requests.page]", "[components.objects]\nkind = \"kv-store\"\nhost = \"app\"\nrestart = \"2s\"\n[keyspaces.items]\nin = \"objects\"\nkeys = 100_000_000\nttl = \"1d\"\nvalue = \"10kB\"\n[requests.page]")
        .replace("work = \"exponential(mean=1ms)\"", "set = { keyspace = \"items\" }")
        .replace("duration = \"400s\"", "duration = \"240s\"")
}

#[test]
fn the_process_that_holds_the_most_is_killed_and_starts_again_with_nothing() {
    // 70 MiB are left for the store: it has them after some 70 s, is gone for two, and begins anew.
    let run = run(&growing_store("100MiB"));
    let kills: f64 = run.metric("host:app", 0, "memory_kills").iter().sum();
    assert_eq!(kills, 3.0);
    let held = run.metric("objects", 0, "memory_bytes");
    assert!(held.iter().all(|bytes| *bytes < 75.0 * MIB), "{held:?}");
    let falls: Vec<usize> = (1..held.len()).filter(|&i| held[i] < held[i - 1] / 2.0).collect();
    assert_eq!(falls.len(), 3, "{falls:?}");
    let up = run.metric("objects", 0, "up");
    assert!((up.iter().map(|up| 1.0 - up).sum::<f64>() - 3.0 * 2.0).abs() < 1e-6, "{up:?}");
    assert!(run.metric("shop", 0, "up").iter().all(|up| *up == 1.0), "the smaller one lives");
    let failed: u64 = run.failed().iter().sum();
    assert!((550..=650).contains(&failed), "{failed} of about 600 failed");
}

/// Requests of a second each, a hundred of them at a time, for a pool that takes 10 MiB for each.
fn greedy_pool(host: &str) -> String {
    let pool = "workers = { manager = \"dynamic\", max = 200, start = 5, min_spare = 5, max_spare = 10 }\n\
                memory = { base = \"5MiB\", per_worker = \"10MiB\" }";
    machine(host, pool)
        .replace("work = \"exponential(mean=1ms)\"", "wait = \"1s\"")
        .replace("timeout = \"5s\"", "timeout = \"60s\"")
        .replace("duration = \"400s\"", "duration = \"100s\"")
}

#[test]
fn a_pool_that_takes_all_memory_loses_its_newest_workers_and_what_they_had_in_hand() {
    let lost = |text: &str| {
        let run = run(text);
        let kills = run.metric("host:app", 0, "memory_kills").iter().sum::<f64>();
        assert!(kills > 100.0, "{kills}");
        assert!(run.metric("shop", 0, "up").iter().all(|up| *up == 1.0), "its master lives");
        let workers = run.metric("shop", 0, "workers");
        assert!(workers[50..].iter().all(|n| (60.0..=69.0).contains(n)), "{workers:?}");
        run.failures(results::Failure::Reset).iter().sum::<u64>()
    };
    let text = greedy_pool("memory = \"700MiB\"");
    assert!(lost(&text) > 100, "they had begun to work");
    let boot = text.replace("start = 5,", "start = 5, boot = \"5s\",");
    assert_eq!(lost(&boot), 0, "they are killed while they boot");
}

#[test]
fn a_pool_that_takes_all_memory_has_the_larger_database_killed() {
    let database = "[components.archive]\nkind = \"sql-store\"\nhost = \"app\"\nread = \"1ms\"\nbuffer_pool = \"300MiB\"\nrestart = \"5s\"\n[requests.page]";
    let run = run(&greedy_pool("memory = \"1000MiB\"\ndisk = \"ssd\"").replace("[requests.page]", database));
    let up = run.metric("archive", 0, "up");
    assert!(up.iter().sum::<f64>() < 90.0, "{up:?}");
    assert!(run.metric("shop", 0, "up").iter().all(|up| *up == 1.0));
}

#[test]
fn a_process_that_the_kernel_kills_too_often_is_left_dead_until_a_fault_of_it_ends() {
    let of = |restarts: &str, faults: &str| {
        let rules = format!("restart = \"2s\"\nrestarts = {restarts}\n");
        let run = run(&(growing_store("100MiB").replace("restart = \"2s\"\n", &rules) + faults));
        let kills: f64 = run.metric("host:app", 0, "memory_kills").iter().sum();
        (kills, run.metric("objects", 0, "up"))
    };
    // It has all memory every 70 s.
    let (kills, up) = of("{ times = 1, within = \"1h\" }", "");
    assert!(kills == 2.0 && up[200..].iter().all(|up| *up == 0.0), "{kills}: {up:?}");
    assert!(up[..60].iter().all(|up| *up == 1.0) && up[100] == 1.0, "once it is started again: {up:?}");
    let (_, up) = of("{ after = \"10s\", at_most = \"10s\" }", "");
    let down = up.iter().map(|up| 1.0 - up).sum::<f64>();
    assert!((23.9..36.1).contains(&down), "twelve seconds each time: {down}");
    let hang = "\n[[faults]]\nat = \"150s\"\nfor = \"1s\"\nhang = \"component:objects\"\n";
    let (_, up) = of("{ times = 0 }", hang);
    assert_eq!((up[50], up[100], up[140], up[160]), (1.0, 0.0, 0.0, 1.0), "{up:?}");
}

#[test]
fn a_store_holds_twice_what_is_written_to_while_it_saves() {
    // Ten thousand keys of 10 kB; a save takes 8 s, in which 800 writes touch two pages each: 6 MB of 102.
    let text = |memory: &str| {
        machine(&format!("memory = \"{memory}\"\ndisk = {{ read = \"1ms\", throughput = \"104Mbit/s\" }}"), "workers = 8")
            .replace("[requests.page]", "[components.objects]\nkind = \"kv-store\"\nhost = \"app\"\nrestart = \"100ms\"\nsnapshot = { every = \"60s\", fork_per_gb = \"10ms\" }\n[keyspaces.items]\nin = \"objects\"\nkeys = 10_000\npersistent = true\nvalue = \"10kB\"\n[requests.page]")
            .replace("work = \"exponential(mean=1ms)\"", "set = { keyspace = \"items\" }")
            .replace("duration = \"400s\"", "duration = \"100s\"")
    };
    let held = run(&text("200MB")).metric("host:app", 0, "memory_bytes");
    // The run is ten seconds older than what is measured of it: saves begin at 50 s.
    let (before, during, after) = (held[45], held[56], held[70]);
    assert_eq!(before, after, "{held:?}");
    // Seven seconds on: 25,000 pages, 1,400 hits.
    assert!((5.0e6..6.2e6).contains(&(during - before)), "{before} {during}");
    let killed = run(&text(&format!("{}kB", (before / 1e3) as u64 + 3_000)));
    let kills = killed.metric("host:app", 0, "memory_kills");
    assert!(kills[..50].iter().sum::<f64>() == 0.0 && kills[50..60].iter().sum::<f64>() == 1.0, "{kills:?}");
}

#[test]
fn a_pool_that_grows_under_load_takes_the_memory_of_the_machine() {
    // Requests of a second each: a hundred workers are wanted, of which 60 fit.
    let host = "memory = \"700MiB\"\nswap = \"10GiB\"\ndisk = { read = \"1ms\", parallel = 8 }";
    let pool = "workers = { manager = \"dynamic\", max = 200, start = 5, min_spare = 5, max_spare = 10 }\n\
                memory = { base = \"100MiB\", per_worker = \"10MiB\" }";
    let text = machine(host, pool).replace(
        "work = \"exponential(mean=1ms)\"",
        "wait = \"1s\"\n[[requests.page.steps]]\nwork = \"1ms\"",
    );
    let run = run(&text);
    let held = run.metric("host:app", 0, "memory_bytes");
    assert!(held[0] < 700.0 * MIB && held[300] > 1_100.0 * MIB, "{held:?}");
    // Of 1,000 MiB and more 300 are on the swap: 3 ms and more for each millisecond of work.
    let means = run.means();
    assert!(means[300] > 1.004, "{means:?}");
}
