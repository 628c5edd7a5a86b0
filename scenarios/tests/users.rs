//! Users who wait for answers: what they do follows from their names, and has the stated laws.

use scenarios::Scenario;
use scenarios::plan::{Plan, RequestId, Walk};
use scenarios::scenario::Iterations;
use scenarios::units::SimTime;

use crate::good::{MINIMAL, parse};

const CONSTANT: &str = "executor = \"constant-arrival-rate\", rate = \"10/s\"";

fn closed(executor: &str) -> Scenario {
    parse(&MINIMAL.replace(CONSTANT, &format!("executor = {executor}, think = \"exponential(mean=2s)\"")))
}

fn sessions(session: &str) -> Scenario {
    let rate = format!("executor = \"constant-arrival-rate\", rate = \"2000/s\", session = {{ {session} }}");
    parse(&MINIMAL.replace(CONSTANT, &rate))
}

fn secs(seconds: f64) -> SimTime {
    SimTime::from_nanos((seconds * 1e9) as u64)
}

#[test]
fn what_a_user_does_does_not_depend_on_who_asks_when() {
    let scenario = closed("\"constant-vus\", vus = 100");
    let traffic = scenario.traffic_ids().next().expect("there is traffic");
    let (one, other) = (Plan::new(&scenario), Plan::new(&scenario));
    let (one, other) = (one.users(traffic).expect("users"), other.users(traffic).expect("users"));
    let forwards: Vec<_> = (0..100).flat_map(|u| (0..50).map(move |i| (u, i))).collect();
    let mut seen = std::collections::BTreeSet::new();
    for (user, iteration) in forwards.iter().rev() {
        let _ = other.iteration(*user, *iteration);
    }
    let mut sum = 0.0;
    for (user, iteration) in forwards {
        let does = one.iteration(user, iteration);
        assert_eq!(does, other.iteration(user, iteration));
        assert!(seen.insert(does.id), "iteration {iteration} of user {user} has another's name");
        sum += does.think.as_secs_f64();
    }
    let mean = sum / 5000.0;
    assert!((mean - 2.0).abs() < 5.0 * 2.0 / 5000_f64.sqrt(), "seed 1: the mean think time is {mean} s");
    // Users do not arrive: nothing of theirs is in the segments.
    assert_eq!(Plan::new(&scenario).requests().count(), 0);
}

#[test]
fn users_come_and_go_along_the_ramp() {
    let scenario = closed(
        "\"ramping-vus\", start_vus = 2, stages = [{ for = \"4s\", to = 10 }, { for = \"2s\", to = 10 }, { for = \"2s\", to = 0 }]",
    );
    let traffic = scenario.traffic_ids().next().expect("there is traffic");
    let plan = Plan::new(&scenario);
    let users = plan.users(traffic).expect("users");
    assert_eq!((users.count(), users.iterations()), (10, Iterations::Unlimited));
    assert_eq!(users.stretch(0, SimTime::ZERO), Some((SimTime::ZERO, secs(7.9))));
    // The ramp from 2 to 10 passes 5.5 after 1.75 s; that from 10 to 0 passes it at 6 s + 0.9 s.
    assert_eq!(users.stretch(5, SimTime::ZERO), Some((secs(1.75), secs(6.9))));
    assert_eq!(users.stretch(5, secs(3.0)), Some((secs(3.0), secs(6.9))));
    assert_eq!(users.stretch(5, secs(7.0)), None);
    assert_eq!(users.stretch(10, SimTime::ZERO), None);
    for tenth in 0..100 {
        let at = f64::from(tenth) / 10.0 + 0.01;
        let stated = match at {
            t if t < 4.0 => 2.0 + 2.0 * t,
            t if t < 6.0 => 10.0,
            t if t < 8.0 => 10.0 - 5.0 * (t - 6.0),
            _ => 0.0,
        };
        let there =
            (0..10).filter(|u| users.stretch(*u, secs(at)).is_some_and(|(from, _)| from == secs(at))).count();
        assert!((there as f64 - f64::round(stated)).abs() < 0.5, "{there} users at {at} s, stated {stated}");
    }
}

#[test]
fn a_windows_users_are_those_of_the_whole() {
    let ramp = "\"ramping-vus\", start_vus = 0, stages = [{ for = \"10s\", to = 100 }]";
    let text = closed(ramp)
        .source
        .text
        .replace("duration = \"10s\"", "duration = \"2s\", from = \"5s\", warmup = \"1s\"");
    let scenario = parse(&text);
    let traffic = scenario.traffic_ids().next().expect("there is traffic");
    let plan = Plan::new(&scenario);
    let users = plan.users(traffic).expect("users");
    // The run's zero is second 4 of the ramp, where there are 40 users.
    assert_eq!(users.stretch(10, SimTime::ZERO), Some((SimTime::ZERO, secs(3.0))));
    assert_eq!(users.stretch(49, SimTime::ZERO), Some((secs(0.95), secs(3.0))));
    assert_eq!(users.stretch(80, SimTime::ZERO), None);
}

#[test]
fn iterations_are_limited_as_stated() {
    for (executor, expected) in [
        ("\"per-vu-iterations\", vus = 3, iterations = 7", Iterations::Each(7)),
        ("\"shared-iterations\", vus = 3, iterations = 7", Iterations::Shared(7)),
    ] {
        let scenario = closed(executor);
        let traffic = scenario.traffic_ids().next().expect("there is traffic");
        assert_eq!(Plan::new(&scenario).users(traffic).expect("users").iterations(), expected);
    }
}

/// All requests of a session, with the pause before each.
fn walk(scenario: &Scenario, session: RequestId) -> Vec<(Walk, SimTime)> {
    let traffic = scenario.traffic_ids().next().expect("there is traffic");
    let plan = Plan::new(scenario);
    let sessions = plan.sessions(traffic).expect("sessions");
    let mut all = vec![(sessions.start(session), SimTime::ZERO)];
    while let Some((pause, next)) = sessions.follow(&all[all.len() - 1].0) {
        all.push((next, pause));
    }
    all
}

#[test]
fn sessions_have_the_stated_laws() {
    let scenario = sessions(
        "requests = \"geometric(mean=6)\", think = \"exponential(mean=3s)\", returns = { share = \"30%\", after = \"exponential(mean=1d)\" }, address_change = \"2%\"",
    );
    let starts: Vec<RequestId> = Plan::new(&scenario).requests().map(|r| r.id).collect();
    let n = starts.len() as f64;
    assert!(n > 15_000.0, "seed 1: {n} sessions");
    let (mut names, mut visits, mut requests, mut moves, mut pauses, mut absences) =
        (std::collections::BTreeSet::new(), 0.0, 0.0, 0.0, 0.0, 0.0);
    for start in starts {
        let mut before: Option<Walk> = None;
        for (step, (walk, pause)) in walk(&scenario, start).into_iter().enumerate() {
            assert!(names.insert(walk.id), "a request has another's name");
            assert_eq!((walk.session(), walk.step()), (start, step as u64));
            requests += 1.0;
            if walk.starts_visit {
                visits += 1.0;
                absences += pause.as_secs_f64() / 86_400.0;
            } else {
                pauses += pause.as_secs_f64();
            }
            moves += f64::from(u8::from(before.is_some_and(|b| b.address() != walk.address())));
            before = Some(walk);
        }
    }
    let near = |what: &str, found: f64, expected: f64, error: f64| {
        assert!(
            (found - expected).abs() < 5.0 * error,
            "seed 1: {what} {found}, expected {expected} ± {error}"
        );
    };
    // Visits are geometric with mean 1/0.7, requests a visit geometric with mean 6: deviations of 0.78 and 5.48.
    near("visits a user", visits / n, 1.0 / 0.7, (0.3_f64).sqrt() / 0.7 / n.sqrt());
    near("requests a visit", requests / visits, 6.0, 30_f64.sqrt() / visits.sqrt());
    let follow = requests - visits;
    near("a pause", pauses / follow, 3.0, 3.0 / follow.sqrt());
    let returns = visits - n;
    near("an absence in days", absences / returns, 1.0, 1.0 / returns.sqrt());
    let steps = requests - n;
    near("moves a request", moves / steps, 0.02, (0.02 * 0.98 / steps).sqrt());
}

#[test]
fn a_session_is_the_same_however_often_it_is_walked() {
    let scenario = sessions("requests = 4, think = \"uniform(1s, 5s)\"");
    let start = Plan::new(&scenario).requests().next().expect("there are sessions").id;
    let first = walk(&scenario, start);
    assert_eq!(first.len(), 4);
    assert_eq!(first, walk(&scenario, start));
}

#[test]
fn a_session_has_its_record_in_a_keyspace_or_a_database_and_is_found_again_by_its_cookie() {
    let with = |session: &str| {
        let stores = "hosts.data = {}\n\
                      components.records = { kind = \"kv-store\", host = \"data\" }\n\
                      components.archive = { kind = \"sql-store\", host = \"data\", read = \"1ms\", write = \"1ms\" }\n\
                      keyspaces.visits = { in = \"records\", keys = 1000, value = \"1kB\" }\n";
        let session = format!("session = {{ requests = 2, think = \"1s\", {session} }}");
        Scenario::parse("visits.toml", MINIMAL.replace(CONSTANT, &format!("{CONSTANT}, {session}")) + stores)
    };
    let record =
        |state: &str| with(&format!("state = {state}")).expect("it is good").traffic[0].session_record();
    let key = record("{ keyspace = \"visits\" }").expect("a record");
    let row = record("{ in = \"archive\", keyspace = \"visits\" }").expect("a record");
    assert_eq!(
        (key.database.is_none(), row.database.is_some(), key.keyspace == row.keyspace),
        (true, true, true)
    );
    assert_eq!(record("\"instance\""), None);
    let refused = |session: &str| with(session).expect_err("it is refused").to_string();
    let nowhere = refused("state = { in = \"records\", keyspace = \"visitors\" }");
    assert!(nowhere.contains("session.state.in") && nowhere.contains("an sql-store"), "{nowhere}");
    assert!(nowhere.contains("session.state.keyspace") && nowhere.contains("visits"), "{nowhere}");
    let lost = refused("cookies = false, state = { keyspace = \"visits\" }");
    assert!(lost.contains("session.state") && lost.contains("cookie"), "{lost}");
    let word = refused("state = \"somewhere\"");
    assert!(word.contains("\"stateless\", \"instance\" or \"files\""), "{word}");
}
