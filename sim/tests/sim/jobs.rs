//! What background jobs take from the requests on their machine. Seeds are fixed; intervals are 99.9% from batch means.

use crate::support::{Shop, covers, run, step};

const MS: f64 = 1e-3;

/// One machine with one core, 200 requests a second of 1 ms, and a job.
fn machine(host: &str, service: &str, job: &str) -> String {
    Shop {
        run: "duration = \"600s\"\nwarmup = \"10s\"",
        app: host,
        service: &format!("workers = 50000\n{service}\n[jobs.backup]\nhost = \"app\"\n{job}"),
        steps: &step("work = \"exponential(mean=1ms)\""),
        traffic: "to = \"shop\"\nrate = \"200/s\"\nconnections = 60000\ntimeout = \"60s\"",
        ..Shop::default()
    }
    .text()
}

const ENDLESS: &str = "at = \"0s\"\nwork = \"10h\"";

#[test]
fn a_job_that_takes_its_turn_is_a_server_on_vacation() {
    // Gated service with vacations of a slice V: W = λ E[S²] / 2(1 - ρ) + V/2 + ρ V / (1 - ρ) (Takagi, Queueing Analysis I,
    // 1991, 2.4). Here 0.25 + 1.5 + 0.75 ms.
    let run = run(&machine("", "", ENDLESS));
    covers(&run.means(), 3.5 * MS, 0.05);
    covers(&run.metric("job:backup", 0, "utilisation"), 0.8, 0.01);
}

#[test]
fn a_job_that_shares_the_core_doubles_every_response() {
    // With K permanent customers M/G/1-PS takes K + 1 times as long (van den Berg and Boxma, Queueing Systems 9, 1991).
    let host = "scheduling = \"processor-sharing\"";
    let run = run(&machine(host, "", ENDLESS));
    covers(&run.means(), 2.0 * 1.25 * MS, 0.05);
}

#[test]
fn a_job_of_the_lowest_priority_that_is_interrupted_takes_what_is_left() {
    let host = "scheduling = \"preemptive-priority\"";
    let run = run(&machine(host, "priority = 1", ENDLESS));
    covers(&run.means(), 1.25 * MS, 0.03);
    covers(&run.metric("job:backup", 0, "utilisation"), 0.8, 0.01);
}

#[test]
fn a_job_starts_when_it_is_due_unless_it_still_goes_on_and_holds_its_memory_meanwhile() {
    // Alone on its cores it takes 50 s every 100 s; then 150 s, so that every other run is left out.
    let busy = |work: u32| {
        let job =
            format!("at = \"20500ms\"\nevery = \"100s\"\nwork = \"{work}s\"\ncores = 2\nmemory = \"1GiB\"");
        let run = run(&machine("cores = 3\nmemory = \"8GiB\"\nscheduling = \"processor-sharing\"", "", &job));
        let shares = run.metric("job:backup", 0, "utilisation");
        let memory = run.metric("host:app", 0, "memory_bytes");
        let holds = memory.iter().filter(|bytes| **bytes > 0.0).count();
        let runs = shares.iter().filter(|share| **share > 0.0).count();
        assert!(memory.iter().zip(&shares).all(|(bytes, share)| *bytes == 0.0 || *share > 0.0));
        // At the end of its last interval it has given its memory back.
        assert!((3..=6).contains(&(runs - holds)), "{holds} of {runs}");
        let starts: Vec<usize> =
            (1..shares.len()).filter(|&i| shares[i - 1] == 0.0 && shares[i] > 0.0).collect();
        (starts, shares.iter().sum::<f64>() * 3.0)
    };
    let (starts, used) = busy(50);
    assert_eq!(starts, [20, 120, 220, 320, 420, 520]);
    assert!((used - 600.0).abs() < 1.0, "{used} s of cores");
    assert_eq!(busy(150).0, [20, 220, 420]);
}

#[test]
fn a_job_dies_with_its_machine_and_comes_again_when_it_is_due() {
    let job = "at = \"10s\"\nevery = \"200s\"\nwork = \"50s\"";
    let fault = "[[faults]]\nat = \"20s\"\nfor = \"5s\"\nkill = \"host:app\"\n";
    let text = machine("cores = 4", "", job) + fault;
    let shares = run(&text).metric("job:backup", 0, "utilisation");
    assert!(shares[15] > 0.2 && shares[22..205].iter().all(|share| *share == 0.0), "{shares:?}");
    assert!(shares[215] > 0.2 && shares[250] > 0.2);
}

#[test]
fn a_job_that_does_not_fit_has_the_largest_process_killed() {
    let job = "at = \"100s\"\nwork = \"20s\"\nmemory = \"300MiB\"";
    let service = "memory = { base = \"400MiB\" }\nrestart = \"3s\"";
    let run = run(&machine("memory = \"600MiB\"\ncores = 2", service, job));
    let kills = run.metric("host:app", 0, "memory_kills");
    assert_eq!(kills.iter().sum::<f64>(), 7.0, "at once, and each time that it is back, for 20 s");
    let up = run.metric("shop", 0, "up");
    assert!(up[99] == 1.0 && up[101] == 0.0 && up[125] == 1.0, "{up:?}");
}

#[test]
fn a_dump_keeps_the_disk_from_statements() {
    let text = |job: &str| {
        machine("disk = { read = \"1ms\", throughput = \"1Gbit/s\" }", "", job)
            .replace(
                "[requests.page]",
                "[components.archive]\nkind = \"sql-store\"\nhost = \"app\"\nread = \"10us\"\nbuffer_pool = \"1MiB\"\n\
                 [components.objects]\nkind = \"kv-store\"\nhost = \"app\"\n\
                 [keyspaces.rows]\npersistent = true\nin = \"objects\"\nkeys = 100_000_000\nvalue = \"1kB\"\n[requests.page]",
            )
            .replace("work = \"exponential(mean=1ms)\"", "select = { from = \"archive\", keyspace = \"rows\" }")
            .replace("duration = \"600s\"", "duration = \"200s\"")
    };
    // A part of 128 KiB takes 1.05 ms and, after a page, another 1 ms to find its place.
    let alone = run(&text("at = \"0s\"\nwork = \"1ms\"")).means();
    let dumping = run(&text("at = \"0s\"\ndisk = \"1TB\"")).means();
    let mean = |means: &[f64]| means.iter().sum::<f64>() / means.len() as f64;
    let (alone, dumping) = (mean(&alone), mean(&dumping));
    // M/D/1 at 0.2 takes 1.125 ms; the vacation of about V = 1.45 ms adds V/2 + 0.2 V / 0.8 at least.
    assert!((alone - 1.135 * MS).abs() < 0.03 * MS, "{alone}");
    assert!((2.0 * MS..4.0 * MS).contains(&dumping), "{dumping}");
}
