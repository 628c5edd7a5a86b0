//! A log that was made from a known scenario leads back to it.

use std::fmt::Write as _;

use scenarios::Scenario;
use scenarios::fit::Fit;
use scenarios::plan::{Draws, Plan};
use scenarios::scenario::{Arrivals, PathPart, Popularity};
use scenarios::units::SimTime;

use crate::good::parse;

const SHOP: &str = r#"
title = "A shop whose log is read"
run = { duration = "14d", seed = 7 }
hosts = { app = {}, data = {} }
components.shop = { kind = "service", host = "app" }
components.objects = { kind = "kv-store", host = "data" }
keyspaces.products = { in = "objects", keys = 3000, popularity = "zipf(0.9)", value = "1kB" }
keyspaces.users = { in = "objects", keys = 500, popularity = "uniform", value = "1kB" }
requests.product = { path = "/products/{products}", response = "lognormal(median=4kB, p99=40kB)" }
requests.order = { method = "POST", path = "/users/{users}/orders", response = "500B" }
requests.home = { path = "/", response = "20kB" }
traffic.all = { to = "shop", executor = "curve-arrival-rate", curve = "retail-week", expected = 150_000, mix = { product = 7, order = 1, home = 2 } }
"#;

/// A moment of 2024 (seconds from Monday 1 January on) as logs write it. Two weeks and a bit stay in January.
fn stamp(seconds: u64) -> String {
    let (day, rest) = (seconds / 86_400, seconds % 86_400);
    format!("{:02}/Jan/2024:{:02}:{:02}:{:02} +0100", day + 1, rest / 3600, rest / 60 % 60, rest % 60)
}

fn log(scenario: &Scenario) -> String {
    let draws = Draws::new(scenario);
    let mut text = String::new();
    for (i, request) in Plan::new(scenario).requests().enumerate() {
        let class = scenario.class(request.class);
        let mut path = String::new();
        for part in &class.path.parts {
            match part {
                PathPart::Text(text) => path.push_str(text),
                PathPart::Key(keyspace) => {
                    let key = draws.keys(request.id, *keyspace).next().expect("keys have no end");
                    // No number, so that the place must be told by how many there are.
                    write!(path, "item-{key}-{}", ["red", "blue"][key as usize % 2])
                        .expect("writing to a string");
                }
                PathPart::Kept(_) => unreachable!("nothing is extracted here"),
            }
        }
        let status = if i % 200 == 0 { 503 } else { 200 };
        let (method, bytes) = (class.method.as_str(), draws.response_size(request.id, &class.response));
        let at = stamp(request.due.as_nanos() / 1_000_000_000);
        writeln!(
            text,
            "192.0.2.{} - - [{at}] \"{method} {path}?q=1 HTTP/1.1\" {status} {bytes} \"-\" \"agent\"",
            i % 250
        )
        .expect("writing to a string");
        if i % 10_000 == 5 {
            text.push_str("this line is broken\n");
        }
    }
    text
}

#[test]
fn a_scenarios_log_leads_back_to_it() {
    let shop = parse(SHOP);
    let fit = Fit::read(log(&shop).as_bytes()).expect("a text can be read");
    let (broken, shown) = fit.broken();
    assert_eq!((broken, shown.len()), (fit.requests().div_ceil(10_000), 5));
    assert_eq!(shown[0], (7, "this line is broken".to_owned()));
    let text = fit.scenario("shop.log").expect("there are requests");
    let found = Scenario::parse("fitted.toml", text.as_str()).unwrap_or_else(|p| panic!("{p}\n{text}"));
    let mix = |scenario: &Scenario| {
        let mut all: Vec<(String, f64)> = scenario.traffic[0]
            .mix
            .iter()
            .map(|(class, share)| {
                (
                    scenario.class(*class).path.parts.len().to_string()
                        + scenario.class(*class).method.as_str(),
                    share.get(),
                )
            })
            .collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    };
    let (stated, fitted) = (mix(&shop), mix(&found));
    assert_eq!(stated.len(), fitted.len(), "{text}");
    for (stated, fitted) in stated.iter().zip(&fitted) {
        let error = 5.0 * (stated.1 * (1.0 - stated.1) / 300_000.0).sqrt();
        assert!(stated.0 == fitted.0 && (stated.1 - fitted.1).abs() < error, "{stated:?} {fitted:?}");
    }
    // The curve: each day's requests, and those of a night's and an evening's hours, within the noise of two weeks.
    let rates = |scenario: &Scenario, from: f64, to: f64| {
        scenario.traffic[0].rate.expected(from * 3600.0, to * 3600.0)
    };
    for (from, to) in [(0.0, 24.0), (26.0, 30.0), (66.0, 70.0), (144.0, 168.0), (0.0, 168.0)] {
        let (stated, fitted) = (rates(&shop, from, to), rates(&found, from, to));
        assert!(
            (fitted - stated).abs() < 5.0 * (stated / 2.0).sqrt() + 0.01 * stated,
            "{from}..{to}: {fitted}, not {stated}"
        );
    }
    let keyspace =
        |stem: &str| found.keyspaces.iter().find(|k| k.name.starts_with(stem)).expect("it was found");
    let products = keyspace("products");
    let Popularity::Zipf { exponent } = products.popularity else { panic!("{text}") };
    assert!((exponent - 0.9).abs() < 0.02, "exponent {exponent}\n{text}");
    assert!((products.keys as f64 / 3000.0 - 1.0).abs() < 0.05, "{} keys\n{text}", products.keys);
    assert!(
        matches!(keyspace("users").popularity, Popularity::Uniform)
            && keyspace("users").keys.abs_diff(500) < 10,
        "{text}"
    );
    let sizes = &found.requests[0].response;
    assert!((sizes.mean() / shop.requests[0].response.mean() - 1.0).abs() < 0.05, "{text}");
    assert_eq!(found.traffic[0].arrivals, Arrivals::Poisson);
    assert!(text.contains("# Answers of 5xx: 0.500%"), "{text}");
    let dispersion = text.lines().find(|l| l.contains("variance over mean")).expect("it is told");
    assert!(dispersion.contains("near 1"), "{dispersion}");
}

#[test]
fn bursts_and_sessions_are_told() {
    let text = r#"
title = "Bursts"
run = { duration = "6h" }
hosts.app = {}
components.shop = { kind = "service", host = "app" }
requests.home = { path = "/" }
traffic.all = { to = "shop", executor = "constant-arrival-rate", rate = "5/s", arrivals = "bursty", burst = { size = 10, within = "2s" }, mix = { home = 1 } }
"#;
    let scenario = parse(text);
    let mut log = String::new();
    for (i, request) in
        Plan::new(&scenario).window(SimTime::ZERO, SimTime::from_secs(21_600), 0, 1).enumerate()
    {
        // Ten requests each, in the order of arrival.
        let at = stamp(request.due.as_nanos() / 1_000_000_000);
        writeln!(log, "192.0.2.{} - - [{at}] \"GET / HTTP/1.1\" 200 100", i / 10)
            .expect("writing to a string");
    }
    let found = Fit::read(log.as_bytes())
        .expect("a text can be read")
        .scenario("burst.log")
        .expect("there are requests");
    let index = found.lines().find_map(|l| l.strip_prefix("# Minutes vary ")).expect("dispersion is told");
    let index: f64 = index.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!((7.0..13.0).contains(&index), "{index}\n{found}");
    assert!(found.contains("arrivals = \"bursty\"") && found.contains("10.00 requests a visit"), "{found}");
    Scenario::parse("fitted.toml", found.as_str()).unwrap_or_else(|p| panic!("{p}\n{found}"));
}

#[test]
fn odd_logs_are_read_without_harm() {
    assert!(Fit::read(&b""[..]).expect("empty").scenario("empty").is_none());
    let long = format!("{}\n\n\r\nx", "a".repeat(300_000));
    let fit = Fit::read(long.as_bytes()).expect("it can be read");
    assert_eq!((fit.requests(), fit.broken().0), (0, 2));
    let odd = "h - - [01/Jan/2024:00:00:00 +0000] \"GET /a%20b/\"{x}\\\" HTTP/1.1\" 200 1\n"
        .replace("/\"{", "/{")
        .replace("}\\\"", "}");
    let text = Fit::read(odd.as_bytes()).expect("it can be read").scenario("odd\nname\"").expect("a request");
    Scenario::parse("fitted.toml", text.as_str()).unwrap_or_else(|p| panic!("{p}\n{text}"));
    assert!(text.contains("/a%20b/%7Bx%7D"), "{text}");
}
