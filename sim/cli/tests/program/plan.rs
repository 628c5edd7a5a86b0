//! `sim plan`: the cheapest set-up that holds.

use crate::support::{page, sim, write};

/// 700 requests a second, 1 ms of work each: 0.7 cores. One machine of one core holds p99 at 15 ms (M/M/1: ln(100) ms / 0.3), with
/// none to spare when one of them is dead.
pub(crate) fn shop(plan: &str) -> String {
    page("10s", "700/s", "p(99)<60ms")
        .replace("cores = 4", "cores = 1\nprice = \"40 USD/month\"")
        .replace("[components.shop]", "[hosts.edge]\n[components.balancer]\nkind = \"load-balancer\"\nhost = \"edge\"\nto = \"shop\"\n[components.shop]")
        .replace("to = \"shop\"\nmix", "to = \"balancer\"\nmix")
        + plan
}

pub(crate) const PLAN: &str = r#"
[plan]
replications = 2
for = "5s"
growth = "3%/month"
today = "2015-01-01"
thresholds.failed = ["rate<1%"]
thresholds.response_time = ["p(99)<60ms"]
knobs."hosts.app.count" = "1..4"
conditions.one-down = { down = ["app"] }
"#;

#[test]
fn a_plan_tells_its_answer_writes_it_down_and_draws_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "shop.toml", &shop(PLAN));
    let arguments = ["plan", "shop.toml", "--quiet", "--out", "plan.json", "--html", "plan.html"];
    let output = sim(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout);
    // One holds as it is, and nothing is left when it dies.
    assert!(told.contains("The cheapest that holds costs 80.00 USD a month: app.count 2"), "{told}");
    for part in ["How long it lasts", "one-down", "exhausted on 20", "How far to trust it"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let read = |name: &str| std::fs::read_to_string(directory.path().join(name)).expect("it was written");
    let object: serde_json::Value = serde_json::from_str(&read("plan.json")).expect("it is JSON");
    assert_eq!(object["best"]["cost_per_month"], 80.0, "{object:#}");
    assert_eq!((&object["candidates"], &object["best"]["holds"]), (&4.into(), &true.into()), "{object:#}");
    assert!(object["trust"].as_str().is_some_and(|line| line.contains("held against")), "{object:#}");
    let html = read("plan.html");
    for part in ["Alternatives", "How long it lasts", "<svg", "How far to trust it"] {
        assert!(html.contains(part), "{part} is on the page");
    }
}

#[test]
fn where_nothing_holds_the_exit_code_says_so() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = shop(PLAN).replace("\"1..4\"", "[1]");
    write(directory.path(), "shop.toml", &text);
    let output = sim(directory.path(), &["plan", "shop.toml", "--quiet"]);
    assert_eq!(output.status.code(), Some(99), "{output:?}");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(told.contains("None of 1 candidates holds"), "{told}");
}

#[test]
fn a_file_without_a_plan_is_told_what_to_add() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "shop.toml", &shop(""));
    let output = sim(directory.path(), &["plan", "shop.toml"]);
    assert_eq!(output.status.code(), Some(104), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("plan: found nothing"), "{output:?}");
}

#[test]
fn another_seed_is_another_draw() {
    let told = |arguments: &[&str]| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        write(directory.path(), "shop.toml", &shop(PLAN));
        let command = ["plan", "shop.toml", "--quiet", "--out", "plan.json"];
        let output = sim(directory.path(), &[&command[..], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        std::fs::read_to_string(directory.path().join("plan.json")).expect("it was written")
    };
    let own = told(&[]);
    assert!(told(&["--seed", "1"]) == own, "1 is the seed of a file that says none");
    assert!(told(&["--seed", "2"]) != own, "its figures are others");
}
