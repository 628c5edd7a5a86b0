//! Workers that are killed in whatever they do.

use super::workers::{Change, MAINTENANCE_NANOS};
use super::*;

const PAGE: &str = r#"
title = "A page"
[run]
duration = "20s"
[hosts.app]
memory = "1GiB"
[components.shop]
kind = "service"
host = "app"
workers = 4
[requests.page]
path = "/"
[[requests.page.steps]]
wait = "1ms"
[traffic.users]
to = "shop"
mix = { page = 1 }
executor = "constant-arrival-rate"
rate = "1/s"
"#;

/// The service with something in place of its four workers.
fn service(instead: &str) -> Service {
    let text = PAGE.replace("workers = 4", instead);
    let scenario = scenarios::Scenario::parse("page.toml", text).expect("the scenario is good");
    let scenarios::scenario::ComponentKind::Service(rules) = &scenario.components[0].kind else {
        panic!("it is a service")
    };
    Service::new(rules)
}

/// A service whose only worker, started on demand, has taken a request up.
fn busy() -> Service {
    let mut service = service(
        "worker_holds = \"connection\"\nkeep_alive = \"5s\"\n\
         workers = { manager = \"ondemand\", max = 1, idle_timeout = \"1s\" }\n\
         memory = { per_worker = \"1MiB\" }",
    );
    let workers = service.managed.as_mut().expect("it has a manager");
    assert!(workers.start_on_demand());
    workers.started(0, 1);
    service.workers = 1;
    service.occupy(0);
    service
}

/// None is left, and the manager finds none to end.
fn none_is_left(service: &mut Service) {
    assert_eq!((service.workers, service.occupied(), service.memory_bytes()), (0, 0, 0));
    let workers = service.managed.as_mut().expect("it has a manager");
    assert_eq!(workers.maintain(100 * MAINTENANCE_NANOS, 0), Change::Keep);
    assert!(workers.start_on_demand(), "there is room for another");
}

#[test]
fn a_worker_that_is_killed_while_it_waits_on_a_connection_is_gone_when_that_is_closed() {
    let mut service = busy();
    service.in_service.down(1);
    service.held += 1;
    service.kill_worker();
    service.release_held(2);
    none_is_left(&mut service);
}

#[test]
fn a_worker_that_is_killed_at_work_is_gone_when_that_would_have_been_done() {
    let mut service = busy();
    service.kill_worker();
    assert!(!service.vacate(1));
    none_is_left(&mut service);
}

#[test]
fn linux_lets_one_connection_more_wait_than_the_backlog_says() {
    for (when_full, places) in [("wait", 2 + 3 + 1), ("reject", 2 + 3)] {
        let mut service = service(&format!("workers = 2\nbacklog = 3\nwhen_full = \"{when_full}\""));
        let mut inside = 0;
        while !service.is_full() {
            service.in_service.up(0);
            inside += 1;
        }
        assert_eq!(inside, places, "{when_full}");
    }
}
