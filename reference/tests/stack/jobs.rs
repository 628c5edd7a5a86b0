//! Background jobs: they hold the cores of their machines, from the run's beginning on, as long as these live.

use std::path::Path;

use reference::client::Stack;
use scenarios::Scenario;

use crate::admin;
use crate::room::{self, eventually, figure, get, start};

/// A service on a machine with one core, of which `host` says more, and a job there; two faults of that machine come last.
fn shop(host: &str, job: &str) -> Scenario {
    let text = admin::shop("{ work = \"1ms\" }").source.text;
    let text = text.replace("[hosts.app]\n", &format!("[hosts.app]\n{host}\n"));
    let fault = |what: &str| format!("[[faults]]\nat = \"1ms\"\nfor = \"50s\"\n{what} = \"host:app[1]\"\n");
    let text = format!("{text}[jobs.backup]\nhost = \"app\"\n{job}\n{}{}", fault("kill"), fault("hang"));
    Scenario::parse("jobs.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

const COMPONENT_KILL: usize = 0;
const KILL: usize = 2;
const HANG: usize = 3;

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
    stack.begin_fault(HANG).expect("stopped");
    let stopped = standing(&stack);
    stack.end_fault(HANG).expect("goes on");
    eventually("it goes on where it was", || busy(&stack) > stopped);
    stack.begin_fault(KILL).expect("killed");
    let at_its_death = standing(&stack);
    assert_eq!(figure(&stack, "job:backup", 1, "up"), 0.0);
    stack.end_fault(KILL).expect("restarted");
    for _ in 0..10 {
        assert_eq!(get(page, "/page").expect("answered").0, 200);
    }
    assert_eq!(busy(&stack), at_its_death, "the run is lost, and there is no other");
}

#[test]
fn a_job_goes_on_as_slowly_when_what_else_is_on_its_machine_dies() {
    let stack = start(&shop("speed = 0.1", "at = \"0s\"\nwork = \"300ms\""));
    stack.begin().expect("told");
    eventually("it has begun", || busy(&stack) > 0.0);
    stack.begin_fault(COMPONENT_KILL).expect("killed");
    eventually("it has its 300 ms at a tenth of the speed", || busy(&stack) > 2.9);
}

#[test]
fn a_service_grows_also_with_what_jobs_use_of_its_machine() {
    let scale = "autoscale = { min = 1, metric = \"cpu\", target = \"50%\", interval = \"200ms\", boot = \"50ms\", \
                 drain = \"1s\", down_after = \"600ms\" }";
    let text = room::shop("", &format!("workers = 2\n{scale}"), room::WAIT, &[]).source.text;
    let job = "[jobs.backup]\nhost = \"app\"\nat = \"0s\"\nwork = \"10h\"\ncores = 2\n";
    let scenario = Scenario::parse("scale.toml", format!("{text}{job}")).unwrap_or_else(|p| panic!("{p}"));
    let stack = start(&scenario);
    assert_eq!(figure(&stack, "shop", 1, "instances"), 1.0);
    stack.begin().expect("told");
    eventually("two are there", || figure(&stack, "shop", 1, "instances") > 1.5);
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
