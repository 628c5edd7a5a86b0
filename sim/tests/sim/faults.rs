//! What breaks, and who fails for it.

use results::Failure;

use crate::support::{EVENLY, Shop, parse, run, step};

/// Two nodes behind a balancer; every request waits 100 ms; 100 requests a second, evenly spaced.
fn shop(balancer: &str, faults: &str) -> String {
    Shop {
        run: "duration = \"40s\"",
        app: "count = 2",
        balancer: Some(balancer),
        service: "workers = 64",
        steps: &step("wait = \"100ms\""),
        traffic: &format!("{EVENLY}rate = \"100/s\"\n{faults}"),
        ..Shop::default()
    }
    .text()
}

const CHECKED: &str = r#"health_check = { http = "/health", interval = "1s", fall = 3, rise = 2 }"#;
const KILL: &str = "[[faults]]\nat = \"10s\"\nfor = \"8s\"\nkill = \"host:app[1]\"\n";

#[test]
fn killed_node_fails_only_what_was_in_flight_on_it() {
    let run = run(&shop(CHECKED, KILL));
    let failed = run.failures(Failure::Status);
    // 100/s × 100 ms: ten in flight, half of them on the dead node; they were due in the tenth second.
    assert_eq!(failed.iter().sum::<u64>(), 5, "{failed:?}");
    assert_eq!(failed[9], 5, "{failed:?}");
    assert_eq!(run.failed(), failed, "and nothing else fails");
}

#[test]
fn without_retries_requests_fail_until_the_checks_notice() {
    let balancer = format!("{CHECKED}\nretries = 0");
    let run = run(&shop(&balancer, KILL));
    let failed = run.failed();
    // The third failed check takes the node out: between two and three intervals after its death.
    for (second, &count) in failed.iter().enumerate() {
        match second {
            9 => assert_eq!(count, 5),
            10 | 11 => assert_eq!(count, 50, "{failed:?}"),
            12 => assert!(count <= 50),
            _ => assert_eq!(count, 0, "nobody fails after detection: {failed:?}"),
        }
    }
    let busy = run.metric("shop", 0, "in_service");
    // Two good checks after the restart at 18 s bring it back.
    assert_eq!((busy[14], busy[18]), (0.0, 0.0), "{busy:?}");
    assert!((4.9..5.1).contains(&busy[21]), "half of ten: {busy:?}");
}

#[test]
fn without_redispatch_a_retry_goes_to_the_same_server_after_a_second() {
    let balancer = format!("{CHECKED}\nretries = 3\nredispatch = false");
    let run = run(&shop(&balancer, KILL));
    // Whoever met the dead node tries it three times more, a second apart, then has a 503.
    assert_eq!(run.failed()[10], 50);
    let slow = run.outcome.delta.tallies().interval(10, None);
    assert!(slow.failed_response.iter().all(|(low, ..)| low > 2_900_000_000));
}

#[test]
fn a_retry_at_the_only_server_waits_a_second_too() {
    let run = run(&shop("retries = 3", KILL).replacen("count = 2", "count = 1", 1));
    let failed = run.failed();
    assert_eq!((failed[9], failed[10], failed[14]), (10, 100, 100), "{failed:?}");
    let tallies = run.outcome.delta.tallies();
    assert!(tallies.interval(10, None).failed_response.iter().all(|(low, ..)| low > 2_900_000_000));
    // Whose third retry finds it back at 18 s has an answer.
    assert!(failed[15..].iter().all(|f| *f == 0), "{failed:?}");
    let slowest = tallies.interval(15, None).response_times().percentile(100.0).expect("requests in it");
    assert!((3.05..3.15).contains(&slowest), "{slowest}");
}

#[test]
fn a_connection_that_timed_out_is_tried_again_at_once() {
    let balancer = "retries = 1\nredispatch = false\nconnect_timeout = \"500ms\"";
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"8s\"\nunplug = \"host:app[1]\"\n";
    let run = run(&shop(balancer, fault));
    let tally = run.outcome.delta.tallies().interval(12, None);
    assert_eq!(tally.failed(), 50);
    for (low, high, _) in tally.failed_response.iter() {
        assert!((980_000_000..1_020_000_000).contains(&low) && high < 1_030_000_000, "{low} {high}");
    }
}

#[test]
fn no_server_up_is_a_503_at_once() {
    let both = format!("{KILL}{}", KILL.replace("app[1]", "app[2]"));
    let run = run(&shop(CHECKED, &both));
    let failed = run.failures(Failure::Status);
    assert_eq!(failed[9], 10);
    assert!(failed[10..18].iter().all(|f| *f == 100), "{failed:?}");
    // Both come back after two good checks.
    assert!(failed[20..].iter().all(|f| *f == 0), "{failed:?}");
    assert_eq!(run.outcome.counts.failed, failed.iter().sum::<u64>());
}

#[test]
fn killed_balancer_resets_and_refuses_its_clients() {
    let fault = KILL.replace("host:app[1]", "component:balancer");
    let run = run(&shop(CHECKED, &fault));
    assert_eq!(run.failures(Failure::Reset)[9], 10);
    let refused = run.failures(Failure::Refused);
    assert!(refused[10..18].iter().all(|f| *f == 100), "{refused:?}");
    assert!(run.failed()[18..].iter().all(|f| *f == 0));
}

#[test]
fn hung_node_answers_when_it_goes_on() {
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"1s\"\nhang = \"host:app[1]\"\n";
    let run = run(&shop("", fault));
    assert_eq!(run.outcome.counts.failed, 0);
    let tallies = run.outcome.delta.tallies();
    // What came to the node while it was stopped is answered once it goes on, 100 ms later at the latest.
    let slowest = tallies.interval(10, None).response_times().percentile(100.0).expect("requests in it");
    assert!((1.0..1.12).contains(&slowest), "{slowest}");
    let after = tallies.interval(12, None).response_times().percentile(100.0).expect("requests in it");
    assert!(after < 0.102, "{after}");
}

#[test]
fn hung_node_is_taken_out_by_checks_that_time_out() {
    for timeout in ["", ", timeout = \"300ms\"", ", timeout = \"1s\""] {
        let checks = CHECKED.replace(" }", &format!("{timeout} }}"));
        let run = run(&shop(&checks, "[[faults]]\nat = \"10s\"\nfor = \"8s\"\nhang = \"host:app[1]\"\n"));
        let (queue, busy) = (run.metric("shop", 0, "queue"), run.metric("shop", 0, "in_service"));
        // Three checks without an answer take at most four intervals: nothing but checks comes after that.
        assert!(queue[11] > queue[10] && queue[17] < queue[15] + 4.0, "{checks}: {queue:?}");
        // Two good ones bring it back.
        assert!((4.9..5.1).contains(&busy[22]), "{checks}: {busy:?}");
    }
}

#[test]
fn silent_server_is_a_504_after_the_timeout() {
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"20s\"\nhang = \"host:app[1]\"\n";
    let balancer = "server_timeout = \"2s\"";
    let run = run(&shop(balancer, fault));
    let failed = run.failures(Failure::Status);
    assert_eq!(failed[12], 50);
    let tally = run.outcome.delta.tallies().interval(12, None);
    let (low, high, _) = tally.failed_response.iter().next().expect("failures in it");
    assert!((1.98e9..2.02e9).contains(&(low as f64)) && high < 2_030_000_000, "{low} {high}");
}

#[test]
fn node_that_serves_500_is_taken_out_by_its_checks() {
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"8s\"\nserve_500 = \"component:shop[1]\"\n";
    let run = run(&shop(CHECKED, fault));
    let failed = run.failures(Failure::Status);
    assert_eq!(failed[11], 50);
    assert!(failed[13..].iter().all(|f| *f == 0), "{failed:?}");
}

#[test]
fn unplugged_node_accepts_no_connection() {
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"8s\"\nunplug = \"host:app[1]\"\n";
    let run = run(&shop(&format!("{CHECKED}\nconnect_timeout = \"2s\""), fault));
    let tallies = run.outcome.delta.tallies();
    let slowest = |i| tallies.interval(i, None).response_times().percentile(100.0).expect("requests in it");
    // A check is silent for its interval, three in a row; until then half of the requests wait for a connection.
    assert!(slowest(11) > 1.0 && slowest(15) < 0.11, "{} {}", slowest(11), slowest(15));
    let busy = run.metric("shop", 0, "in_service");
    // What was sent to it over a connection that stood comes again 12.6 s later, and is over by then.
    assert!((4.9..5.1).contains(&busy[25]), "{busy:?}");
}

#[test]
fn what_an_unplugged_service_is_sent_arrives_with_the_next_repetition_after_the_cable_is_back() {
    let fault = "[[faults]]\nat = \"9950ms\"\nfor = \"5050ms\"\nunplug = \"host:app\"\n";
    let steps = step("wait = \"100ms\"");
    let text = single("workers = 64", &steps, &format!("rate = \"10/s\"\nconnections = 1000\n{fault}"));
    let cut = run(&text);
    assert_eq!(cut.outcome.counts.failed, 0);
    // It is sent again 0.2, 0.6, 1.4, 3.0 and 6.2 s later; the cable is back at 15 s.
    let (means, slowest) = (cut.means(), cut.percentiles(100.0));
    for (second, expected) in [(10, 6.3), (11, 6.3), (12, 3.1), (15, 0.1)] {
        assert!((means[second] - expected).abs() < 0.005, "{second}: {means:?}");
    }
    assert!((1.49..1.52).contains(&slowest[14]), "{slowest:?}");
    // A process that only hangs has it in its kernel.
    let hung = run(&text.replace("unplug", "hang")).means();
    assert!((4.3..4.9).contains(&hung[10]), "{hung:?}");
}

#[test]
fn what_an_unplugged_service_is_answered_arrives_with_the_next_repetition_too() {
    let steps = "[[requests.page.steps]]\nselect = { from = \"archive\", keyspace = \"users\" }\n";
    let store = "[components.archive]\nkind = \"sql-store\"\nhost = \"db\"\nread = \"900ms\"\nwrite = \"1ms\"\n\
                 [components.objects]\nkind = \"kv-store\"\nhost = \"db\"\n\
                 [keyspaces.users]\nin = \"objects\"\nkeys = 10\nvalue = \"10B\"\n";
    let slowest = |host: &str, second: usize| {
        let fault = format!("[[faults]]\nat = \"9950ms\"\nfor = \"5050ms\"\nunplug = \"host:{host}\"\n");
        let text =
            single("workers = 64", steps, &format!("rate = \"1/s\"\nconnections = 1000\n{store}{fault}"));
        let run = run(&text.replace("[hosts.db]", "[hosts.db]\ncores = 64"));
        assert_eq!(run.outcome.counts.failed, 0, "{host}");
        run.means()[second]
    };
    // Its result comes 0.9 s after the statement was sent, between four and five seconds before the cable is back.
    let answered = slowest("app", 9);
    assert!((answered - 7.1).abs() < 0.005, "{answered}");
    // A statement into the silence is sent again as a request is.
    let asked = slowest("db", 11);
    assert!((asked - 7.1).abs() < 0.005, "{asked}");
}

#[test]
fn up_says_whether_the_process_answers_not_what_the_balancer_thinks() {
    for (fault, during) in [("kill", 0.0), ("hang", 0.0), ("unplug", 0.0), ("serve_500", 1.0)] {
        let text = format!("[[faults]]\nat = \"10s\"\nfor = \"8s\"\n{fault} = \"host:app[1]\"\n");
        let run = run(&shop(CHECKED, &text));
        let up = run.metric("shop", 0, "up");
        assert_eq!((up[9], up[10], up[17], up[18]), (1.0, during, during, 1.0), "{fault}: {up:?}");
        assert!(run.metric("shop", 1, "up").iter().all(|up| *up == 1.0));
    }
    let balancer = run(&shop(CHECKED, &KILL.replace("host:app[1]", "component:balancer")));
    let up = balancer.metric("balancer", 0, "up");
    assert_eq!((up[9], up[10], up[17], up[18]), (1.0, 0.0, 0.0, 1.0));
}

/// One service without a balancer.
fn single(service: &str, steps: &str, rest: &str) -> String {
    Shop {
        run: "duration = \"30s\"",
        app: "[hosts.db]",
        service,
        steps,
        traffic: &format!("to = \"shop\"\narrivals = \"uniform\"\ntimeout = \"100s\"\n{rest}"),
        ..Shop::default()
    }
    .text()
}

#[test]
fn a_hung_service_tells_of_its_dead_store_when_it_goes_on() {
    let steps = "[[requests.page.steps]]\nselect = { from = \"archive\", keyspace = \"users\" }\n";
    let store = "[components.archive]\nkind = \"sql-store\"\nhost = \"db\"\nread = \"900ms\"\nwrite = \"1ms\"\n\
                 [components.objects]\nkind = \"kv-store\"\nhost = \"db\"\n\
                 [keyspaces.users]\nin = \"objects\"\nkeys = 10\nvalue = \"10B\"\n";
    let faults = "[[faults]]\nat = \"10s\"\nfor = \"5s\"\nhang = \"component:shop\"\n\
                  [[faults]]\nat = \"10100ms\"\nfor = \"1s\"\nkill = \"component:archive\"\n";
    let run = run(&single("workers = 64", steps, &format!("rate = \"1/s\"\n{store}{faults}")));
    let failed = run.failures(Failure::Status);
    assert!(failed[9] == 1, "its statement was lost: {failed:?}");
    for (low, ..) in run.outcome.delta.tallies().interval(9, None).failed_response.iter() {
        assert!(low > 4_900_000_000, "it was due before 10 s, and nobody could answer before 15 s: {low}");
    }
}

#[test]
fn a_hung_service_sends_no_statement_for_what_it_missed() {
    let steps = "[[requests.page.steps]]\nget = { keyspace = \"users\", on_miss = { from = \"archive\", fill = true } }\n";
    let store = "[components.archive]\nkind = \"sql-store\"\nhost = \"db\"\nread = \"100ms\"\nwrite = \"1ms\"\n\
                 [components.objects]\nkind = \"kv-store\"\nhost = \"db\"\n\
                 [keyspaces.users]\nin = \"objects\"\nkeys = 1_000_000\nvalue = \"10B\"\nttl = \"1h\"\n\
                 [calibration]\nsource = \"made up\"\ncomponents.objects = { latency = \"600ms\" }\n";
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"5s\"\nhang = \"component:shop\"\n";
    let run = run(&single("workers = 64", steps, &format!("rate = \"10/s\"\n{fault}{store}")));
    assert_eq!(run.outcome.counts.failed, 0);
    let statements = run.metric("archive", 0, "in_service");
    assert!(statements[8] > 0.9, "ten a second of 100 ms each: {statements:?}");
    // What was at the database goes on there; what was at the store comes back to nobody.
    assert!(statements[10] < 0.15 && statements[11..15].iter().all(|s| *s == 0.0), "{statements:?}");
    assert!(statements[15] > 1.0, "{statements:?}");
}

#[test]
fn a_service_that_serves_500_answers_without_a_worker() {
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"5s\"\nserve_500 = \"component:shop\"\n";
    let steps = "[[requests.page.steps]]\nwait = \"3s\"\n";
    let run = run(&single("workers = 1", steps, &format!("rate = \"1/s\"\n{fault}")));
    let tally = |i| run.outcome.delta.tallies().interval(i, None);
    for second in 10..15 {
        assert_eq!(tally(second).failed(), 1);
        assert!(tally(second).failed_response.iter().all(|(_, high, _)| high < 1_000_000), "second {second}");
    }
    // Whoever waited has its 500 when it would have had its worker.
    assert_eq!(tally(9).failed(), 1);
    assert!(tally(9).failed_response.iter().all(|(low, ..)| low > 1_000_000_000));
}

#[test]
fn a_request_under_way_when_500s_begin_takes_its_steps_first() {
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"10s\"\nserve_500 = \"component:shop\"\n";
    let steps = "[[requests.page.steps]]\nwait = \"2s\"\n".repeat(2);
    let run = run(&single("workers = 64", &steps, &format!("rate = \"1/s\"\n{fault}")));
    let tally = run.outcome.delta.tallies().interval(9, None);
    assert_eq!(tally.failed(), 1);
    assert!(tally.failed_response.iter().all(|(low, ..)| low > 3_900_000_000));
    assert_eq!(run.failed().iter().sum::<u64>(), 4 + 10, "what was under way, and what came");
}

#[test]
fn a_balancer_may_stand_before_a_balancer() {
    // Without retries, which would wait for a second each for the only server.
    let outer =
        "[components.outer]\nkind = \"load-balancer\"\nhost = \"edge\"\nto = \"balancer\"\nretries = 0\n";
    let through = |text: String| text.replace("to = \"balancer\"\narrivals", "to = \"outer\"\narrivals");
    let run_quiet = run(&through(shop("", outer)));
    assert_eq!((run_quiet.outcome.counts.due, run_quiet.outcome.counts.failed), (4_000, 0));
    let kill = KILL.replace("host:app[1]", "component:balancer");
    let run_killed = run(&through(shop("retries = 0", &format!("{outer}{kill}"))));
    // Ten were under way inside, which the outer one tells of with a 502; then it finds nobody who listens: 503.
    let failed = run_killed.failures(Failure::Status);
    assert_eq!((failed[9], failed[10], failed[17], failed[18]), (10, 100, 100, 0));
}

#[test]
fn a_hung_balancer_answers_when_it_goes_on() {
    let run = run(&shop("", "[[faults]]\nat = \"10s\"\nfor = \"1s\"\nhang = \"component:balancer\"\n"));
    assert_eq!(run.outcome.counts.failed, 0);
    let tally = run.outcome.delta.tallies().interval(10, None);
    let slowest = tally.response_times().percentile(100.0).expect("requests in it");
    // What came in the second in which it was stopped is sent on when it goes on, 100 ms long.
    assert!((1.08..1.12).contains(&slowest), "{slowest}");
}

#[test]
fn what_the_simulator_lacks_is_refused_with_its_place() {
    let pairs = "[hosts.many]\ncount = 1000\n[components.crowd]\nkind = \"service\"\nhost = \"many\"\n";
    let balancer =
        |name| format!("[components.{name}]\nkind = \"load-balancer\"\nhost = \"many\"\nto = \"crowd\"\n");
    let text = shop("", &format!("{pairs}{}{}", balancer("first"), balancer("second")));
    let problems = sim::Simulation::new(&parse(&text)).expect_err("a field is refused");
    insta::assert_snapshot!(problems.to_string());
}
