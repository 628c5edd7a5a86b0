//! Load balancers: choices, limits, checks by connection, virtual addresses.

use results::Failure;
use results::sample::UTILISATION;

use crate::support::{EVENLY, Run, Shop, covers, run, step};

/// Two nodes behind a balancer; every request waits; 100 requests a second, evenly spaced.
fn shop(balancer: &str, service: &str, rest: &str) -> String {
    Shop {
        run: "duration = \"40s\"",
        edge: "count = 2",
        app: "count = 2",
        balancer: Some(balancer),
        service: &format!("workers = 64\n{service}"),
        steps: &step("wait = \"100ms\""),
        traffic: &format!("{EVENLY}rate = \"100/s\"\n{rest}"),
    }
    .text()
}

fn fault(kind: &str, target: &str) -> String {
    format!("[[faults]]\nat = \"10s\"\nfor = \"8s\"\n{kind} = \"{target}\"\n")
}

fn slowest(run: &Run, second: usize) -> f64 {
    let tally = run.outcome.delta.tallies().interval(second, None);
    tally.response_times().percentile(100.0).expect("requests in it")
}

#[test]
fn a_check_by_connection_passes_a_node_that_hangs_or_serves_errors() {
    let checks = "health_check = { tcp = true, interval = \"1s\" }";
    let broken = run(&shop(checks, "", &fault("serve_500", "component:shop[1]")));
    let failed = broken.failures(Failure::Status);
    assert!(failed[10..18].iter().all(|f| *f == 50), "half of them, to the end: {failed:?}");
    let hung = run(&shop(checks, "", &fault("hang", "component:shop[1]")));
    let queue = hung.metric("shop", 0, "queue");
    assert!(queue[17] > 300.0, "it is sent its half to the end: {queue:?}");
    // A full backlog takes no connection, so even this check finds out.
    let full = run(&shop(checks, "backlog = 20", &fault("hang", "component:shop[1]")));
    assert!(slowest(&full, 16) < 0.11, "{}", slowest(&full, 16));
    let killed = run(&shop(checks, "", &fault("kill", "component:shop[1]")));
    assert!(killed.failed()[11..].iter().all(|f| *f == 0), "{:?}", killed.failed());
}

#[test]
fn a_full_server_makes_its_requests_wait_in_the_queue() {
    // Ten a second each of a tenth of a second; five at once are what the load needs.
    let text = |limit: u32| shop(&format!("server_max_connections = {limit}"), "", "");
    let run_of = |limit| run(&text(limit).replacen("count = 2", "count = 1", 1));
    let (enough, short) = (run_of(6), run_of(4));
    assert!(enough.metric("balancer", 0, "queue").iter().all(|q| *q < 0.5));
    assert_eq!(enough.outcome.counts.failed, 0);
    // Eight at once serve 80 of 100 a second; the rest waits up to the queue's five seconds, then has its 503.
    let failed = short.failures(Failure::Status);
    assert!(failed[30..].iter().all(|f| (15..=25).contains(f)), "{failed:?}");
    let busy = short.metric("shop", 0, "in_service");
    assert!(busy[20..40].iter().all(|b| (3.9..=4.0).contains(b)), "{busy:?}");
    let held = short.metric("balancer", 0, "in_service");
    assert!(held[30] > 200.0, "{held:?}");
}

#[test]
fn requests_above_the_limit_wait_unaccepted() {
    let run = run(&shop("max_connections = 4", "", "").replace("count = 2", "count = 1"));
    // Four at once serve 40 of 100 a second; nothing but the client's own ten seconds ends the wait.
    let held = run.metric("balancer", 0, "in_service");
    assert!(held[5..].iter().all(|h| (3.9..=4.0).contains(h)), "{held:?}");
    assert_eq!(run.failures(Failure::Status).iter().sum::<u64>(), 0);
    assert!(run.failures(Failure::Timeout).iter().sum::<u64>() > 1_000);
}

/// A balancer on a machine of four cores, whose thread takes `request` for each request, before a service with room for all.
fn taking(request: &str, traffic: &str) -> String {
    Shop {
        run: "duration = \"50s\"",
        edge: "cores = 4",
        app: "count = 2",
        balancer: Some(""),
        service: "workers = 2000",
        steps: &step("wait = \"1ms\""),
        traffic: &format!("{traffic}\n[calibration]\ncomponents.balancer = {{ request = \"{request}\" }}\n"),
    }
    .text()
}

#[test]
fn a_balancers_requests_take_turns_at_its_one_thread() {
    let poisson = EVENLY.replace("arrivals = \"uniform\"\n", "");
    let half = taking("2500us", &format!("{poisson}rate = \"200/s\"")).replace("\"50s\"", "\"500s\"");
    let half = run(&half);
    // M/D/1 at 0.5, whatever else the machine has: a mean wait of half a service time.
    covers(&half.means(), 2.5e-3 * 1.5 + 1e-3, 0.03);
    covers(&half.metric("balancer", 0, UTILISATION), 0.5, 0.02);
    // Twice what the thread can do: half of all is done, and the rest waits before it.
    let full = taking("10ms", &format!("{EVENLY}rate = \"200/s\"")).replace("\"50s\"", "\"10s\"");
    let full = run(&full);
    let (busy, queue) = (full.metric("balancer", 0, UTILISATION), full.metric("balancer", 0, "queue"));
    assert!(busy[1..].iter().all(|b| (0.999..=1.001).contains(b)), "{busy:?}");
    assert!((queue[5] / 550.0 - 1.0).abs() < 0.02, "a hundred more each second: {queue:?}");
    let asked: f64 = [0, 1].iter().flat_map(|node| full.metric("shop", *node, "in_service")).sum();
    assert!((asked / 10.0 - 0.1).abs() < 0.002, "a hundred a second of a millisecond each: {asked}");
}

#[test]
fn a_balancer_that_dies_at_work_begins_anew() {
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"5s\"\nKIND = \"component:balancer\"\n";
    let text =
        |kind: &str| taking("4ms", &format!("{EVENLY}rate = \"200/s\"\n{}", fault.replace("KIND", kind)));
    let killed = run(&text("kill"));
    assert!(killed.failed()[10..15].iter().all(|f| *f > 190), "{:?}", killed.failed());
    assert!(killed.failed()[16..].iter().all(|f| *f == 0), "{:?}", killed.failed());
    let busy = killed.metric("balancer", 0, UTILISATION);
    assert!(busy[20..].iter().all(|b| (b - 0.8).abs() < 0.01), "{busy:?}");
    // One that hangs has a thousand to catch up with, of which it does fifty a second beside the new ones.
    let hung = run(&text("hang"));
    assert_eq!(hung.failed().iter().sum::<u64>(), 0);
    let busy = hung.metric("balancer", 0, UTILISATION);
    assert!(busy[16..34].iter().all(|b| *b > 0.99) && busy[40] < 0.82, "{busy:?}");
}

#[test]
fn least_connections_spares_a_slow_node() {
    let rest = "[[faults]]\nat = \"10s\"\nfor = \"8s\"\nhang = \"component:shop[1]\"\n";
    let hung = |balance: &str| {
        let run = run(&shop(&format!("balance = \"{balance}\""), "", rest));
        run.metric("shop", 0, "queue")[17]
    };
    let (turns, least, random) = (hung("round-robin"), hung("least-connections"), hung("random"));
    assert!(
        turns > 300.0 && least < 20.0 && random > least && random < 0.7 * turns,
        "{turns} {least} {random}"
    );
}

#[test]
fn the_limit_of_a_server_that_starts_slowly_grows_while_requests_wait() {
    let busy = |slow_start: &str| {
        let checks = "health_check = { http = \"/health\", interval = \"1s\", fall = 3, rise = 2 }";
        let balancer = format!("server_max_connections = 10\nqueue_timeout = \"1s\"\n{checks}\n{slow_start}");
        let text = shop(&balancer, "", &fault("kill", "host:app[1]")).replace("count = 2", "count = 1");
        // Twice as many as ten at once serve.
        run(&text.replace("\"100/s\"", "\"200/s\"")).metric("shop", 0, "in_service")
    };
    let (slow, full) = (busy("slow_start = \"10s\""), busy(""));
    assert!(full[24] > 9.9 && slow[5] > 9.9, "nothing is slow at the start: {full:?} {slow:?}");
    // It is back between 19 and 20 s, by the checks' phase: one more each second from then on.
    assert!((3.9..5.1).contains(&slow[24]) && (6.9..8.1).contains(&slow[27]), "{slow:?}");
    assert!(slow[32..].iter().all(|b| *b > 9.9), "{slow:?}");
}

#[test]
fn one_instance_holds_a_virtual_address() {
    let quiet = run(&shop("vip = {}", "", ""));
    assert!(quiet.metric("balancer", 1, "in_service").iter().all(|b| *b == 0.0));
    assert_eq!((quiet.outcome.counts.due, quiet.outcome.counts.failed), (4_000, 0));
}

#[test]
fn a_dead_holder_is_missed_after_three_advertisements_and_a_skew() {
    let run = run(&shop("vip = {}", "", &fault("kill", "host:edge[1]")));
    let refused = run.failures(Failure::Refused);
    // Between 2.61 and 3.61 s.
    let missed: u64 = refused.iter().sum();
    assert!((255..=365).contains(&missed), "{refused:?}");
    assert_eq!(refused[10..12], [100, 100]);
    assert!(run.metric("balancer", 1, "in_service")[15] > 9.0);
    // It takes over again 3.61 s after it came back, and what the other had under way breaks.
    let reset = run.failures(Failure::Reset);
    assert_eq!((reset[9], reset[21]), (10, 10), "{reset:?}");
    assert!(run.metric("balancer", 0, "in_service")[25] > 9.0);
}

#[test]
fn an_unplugged_holder_is_silence_until_the_other_takes_over() {
    let run = run(&shop("vip = { preempt = false }", "", &fault("unplug", "component:balancer[1]")));
    assert_eq!(run.failures(Failure::Refused).iter().sum::<u64>(), 0);
    let reset = run.failures(Failure::Reset);
    assert!(reset.iter().sum::<u64>() > 250, "all that was sent into the silence: {reset:?}");
    assert!(run.metric("balancer", 1, "in_service")[30] > 9.0, "without preemption it stays");
    assert!(run.failed()[15..].iter().all(|f| *f == 0));
}

#[test]
fn a_hung_process_loses_its_address() {
    let run = run(&shop("vip = {}", "", &fault("hang", "component:balancer[1]")));
    let reset = run.failures(Failure::Reset);
    assert!(reset.iter().sum::<u64>() > 250, "all that was sent into the silence: {reset:?}");
    assert!(run.metric("balancer", 1, "in_service")[15] > 9.0);
}

#[test]
fn servers_are_asked_by_their_weights() {
    let run = run(&shop("weights = [4, 1]", "", ""));
    let busy = |instance| run.metric("shop", instance, "in_service")[10..40].iter().sum::<f64>() / 30.0;
    // A hundred a second of a tenth of a second each.
    assert!((busy(0) - 8.0).abs() < 0.1 && (busy(1) - 2.0).abs() < 0.1, "{} and {}", busy(0), busy(1));
}

#[test]
fn errors_of_real_requests_take_a_server_out_until_its_checks_are_good() {
    let checks = |keys: &str| format!("health_check = {{ tcp = true, interval = \"1s\", rise = 2{keys} }}");
    let watched =
        |layer: &str| checks(&format!(", observe = \"{layer}\", error_limit = 5, on_error = \"mark-down\""));
    let fault = fault("serve_500", "component:shop[1]");
    let failed = |balancer: &str| {
        let run = run(&shop(balancer, "", &fault));
        run.failures(Failure::Status)[10..18].iter().sum::<u64>()
    };
    let (unseen, connections) = (failed(&checks("")), failed(&watched("layer4")));
    // Its connections are as they should be.
    assert_eq!((unseen, connections), (400, 400));
    // Five, and those that come while the fifth is answered, for every two good checks.
    let answers = failed(&watched("layer7"));
    assert!((20..=80).contains(&answers), "{answers}");
}

#[test]
fn connections_that_fail_take_a_server_out_at_once() {
    let checks = "health_check = { tcp = true, interval = \"5s\", observe = \"layer4\", error_limit = 3, \
                  on_error = \"mark-down\" }\nretries = 0";
    let run = run(&shop(checks, "", &fault("kill", "component:shop[1]")));
    let failed = run.failed()[10..18].iter().sum::<u64>();
    // Those that it had in hand, and three.
    assert!((3..=9).contains(&failed), "{:?}", run.failed());
}
