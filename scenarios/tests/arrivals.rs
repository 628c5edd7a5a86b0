//! Whether what is planned is what was asked for, by a test that looks at the whole law; and requests from recorded files.

use scenarios::Scenario;
use scenarios::plan::Plan;
use scenarios::units::SimTime;

use crate::good::{MINIMAL, parse};

const CONSTANT: &str = "executor = \"constant-arrival-rate\", rate = \"10/s\"";

/// The Anderson-Darling statistic of a sample against the exponential law with mean 1, no parameter estimated: its 5%
/// point is 2.492, its 0.1% point 6.0 (T. W. Anderson and D. A. Darling, J. Am. Stat. Assoc. 49, 1954; M. A. Stephens, J. Am.
/// Stat. Assoc. 69, 1974, table 1, case 0).
fn anderson_darling(mut gaps: Vec<f64>) -> f64 {
    gaps.sort_by(f64::total_cmp);
    let n = gaps.len();
    let sum: f64 = (0..n)
        .map(|i| {
            let below = -(-gaps[i].max(1e-12)).exp_m1();
            // 1 - F of the value as far from the other end is exp(-gap).
            (2 * i + 1) as f64 * (below.ln() - gaps[n - 1 - i])
        })
        .sum();
    -(n as f64) - sum / n as f64
}

/// Gaps of a Poisson process, counted in expected arrivals, are exponential with mean 1, whatever the rate does.
#[test]
fn gaps_rescaled_by_the_rate_pass_anderson_darling_for_every_executor() {
    let executors = [
        "executor = \"constant-arrival-rate\", rate = \"500/s\"",
        "executor = \"ramping-arrival-rate\", start_rate = \"10/s\", stages = [{ for = \"4s\", to = \"900/s\" }, { for = \"6s\", to = \"300/s\" }]",
        "executor = \"curve-arrival-rate\", curve = \"retail-week\", expected = 300_000_000",
        "executor = \"constant-arrival-rate\", rate = \"400/s\", flash = [{ at = \"2s\", rise = \"1s\", hold = \"2s\", fall = \"3s\", times = 5 }]",
    ];
    for executor in executors {
        let scenario = parse(&MINIMAL.replace(CONSTANT, executor));
        let plan = Plan::new(&scenario);
        let dues: Vec<SimTime> = plan.requests().map(|planned| planned.due).collect();
        let gaps: Vec<f64> = dues.windows(2).map(|pair| plan.expected(pair[0], pair[1])).collect();
        let statistic = anderson_darling(gaps.clone());
        assert!(
            gaps.len() > 2_000 && statistic < 6.0,
            "seed 1, {executor}: A² = {statistic}, {} gaps",
            gaps.len()
        );
        // The canary: a rate that is a fifth off, and evenly spaced arrivals, do not pass.
        assert!(anderson_darling(gaps.iter().map(|gap| gap * 1.2).collect()) > 6.0, "{executor}");
        assert!(anderson_darling(vec![1.0; gaps.len()]) > 6.0);
    }
}

const REPLAY: &str = "executor = \"replay\", file = \"FILE\", format = \"FORMAT\", unmatched = \"skip\"";

fn replayed(name: &str, format: &str, content: &str) -> Scenario {
    let directory = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join(name), content).expect("written");
    let text = MINIMAL
        .replace(CONSTANT, &REPLAY.replace("FILE", name).replace("FORMAT", format))
        .replace(", mix = { home = 1 }", "")
        .replace("requests.home", "keyspaces.products = { in = \"kv\", keys = 100, value = \"100B\" }\ncomponents.kv = { kind = \"kv-store\", host = \"app\" }\nrequests.product = { path = \"/p/{products}\" }\nrequests.home");
    Scenario::parse(directory.path().join("test.toml"), text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn access_logs_har_and_json_lines_are_replayed_by_the_paths_of_the_classes() {
    let log = "1.1.1.1 - - [10/Oct/2000:13:55:36 +0000] \"GET /?from=mail HTTP/1.1\" 200 1\n\
        1.1.1.1 - - [10/Oct/2000:13:55:36 +0000] \"GET /logo.png HTTP/1.1\" 200 1\n\
        1.1.1.1 - - [10/Oct/2000:13:55:38 +0000] \"GET /p/42 HTTP/1.1\" 200 1\n";
    let har = r#"{"log": {"entries": [
        {"startedDateTime": "2000-10-10T13:55:36Z", "request": {"method": "GET", "url": "http://shop.test/"}},
        {"startedDateTime": "2000-10-10T13:55:38Z", "request": {"method": "GET", "url": "http://shop.test/p/42?a"}}]}}"#;
    let lines = "{\"time_s\": 5, \"class\": \"home\"}\n{\"time_s\": 7, \"path\": \"/p/42\"}\n";
    for (format, content) in [("access-log", log), ("har", har), ("jsonl", lines)] {
        let scenario = replayed("recorded", format, content);
        let plan = Plan::new(&scenario);
        let found: Vec<_> = plan
            .requests()
            .map(|planned| (planned.due.as_secs_f64(), scenario.class(planned.class).name.as_str()))
            .collect();
        assert_eq!(found, [(0.0, "home"), (2.0, "product")], "{format}");
        let draws = scenarios::plan::Draws::new(&scenario);
        let last = plan.requests().last().expect("there are two");
        let keyspace = scenario.keyspace_ids().next().expect("there is one");
        assert_eq!(draws.keys(last.id, keyspace).next(), Some(42), "{format}");
        // The first has no key of its own, so it draws one.
        let first = plan.requests().next().expect("there are two");
        assert!(draws.keys(first.id, keyspace).next().expect("keys have no end") < 100);
    }
}
