//! Background jobs: they hold the cores of their machines, from the run's beginning on, as long as these live.

use std::path::Path;

use reference::client::Stack;
use scenarios::Scenario;

use crate::room::{eventually, figure, get, start};

/// A service on a machine with one core, of which `host` says more, and a job there.
fn shop(host: &str, job: &str) -> Scenario {
    let text = format!(
        r#"
title = "A shop with a job"
[run]
duration = "60s"
[hosts.app]
{host}
[components.shop]
kind = "service"
host = "app"
workers = 4
[jobs.backup]
host = "app"
{job}
[requests.page]
path = "/page"
steps = [{{ work = "1ms" }}]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 1 }}
[[faults]]
at = "1ms"
for = "50s"
kill = "host:app[1]"
[[faults]]
at = "1ms"
for = "50s"
hang = "host:app[1]"
"#
    );
    Scenario::parse("jobs.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

fn busy(stack: &Stack) -> f64 {
    figure(stack, "job:backup", 1, "busy_core_seconds")
}

/// Reads what the job has used until it uses no more.
fn standing(stack: &Stack) -> f64 {
    let mut before = -1.0;
    eventually("the job stands still", || {
        let now = busy(stack);
        let stands = now == before;
        before = now;
        stands
    });
    before
}

#[test]
fn a_job_that_never_ends_has_requests_wait_and_dies_with_its_machine() {
    let stack = start(&shop("", "at = \"0s\"\nwork = \"10h\""));
    let page = stack.entry("shop")[0];
    assert_eq!(get(page, "/page").expect("answered").0, 200);
    assert_eq!(busy(&stack), 0.0, "the run has not begun");
    assert_eq!(figure(&stack, "shop", 1, "queue_seconds"), 0.0, "nobody else wants the core");
    stack.begin().expect("told");
    eventually("a request waits for the job's slice", || {
        assert_eq!(get(page, "/page").expect("answered").0, 200);
        figure(&stack, "shop", 1, "queue_seconds") > 0.0
    });
    stack.begin_fault(1).expect("stopped");
    let stopped = standing(&stack);
    stack.end_fault(1).expect("goes on");
    eventually("it goes on where it was", || busy(&stack) > stopped);
    stack.begin_fault(0).expect("killed");
    let at_its_death = standing(&stack);
    assert_eq!(figure(&stack, "job:backup", 1, "up"), 0.0);
    stack.end_fault(0).expect("restarted");
    for _ in 0..10 {
        assert_eq!(get(page, "/page").expect("answered").0, 200);
    }
    assert_eq!(busy(&stack), at_its_death, "the run is lost, and there is no other");
}

#[test]
fn a_job_comes_again_on_each_of_its_cores_and_begins_once() {
    let stack = start(&shop("", "at = \"5ms\"\nevery = \"20ms\"\nwork = \"1ms\"\ncores = 2"));
    for _ in 0..2 {
        stack.begin().expect("told");
    }
    eventually("more runs than one, of 1 ms on each of two cores", || busy(&stack) > 0.0055);
}

#[test]
fn what_the_stack_cannot_do_for_a_job_is_refused_by_name() {
    let refused = |host: &str, job: &str| {
        let executable = Path::new(env!("CARGO_BIN_EXE_reference"));
        let error = Stack::start_hosted(&shop(host, job), executable).expect_err("it is refused");
        error.to_string()
    };
    let host = "disk = \"ssd\"\nscheduling = \"priority\"";
    let all = refused(host, "at = \"0s\"\nwork = \"1s\"\ndisk = \"1MB\"\npriority = 3");
    assert!(all.contains("jobs.backup.disk") && all.contains("jobs.backup.priority"), "{all}");
    let memory = refused(
        "memory = \"1GiB\"",
        "at = \"0s\"\nwork = \"1s\"\nmemory = \"700MiB\"\n[components.shop.memory]\nbase = \"700MiB\"",
    );
    assert!(memory.contains("hosts.app.memory"), "{memory}");
}
