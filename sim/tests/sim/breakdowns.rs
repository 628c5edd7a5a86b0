//! Machines and processes that die by chance: availability as the laws of their times say.

use crate::support::{Run, covers, parse, run};

/// Two servers behind a balancer that notices at once, of which `breakdowns` says when they die.
fn pair(host: &str, component: &str) -> String {
    format!(
        r#"
title = "Servers that break down"
[run]
duration = "2h"
[hosts.edge]
[hosts.app]
count = 2
{host}
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "shop"
retries = 3
redispatch = true
health_check = {{ http = "/", interval = "1s", fall = 2, rise = 2 }}
[components.shop]
kind = "service"
host = "app"
{component}
[requests.page]
path = "/"
[[requests.page.steps]]
work = "1ms"
[traffic.users]
to = "balancer"
mix = {{ page = 1 }}
executor = "constant-arrival-rate"
rate = "10/s"
timeout = "2s"
"#
    )
}

const LAWS: &str = "breakdowns = { up = \"exponential(mean=20s)\", down = \"uniform(2s, 8s)\" }";

fn up(run: &Run, server: u32) -> Vec<f64> {
    run.metric("shop", server, "up")
}

#[test]
fn each_is_up_for_the_share_of_time_that_its_laws_say() {
    // A machine's breakdowns and a process's own come to the same for what runs there.
    for text in [pair("", LAWS), pair(LAWS, "")] {
        let run = run(&text);
        for server in [0, 1] {
            covers(&up(&run, server), 20.0 / (20.0 + 5.0), 0.05);
        }
        // They break down independently of each other: the mean of the product is the product of the means.
        let (one, other) = (up(&run, 0), up(&run, 1));
        let both: f64 = one.iter().zip(&other).map(|(a, b)| (1.0 - a) * (1.0 - b)).sum();
        let share = both / one.len() as f64;
        assert!((share - 0.2 * 0.2).abs() < 0.015, "{share}");
        // Only what finds both down, or is under way where one dies, fails.
        let failed = run.outcome.counts.failed as f64 / run.outcome.counts.due as f64;
        assert!((0.02..0.07).contains(&failed), "{failed}");
    }
}

#[test]
fn a_seed_has_its_breakdowns_and_another_seed_has_others() {
    let short = pair("", LAWS).replace("2h", "5m");
    let [same, again, other] = [short.clone(), short.clone(), short.replace("[run]", "[run]\nseed = 2")]
        .map(|text| up(&run(&text), 0));
    assert_eq!(same, again);
    assert_ne!(same, other);
}

#[test]
fn too_many_breakdowns_to_draw_are_refused() {
    let often = pair("", "breakdowns = { up = \"10ms\", down = \"10ms\" }");
    let problems = sim::Simulation::new(&parse(&often)).expect_err("there are 720,000").to_string();
    assert!(problems.contains("at most 100,000 breakdowns"), "{problems}");
}
