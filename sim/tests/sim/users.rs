//! Users who wait for answers: closed loops against exact formulas, sessions and what is lost of them.

use results::Failure;

use crate::support::{Run, covers, parse, run};

/// Users of a service with one core and more workers than there are users.
fn loop_of(executor: &str, work: &str, run: &str) -> String {
    format!(
        r#"
title = "A closed loop"
[run]
{run}
[hosts.app]
[components.shop]
kind = "service"
host = "app"
workers = 1000
[requests.page]
path = "/"
[[requests.page.steps]]
work = "{work}"
[traffic.users]
to = "shop"
mix = {{ page = 1 }}
executor = {executor}
"#
    )
}

/// Exact mean-value analysis of one queueing station and a think time (Reiser and Lavenberg 1980): the throughput.
fn throughput(users: u32, think: f64, demand: f64) -> f64 {
    let mut queue = 0.0;
    let mut throughput = 0.0;
    for n in 1..=users {
        let response = demand * (1.0 + queue);
        throughput = f64::from(n) / (think + response);
        queue = throughput * response;
    }
    throughput
}

fn rates(run: &Run) -> Vec<f64> {
    run.counts().iter().map(|count| *count as f64).collect()
}

#[test]
fn a_closed_loop_has_the_throughput_of_mean_value_analysis() {
    // Below, at and above saturation, which lies at (Z + D) / D = 13.5 users.
    for users in [5, 13, 40] {
        let executor = format!("\"constant-vus\"\nvus = {users}\nthink = \"exponential(mean=100ms)\"");
        let text = loop_of(&executor, "exponential(mean=8ms)", "duration = \"2000s\"\nwarmup = \"20s\"");
        let run = run(&text);
        let exact = throughput(users, 0.1, 0.008);
        let interval = 2000.0 / rates(&run).len() as f64;
        covers(&rates(&run), exact * interval, 0.01);
        // The interactive response-time law, which holds for what was measured: R = N/X - Z. The think times drawn have
        // their own noise.
        let all: f64 = rates(&run).iter().sum();
        let weighted: f64 = run.means().iter().zip(rates(&run)).map(|(mean, count)| mean * count).sum();
        let (response, measured) = (weighted / all, all / 2000.0);
        let law = f64::from(users) / measured - 0.1;
        let noise = 4.0 * 0.1 / all.sqrt() + 0.002 * response;
        assert!((response - law).abs() < noise, "{users} users: R {response}, N/X - Z {law} ± {noise}");
    }
}

#[test]
fn a_loop_without_thinking_keeps_the_server_busy() {
    let executor = "\"constant-vus\"\nvus = 7\nthink = \"0s\"";
    let run = run(&loop_of(executor, "5ms", "duration = \"20s\""));
    // Always seven requests there, one at a time: 200 a second, each after 35 ms.
    assert!(rates(&run)[1..].iter().all(|r| (r - 200.0).abs() <= 1.0), "{:?}", rates(&run));
    assert!(run.means()[1..].iter().all(|m| (m - 0.035).abs() < 1e-6), "{:?}", run.means());
}

#[test]
fn iterations_end_when_they_are_done() {
    for (executor, expected) in [
        ("\"per-vu-iterations\"\nvus = 7\niterations = 11\nthink = \"1ms\"", 77),
        ("\"shared-iterations\"\nvus = 7\niterations = 100\nthink = \"1ms\"", 100),
    ] {
        let run = run(&loop_of(executor, "exponential(mean=5ms)", "duration = \"20s\""));
        assert_eq!((run.outcome.counts.due, run.outcome.counts.ok), (expected, expected));
    }
}

#[test]
fn the_number_of_users_follows_its_ramp() {
    let executor = "\"ramping-vus\"\nstart_vus = 0\nstages = [{ for = \"100s\", to = 50 }, { for = \"1ms\", to = 10 }]\nthink = \"1s\"";
    let run = run(&loop_of(executor, "1ms", "duration = \"200s\""));
    // N/(R + Z), with hardly anything ever queued.
    let rates = rates(&run);
    for (second, users) in [(30, 15.25), (60, 30.25), (90, 45.25), (130, 10.0), (190, 10.0)] {
        assert!(
            (rates[second] - users).abs() < 1.5,
            "{} requests in second {second}: {users} users",
            rates[second]
        );
    }
}

#[test]
fn users_whose_requests_time_out_ask_again() {
    let executor = "\"constant-vus\"\nvus = 10\nthink = \"100ms\"\ntimeout = \"500ms\"";
    let fault = "[[faults]]\nat = \"5s\"\nfor = \"5s\"\nunplug = \"host:app\"\n";
    let run = run(&(loop_of(executor, "1ms", "duration = \"20s\"") + fault));
    let lost: u64 = run.failures(Failure::Timeout).iter().sum();
    // Each of ten users gives up every 600 ms for five seconds.
    assert!((70..=100).contains(&lost), "{lost} timeouts");
    assert!(run.failed()[12..].iter().all(|f| *f == 0), "{:?}", run.failed());
}

/// Sessions of six requests a second apart, a hundred of which begin each second, kept by the instances.
fn sessions(hosts: u32, session: &str, faults: &str) -> String {
    format!(
        r#"
title = "Sessions"
[run]
duration = "60s"
[hosts.edge]
[hosts.app]
count = {hosts}
cores = 8
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "shop"
[components.shop]
kind = "service"
host = "app"
[requests.page]
path = "/"
[[requests.page.steps]]
work = "1ms"
[traffic.users]
to = "balancer"
mix = {{ page = 1 }}
executor = "constant-arrival-rate"
rate = "100/s"
session = {{ requests = 6, think = "1s", {session} }}
{faults}
"#
    )
}

#[test]
fn a_session_makes_its_requests_one_after_the_other() {
    let run = run(&sessions(2, "state = \"stateless\"", ""));
    let rates = rates(&run);
    // A hundred sessions a second of six requests each; a session takes five seconds and a little.
    let late: f64 = rates[10..].iter().sum::<f64>() / 50.0;
    assert!((late - 600.0).abs() < 5.0 * 6.0 * (100.0_f64 / 50.0).sqrt(), "{late} requests a second");
    assert!(rates[0] < 130.0, "{} requests in the first second", rates[0]);
    assert_eq!(run.outcome.counts.failed, 0);
}

#[test]
fn a_session_is_lost_where_another_instance_is_asked() {
    let none: u64 = run(&sessions(1, "state = \"instance\"", "")).failures(Failure::LostSession).iter().sum();
    assert_eq!(none, 0, "one instance knows all sessions");
    // Round robin over three: two of three requests after a session's first meet an instance that does not know it.
    let run = run(&sessions(3, "state = \"instance\"", ""));
    let lost: u64 = run.failures(Failure::LostSession).iter().sum();
    let requests = run.outcome.counts.due as f64;
    let share = lost as f64 / (requests * 5.0 / 6.0);
    assert!((share - 2.0 / 3.0).abs() < 0.05, "{share} of the requests lost their session");
}

#[test]
fn a_sticky_cookie_and_a_hash_of_the_address_keep_sessions_together() {
    let lost = |balancer: &str, session: &str, fault: &str| -> (u64, u64) {
        let text = sessions(3, &format!("state = \"instance\", {session}"), fault);
        let run = run(&text.replace("to = \"shop\"\n", &format!("to = \"shop\"\n{balancer}\n")));
        (run.failures(Failure::LostSession).iter().sum(), run.outcome.counts.due)
    };
    let (none, _) = lost("cookie = \"sticky\"", "address_change = \"10%\"", "");
    assert_eq!(none, 0, "a cookie does not mind another address");
    let (none, _) = lost("balance = \"source\"", "cookies = true", "");
    assert_eq!(none, 0, "the address leads to the same server");
    // One in ten requests after a session's first comes from another address, two thirds of which hash elsewhere.
    let (some, all) = lost("balance = \"source\"", "address_change = \"10%\"", "");
    let (share, expected) = (some as f64 / (all as f64 * 5.0 / 6.0), 0.1 * 2.0 / 3.0);
    assert!((share - expected).abs() < 0.2 * expected, "{share} of the requests lost their session");
    // Three requests in ten seconds and a bit are on the node that dies.
    let fault = "[[faults]]\nat = \"30s\"\nfor = \"10s\"\nkill = \"host:app[1]\"\n";
    let (died, _) = lost("cookie = \"sticky\"", "address_change = \"0%\"", fault);
    assert!((100..=230).contains(&died), "{died} sessions lost: a third of some 500");
}

#[test]
fn a_session_is_lost_with_the_instance_that_kept_it() {
    let fault = "[[faults]]\nat = \"30s\"\nfor = \"100ms\"\nkill = \"component:shop[1]\"\n";
    let run = run(&sessions(1, "state = \"instance\"", fault));
    let lost = run.failures(Failure::LostSession);
    assert_eq!(lost[..30].iter().sum::<u64>(), 0);
    // Some 500 sessions were under way; each is lost once, when it goes on.
    let all: u64 = lost.iter().sum();
    assert!((350..=520).contains(&all), "{all} sessions lost");
    assert_eq!(lost[33..].iter().sum::<u64>(), 0, "{lost:?}");
}

#[test]
fn a_session_in_files_outlives_a_process_and_is_not_found_on_another_machine() {
    for fault in ["kill = \"component:shop[1]\"", "kill = \"host:app[1]\""] {
        let fault = format!("[[faults]]\nat = \"30s\"\nfor = \"100ms\"\n{fault}\n");
        let lost = run(&sessions(1, "state = \"files\"", &fault)).failures(Failure::LostSession);
        assert_eq!(lost.iter().sum::<u64>(), 0, "{fault}: {lost:?}");
    }
    let elsewhere = |state: &str| {
        let run = run(&sessions(3, &format!("state = \"{state}\""), ""));
        run.failures(Failure::LostSession)
    };
    assert_eq!(elsewhere("files"), elsewhere("instance"));
    assert!(elsewhere("files").iter().sum::<u64>() > 1_000);
}

#[test]
fn users_who_come_back_do_so_after_their_time() {
    let text = sessions(1, "returns = { share = \"50%\", after = \"20s\" }", "")
        .replace("rate = \"100/s\"", "rate = \"1000/s\"");
    let run = run(&text.replace("requests = 6", "requests = 1"));
    let rates = rates(&run);
    // Each visit is one request: 1000 a second, and from 20 s on half of those of 20 s before, and so on.
    for (second, expected) in [(10, 1000.0), (30, 1500.0), (50, 1750.0)] {
        let mean = rates[second - 5..second + 5].iter().sum::<f64>() / 10.0;
        assert!(
            (mean - expected).abs() < 5.0 * (expected / 10.0).sqrt(),
            "{mean} requests around second {second}"
        );
    }
}

#[test]
fn a_replay_is_what_the_file_says() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let rows: String = (0..500).map(|i| format!("{}.{:03},page\n", i / 50, 20 * (i % 50))).collect();
    std::fs::write(directory.path().join("rows.csv"), format!("time_s,class\n{rows}")).expect("written");
    let text = loop_of("\"replay\"\nfile = \"rows.csv\"", "1ms", "duration = \"12s\"")
        .replace("mix = { page = 1 }", "");
    let scenario = scenarios::Scenario::parse(directory.path().join("s.toml"), text).expect("it is good");
    let mut simulation = sim::Simulation::new(&scenario).expect("the simulator takes it");
    let outcome = simulation.run(&mut |_| {}, &std::sync::atomic::AtomicBool::new(false));
    assert_eq!((outcome.counts.due, outcome.counts.ok), (500, 500));
}

#[test]
fn closed_loops_give_the_same_run_on_one_thread_and_on_two() {
    let executor = "\"constant-vus\"\nvus = 20\nthink = \"exponential(mean=100ms)\"";
    let open = "[traffic.more]\nto = \"shop\"\nmix = { page = 1 }\nexecutor = \"constant-arrival-rate\"\nrate = \"20/s\"\nsession = { requests = \"geometric(mean=3)\", think = \"exponential(mean=1s)\" }\n";
    let scenario = parse(&(loop_of(executor, "exponential(mean=4ms)", "duration = \"100s\"") + open));
    let runs = [1, 2].map(|threads| {
        let mut simulation =
            sim::Simulation::with_threads(&scenario, threads).expect("the simulator takes it");
        let outcome = simulation.run(&mut |_| {}, &std::sync::atomic::AtomicBool::new(false));
        (outcome.counts, format!("{:?}", outcome.samples))
    });
    assert_eq!(runs[0], runs[1]);
}
