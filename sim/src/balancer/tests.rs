//! What a balancer does with its connections to servers when clients leave and servers go down.

use scenarios::Scenario;

use crate::Simulation;
use crate::call::{CHECK, Calls};

fn simulation(balancer: &str, shop: &str, step: &str, rest: &str) -> Simulation {
    let text = format!(
        r#"
title = "One server"
[run]
duration = "20s"
[hosts.edge]
[hosts.app]
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "shop"
{balancer}
[components.shop]
kind = "service"
host = "app"
{shop}
[requests.page]
path = "/"
[[requests.page.steps]]
{step}
[traffic.users]
to = "balancer"
mix = {{ page = 1 }}
executor = "constant-arrival-rate"
rate = "10/s"
arrivals = "uniform"
{rest}
"#
    );
    let scenario = Scenario::parse("upstream.toml", text)
        .unwrap_or_else(|problems| panic!("the test's scenario is good:\n{problems}"));
    Simulation::new(&scenario).expect("the simulator takes it")
}

/// Plays the run up to a moment.
fn play(simulation: &mut Simulation, seconds: u64) {
    while simulation.progress().reached.as_nanos() < seconds * 1_000_000_000 {
        simulation.advance();
    }
}

fn idle(simulation: &Simulation) -> u32 {
    simulation.world.pools.idle(0)
}

fn in_service(simulation: &Simulation) -> u32 {
    simulation.world.services[0].in_service.level()
}

/// Plays on to a moment after the last due time.
fn play_out(simulation: &mut Simulation, millis: u64) {
    let world = &mut simulation.world;
    while world.events.next_time() <= millis * 1_000_000 {
        let (at, token) = world.events.pop().expect("there is a next one");
        world.handle(at, token);
    }
}

#[test]
fn the_connection_is_kept_when_the_answer_comes_after_the_client_left() {
    let mut run = simulation("", "workers = 64", "wait = \"1s\"", "timeout = \"500ms\"");
    play(&mut run, 20);
    play_out(&mut run, 25_000);
    // Ten a second of a second each: ten or so connections, each used again and again.
    assert!((10..=11).contains(&idle(&run)), "{} idle", idle(&run));
}

#[test]
fn the_connection_is_not_kept_after_a_504() {
    for timeout in ["10s", "800ms"] {
        let rest = format!("timeout = \"{timeout}\"");
        let mut run = simulation("server_timeout = \"900ms\"", "workers = 64", "wait = \"1s\"", &rest);
        play(&mut run, 20);
        play_out(&mut run, 25_000);
        assert_eq!(idle(&run), 0, "with a client timeout of {timeout}");
    }
}

const CHECKS: &str = r#"health_check = { http = "/health", interval = "500ms", fall = 3, rise = 2 }"#;

#[test]
fn a_server_that_goes_down_loses_its_idle_connections() {
    let fault = "[[faults]]\nat = \"5s\"\nfor = \"5s\"\nserve_500 = \"component:shop\"\n";
    let mut run =
        simulation(CHECKS, "workers = 64", "wait = \"100ms\"", &format!("timeout = \"1s\"\n{fault}"));
    play(&mut run, 5);
    assert!(idle(&run) + in_service(&run) > 0);
    play(&mut run, 8);
    assert_eq!((idle(&run), run.world.balancers[0].servers.is_up(0)), (0, false));
}

#[test]
fn a_connection_to_a_server_that_is_down_is_not_kept() {
    let fault = "[[faults]]\nat = \"5s\"\nfor = \"5s\"\nhang = \"component:shop\"\n";
    let mut run =
        simulation(CHECKS, "workers = 64", "wait = \"100ms\"", &format!("timeout = \"1s\"\n{fault}"));
    play(&mut run, 8);
    assert!(run.world.services[0].waiting.len() > 5, "they wait for it to go on");
    play(&mut run, 10);
    // It answers what it was asked before two checks bring it back.
    play_out(&mut run, 10_300);
    assert_eq!((in_service(&run), idle(&run), run.world.balancers[0].servers.is_up(0)), (0, 0, false));
}

#[test]
fn a_balancer_goes_on_connecting_for_a_client_that_left() {
    let fault = "[[faults]]\nat = \"5s\"\nfor = \"5s\"\nunplug = \"component:shop\"\n";
    let rest = format!("timeout = \"500ms\"\n{fault}");
    let mut run = simulation("connect_timeout = \"10s\"", "workers = 256", "wait = \"8s\"", &rest);
    play(&mut run, 14);
    // 40 came after the fault; those of its five seconds are 50 more, all sent after it.
    let busy = in_service(&run);
    assert!((88..=91).contains(&busy), "{busy} in service");
}

#[test]
fn a_balancer_tries_again_for_a_client_that_left() {
    let fault = "[[faults]]\nat = \"5s\"\nfor = \"1s\"\nkill = \"component:shop\"\n";
    let rest = format!("timeout = \"500ms\"\n{fault}");
    let mut run = simulation("redispatch = false\nretries = 3", "workers = 256", "wait = \"5s\"", &rest);
    play(&mut run, 9);
    // Those of the second in which it was dead were sent a second later.
    let busy = in_service(&run);
    assert!((38..=41).contains(&busy), "{busy} in service");
}

#[test]
fn a_request_for_which_there_is_no_room_at_all_is_dropped() {
    let mut run = simulation("", "workers = 64", "wait = \"1s\"", "timeout = \"500ms\"");
    run.world.calls = Calls::new(8);
    while !run.advance() {}
    let counts = run.world.counts;
    assert_eq!((counts.due, counts.ok), (200, 0));
    assert_eq!(counts.due, counts.failed);
    assert!(run.world.calls.iter().filter(|(_, c)| c.parent != CHECK).count() <= 8);
}
