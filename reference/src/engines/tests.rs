//! What is written for a scenario, whole, and what is refused.

use scenarios::Scenario;

use super::{bundle, support};

/// Two nodes behind a balancer, a cache before each, a store, a database and a queue; `more` stands at the end.
fn shop(balancer: &str, cache: &str, store: &str, database: &str, more: &str) -> Scenario {
    let text = format!(
        r#"
title = "A shop on real servers"
[run]
duration = "60s"
[hosts.edge]
[hosts.app]
count = 2
[hosts.data]
[hosts.db]
[hosts.bus]
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "varnish"
{balancer}
[components.varnish]
kind = "http-cache"
host = "app"
to = "shop@same-host"
memory = "64MiB"
{cache}
[components.shop]
kind = "service"
host = "app"
workers = 4
[components.objects]
kind = "kv-store"
host = "data"
{store}
[components.archive]
kind = "sql-store"
host = "db"
read = "1ms"
{database}
[components.mail]
kind = "queue"
host = "bus"
to = "shop"
class = "letter"
[keyspaces.items]
in = "objects"
keys = 1000
ttl = "10m"
value = "200B"
[requests.item]
path = "/item/{{items}}"
cache = {{ ttl = "60s", tags = ["item:{{items}}"], vary = {{ groups = {{ values = 3, raw = 9 }} }} }}
[[requests.item.steps]]
get = {{ keyspace = "items" }}
[requests.letter]
path = "/letter"
[[requests.letter.steps]]
purge = {{ in = "varnish", tags = ["item:{{items}}"] }}
[traffic.people]
to = "balancer"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ item = 1 }}
{more}
"#
    );
    Scenario::parse("shop.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

const BALANCER: &str = r#"balance = "least-connections"
cookie = "SERVERID"
weights = [3, 1]
health_check = { http = "/health", interval = "2s", fall = 3, rise = 2, observe = "layer7", on_error = "mark-down" }
retries = 2
max_connections = 4096
server_max_connections = 200
queue_timeout = "10s"
client_timeout = "50s"
slow_start = "30s""#;
const CACHE: &str = r#"grace = "1h"
keep = "10m"
hit_for_miss = "60s"
threads = { pools = 2, min = 50, max = 500 }
probe = { http = "/health" }"#;

/// All files, with the usual servers where none was chosen.
fn written(scenario: &mut Scenario) -> String {
    let usual = bundle::usual_servers(scenario);
    scenario.choose_engines(&usual).expect("they are the usual ones");
    let files = bundle::files(scenario).into_iter();
    files.map(|(path, text)| format!("==> {} <==\n{text}\n", path.display())).collect()
}

#[test]
fn the_usual_servers_are_configured_as_the_scenario_says() {
    let store = "max_memory = \"64MiB\"\neviction = \"volatile-lru\"";
    let mut scenario = shop(BALANCER, CACHE, store, "lock_wait = \"5s\"\nstatement_timeout = \"1500ms\"", "");
    insta::assert_snapshot!(written(&mut scenario));
    assert_eq!(support::problems(&scenario), []);
}

#[test]
fn nginx_is_configured_as_balancer_and_as_cache() {
    let mut scenario =
        shop("balance = \"uri\"\nconsistent = true\nretries = 1", "grace = \"0s\"", "", "", "");
    let chosen = ["balancer=nginx", "varnish=nginx", "objects=embedded", "archive=embedded", "mail=embedded"];
    let chosen = chosen.map(|text| scenarios::scenario::Engine::choice(text).expect("a choice"));
    scenario.choose_engines(&chosen).expect("they can have these");
    insta::assert_snapshot!(written(&mut scenario));
}

/// What is refused, with its place.
fn refused(scenario: &mut Scenario, engines: &[&str]) -> Vec<String> {
    let chosen: Vec<_> =
        engines.iter().map(|text| scenarios::scenario::Engine::choice(text).expect("a choice")).collect();
    scenario.choose_engines(&chosen).expect("they can have these");
    let mut problems = Vec::new();
    support::check(scenario, "the reference stack", &mut problems);
    problems.iter().map(|p| format!("{}: {}", p.where_, p.hint.as_deref().unwrap_or(""))).collect()
}

#[test]
fn what_a_server_cannot_do_is_refused_where_it_is_written() {
    let mut scenario =
        shop(BALANCER, CACHE, "replicas = 1", "hibernation = { after = \"1m\", wake = \"1s\" }", "");
    let all = ["balancer=nginx", "varnish=nginx", "objects=redis", "archive=mariadb", "mail=rabbitmq"];
    insta::assert_snapshot!(refused(&mut scenario, &all).join("\n"));
}

#[test]
fn rabbitmq_has_the_queue_that_the_scenario_describes_and_counts_whole_seconds() {
    let found = |more: &str| {
        let text = shop("", "", "", "", "").source.text.replacen("class = \"letter\"", more, 1);
        let mut scenario = Scenario::parse("shop.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let refused = refused(&mut scenario, &["mail=rabbitmq"]);
        (refused, written(&mut scenario))
    };
    let limits = "class = \"letter\"\nmax_length = 7\noverflow = \"reject-publish\"\ndurable = false";
    let (refused, files) = found(limits);
    assert_eq!(refused, [""; 0]);
    for line in ["\"x-max-length\": 7", "\"x-overflow\": \"reject-publish\"", "\"durable\": false"] {
        assert!(files.contains(line), "{line}: {files}");
    }
    for (heartbeat, is_refused) in [("1500ms", true), ("2s", false), ("1d", true)] {
        let (refused, _) = found(&format!("class = \"letter\"\nheartbeat = \"{heartbeat}\""));
        assert_eq!(
            refused.iter().any(|r| r.starts_with("components.mail.heartbeat: ")),
            is_refused,
            "{refused:?}"
        );
    }
}

#[test]
fn no_server_of_another_make_chooses_among_languages() {
    let page = |raw: u32| {
        format!(
            "[requests.page]\npath = \"/page\"\n\
             cache = {{ ttl = \"60s\", vary = {{ language = {{ accept_language = [\"en\", \"de\"], raw = {raw} }} }} }}"
        )
    };
    let found = |cache: &str, raw: u32| {
        let mut scenario = shop("", cache, "", "", &page(raw));
        let mut all = refused(&mut scenario, &["varnish=varnish"]);
        all.retain(|problem| problem.starts_with("requests.page.cache.vary.language: "));
        all.len()
    };
    assert_eq!((found("", 9), found("", 2), found("normalise = false", 9)), (1, 0, 0));
    let mut scenario = shop("", "", "", "", &page(2));
    assert!(!written(&mut scenario).contains("accept-language"), "there is nothing to be made alike");
}

#[test]
fn a_server_can_be_killed_hung_and_unplugged_but_not_made_slow() {
    let fault =
        |what: &str| format!("[[faults]]\nat = \"1s\"\nfor = \"2s\"\n{what} = \"component:varnish[1]\"\n");
    let faults = ["kill", "hang", "unplug", "serve_500"].map(fault).join("");
    let mut scenario = shop("", "", "", "", &faults);
    let found = refused(&mut scenario, &["varnish=varnish"]);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with("faults[3].serve_500"), "{found:?}");
}

#[test]
fn an_engine_that_no_component_can_have_is_told_with_those_that_it_can() {
    let mut scenario = shop("", "", "", "", "");
    let chosen = [("varnish".to_owned(), "redis".to_owned()), ("shop".to_owned(), "nginx".to_owned())];
    let problems = scenario.choose_engines(&chosen).expect_err("neither can be").to_string();
    assert!(problems.contains("\"embedded\", \"varnish\" or \"nginx\""), "{problems}");
    assert!(problems.contains("shop.toml:"), "{problems}");
}
