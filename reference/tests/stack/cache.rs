//! The HTTP cache, between a balancer and a service that tells it what to keep.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::thread;

use reference::client::Stack;
use scenarios::Scenario;
use scenarios::plan::Draws;

use crate::room::{connect, eventually, figure, kill_under_load, node, start};

/// A balancer, a cache and a service, started.
fn room(cache: &str, classes: &str, faults: &str) -> Stack {
    start(&described(cache, classes, faults))
}

/// The same as a scenario. `cache` are further lines of the cache, `classes` come before `[traffic]`.
fn described(cache: &str, classes: &str, faults: &str) -> Scenario {
    let text = format!(
        r#"
title = "A shop behind a cache"
[run]
duration = "60s"
[hosts.edge]
[hosts.front]
[hosts.app]
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "cache"
health_check = {{ http = "/health", interval = "1s" }}
[components.cache]
kind = "http-cache"
host = "front"
to = "shop"
memory = "8MiB"
{cache}
[components.shop]
kind = "service"
host = "app"
workers = 64
[components.objects]
kind = "kv-store"
host = "app"
max_memory = "1MiB"
eviction = "volatile-lru"
[keyspaces.items]
in = "objects"
keys = 1000
persistent = true
value = "200B"
{classes}
[traffic.shoppers]
to = "balancer"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ item = 1 }}
{faults}
"#
    );
    Scenario::parse(Path::new("cache.toml"), text).unwrap_or_else(|problems| panic!("{problems}"))
}

const ITEM: &str = r#"
[requests.item]
path = "/item/{items}"
response = "500B"
cache = { ttl = "60s", tags = ["item:{items}"], vary = { groups = { values = 2, raw = 10 } } }
[[requests.item.steps]]
wait = "50ms"
[requests.rename]
method = "POST"
path = "/rename"
[[requests.rename.steps]]
purge = { in = "cache", tags = ["item:{items}"] }
[requests.basket]
path = "/basket"
[[requests.basket.steps]]
wait = "50ms"
"#;

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    fn from(&self) -> &str {
        self.field("x-cache").unwrap_or("nobody")
    }
}

/// One request on a connection of its own, with further header lines.
fn ask(address: SocketAddr, method: &str, target: &str, lines: &str) -> io::Result<Answer> {
    let mut stream = connect(address)?;
    let request = format!("{method} {target} HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{lines}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or(io::ErrorKind::UnexpectedEof)?;
    let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

fn get(address: SocketAddr, target: &str, lines: &str) -> Answer {
    ask(address, "GET", target, lines).expect("answered")
}

#[test]
fn an_object_is_as_large_as_its_class_and_its_key_say_in_all_variants() {
    let classes = ITEM.replace("response = \"500B\"", "response = \"lognormal(median=500B, p99=5kB)\"");
    let scenario = described("", &classes, "");
    let stack = start(&scenario);
    let entry = stack.entry("balancer")[0];
    let (draws, class) = (Draws::new(&scenario), scenario.class_ids().next().expect("items come first"));
    for key in 0..10 {
        let size = draws.object_size(class, std::iter::once(key), &scenario.class(class).response);
        for group in [1, 4] {
            let answer = get(entry, &format!("/item/{key}"), &format!("x-groups: {group}\r\n"));
            assert_eq!((answer.from(), answer.body.len() as u64), ("MISS", size), "item {key}");
        }
    }
}

#[test]
fn what_was_fetched_once_is_given_again_to_those_who_are_alike() {
    let stack = room("", ITEM, "");
    let entry = stack.entry("balancer")[0];
    let first = get(entry, "/item/7", "x-groups: 1\r\n");
    assert_eq!((first.status, first.from()), (200, "MISS"));
    let second = get(entry, "/item/7", "x-groups: 1\r\n");
    assert_eq!((second.from(), &second.body, second.field("age")), ("HIT", &first.body, Some("0")));
    assert_eq!(get(entry, "/item/7", "x-groups: 9\r\n").from(), "HIT", "ten values stand for two");
    assert_eq!(get(entry, "/item/7", "x-groups: 4\r\n").from(), "MISS");
    assert_eq!(get(entry, "/item/8", "x-groups: 1\r\n").from(), "MISS");
    assert_eq!(get(entry, "/health", "").from(), "nobody", "the cache answers checks itself");
    let etag = first.field("etag").expect("stored answers have one");
    let known = get(entry, "/item/7", &format!("x-groups: 1\r\nIf-None-Match: {etag}\r\n"));
    assert_eq!((known.status, known.body.as_str(), known.from()), (304, "", "HIT"));
    let part = get(entry, "/item/7", "x-groups: 1\r\nRange: bytes=10-19\r\n");
    assert_eq!((part.status, part.body.as_str()), (206, &first.body[10..20]));
    let head = ask(entry, "HEAD", "/item/7", "x-groups: 1\r\n").expect("answered");
    assert_eq!((head.field("content-length"), head.body.as_str()), (Some("500"), ""));
    let count = |name| figure(&stack, "cache", 1, name) as u64;
    assert_eq!((count("hits"), count("misses"), count("keys")), (5, 3, 3));
    assert!((figure(&stack, "shop", 1, "requests") - 3.0).abs() < 0.5);
}

#[test]
fn a_prefilled_cache_answers_before_any_service_was_asked() {
    let classes = ITEM.replace("ttl = \"60s\"", "ttl = \"600s\"");
    let kill = "[[faults]]\nat = \"1ms\"\nfor = \"50s\"\nkill = \"component:cache[1]\"";
    let stack = room("grace = \"600s\"\nprefill = { item = 100 }", &classes, kill);
    let entry = stack.entry("balancer")[0];
    // By the name that clients ask for; `ask` says another.
    let ask_for = |target: &str, lines: &str| {
        let mut stream = connect(entry).expect("it accepts");
        let request = format!("GET {target} HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n{lines}\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("answered");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
        Answer { status: 200, head: head.to_owned(), body: body.to_owned() }
    };
    assert_eq!(figure(&stack, "cache", 1, "keys"), 200.0, "a hundred items for two groups");
    let mut ages = Vec::new();
    for item in 0..100 {
        for group in [0, 1, 8, 9] {
            let answer = ask_for(&format!("/item/{item}"), &format!("x-groups: {group}\r\n"));
            assert!(["HIT", "STALE"].contains(&answer.from()), "{item}: {}", answer.head);
            assert_eq!((answer.body.len(), answer.field("xkey")), (500, Some(&*format!("item:{item}"))));
            ages.push(answer.field("age").and_then(|age| age.parse::<u64>().ok()).expect("an age"));
        }
    }
    // As old as a uniform draw says: between the ends of their life, and in the middle on the average.
    let mean = ages.iter().sum::<u64>() / ages.len() as u64;
    assert!((240..360).contains(&mean) && ages.iter().any(|age| *age > 500), "{ages:?}");
    assert!(figure(&stack, "shop", 1, "requests") < 10.0, "at most the few that were stale are fetched");
    assert_eq!(ask_for("/item/100", "x-groups: 0\r\n").from(), "MISS", "it is not one of the hundred");
    let purged = ask(stack.entry("cache")[0], "PURGE", "/", "xkey-purge: item:7\r\n").expect("answered");
    assert_eq!((purged.status, ask_for("/item/7", "x-groups: 1\r\n").from()), (200, "MISS"));
    stack.begin_fault(0).expect("killed");
    stack.end_fault(0).expect("restarted");
    assert_eq!(figure(&stack, "cache", 1, "keys"), 0.0, "one that died starts cold");
}

#[test]
fn what_is_prefilled_is_found_by_language_and_put_together_from_parts() {
    let classes = r#"
[requests.item]
path = "/item/{items}"
response = "500B"
cache = { ttl = "600s", vary = { language = { accept_language = ["en", "de"], raw = 8 } } }
[requests.list]
path = "/list/{items}"
response = "2kB"
cache = { ttl = "600s" }
esi = { include = "item", count = 3 }
"#;
    let stack = room("grace = \"600s\"\nprefill = { item = 1000, list = 10 }", classes, "");
    let mut stream = connect(stack.entry("balancer")[0]).expect("it accepts");
    let request =
        "GET /list/3 HTTP/1.1\r\nHost: balancer\r\nAccept-Language: de-AT\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("answered");
    assert!(text.matches("prefill").count() == 3 && !text.contains("esi:include"), "{text}");
    assert!(figure(&stack, "shop", 1, "requests") < 5.0, "at most what was stale is fetched");
    assert_eq!(figure(&stack, "cache", 1, "keys"), 2010.0);
}

#[test]
fn preferences_that_choose_one_language_are_one_object() {
    let languages = "vary = { language = { accept_language = [\"en\", \"de\", \"fr\"], raw = 40 } }";
    let classes = ITEM.replace("vary = { groups = { values = 2, raw = 10 } }", languages);
    let stack = room("", &classes, "");
    let entry = stack.entry("balancer")[0];
    let seen = |preferences: &str| {
        let answer = get(entry, "/item/7", preferences);
        assert_eq!((answer.status, answer.field("vary")), (200, Some("accept-language")), "{preferences:?}");
        (answer.from().to_owned(), answer.field("etag").expect("stored answers have one").to_owned())
    };
    let (from, german) = seen("Accept-Language: de-AT, de;q=0.9, en;q=0.8\r\n");
    assert_eq!(from, "MISS");
    for alike in ["Accept-Language: en;q=0.1, DE", "Accept-Language: it\r\naccept-language: de-CH;q=0.3"] {
        assert_eq!(seen(&format!("{alike}\r\n")), ("HIT".to_owned(), german.clone()), "{alike}");
    }
    let (from, english) = seen("");
    assert!(from == "MISS" && english != german, "the service was asked in another language");
    for alike in ["it, es;q=0.5", "en-GB", "*;q=0.1", "de;q=0, fr;q=0", ";;q=,,\u{e9}", &"de,".repeat(500)] {
        let said = format!("Accept-Language: {alike}\r\n");
        assert_eq!(seen(&said), ("HIT".to_owned(), english.clone()), "{alike}");
    }
    assert_eq!(seen("Accept-Language: fr-CH, en;q=0.8\r\n").0, "MISS");
    assert!((figure(&stack, "shop", 1, "requests") - 3.0).abs() < 0.5, "a fetch for each language");
    assert!((figure(&stack, "cache", 1, "keys") - 3.0).abs() < 0.5);
}

#[test]
fn simultaneous_requests_are_one_fetch() {
    let stack = room("", ITEM, "");
    let entry = stack.entry("cache")[0];
    let clients: Vec<_> = (0..20).map(|_| thread::spawn(move || get(entry, "/item/7", ""))).collect();
    let answers: Vec<Answer> = clients.into_iter().map(|c| c.join().expect("no panic")).collect();
    assert!(answers.iter().all(|a| a.status == 200 && a.body == answers[0].body));
    assert!((figure(&stack, "shop", 1, "requests") - 1.0).abs() < 0.5, "one went to the service");
}

#[test]
fn answers_that_cannot_be_kept_do_not_wait_for_each_other() {
    let stack = room("", ITEM, "");
    let entry = stack.entry("cache")[0];
    // Who comes first does not know yet.
    assert_eq!(get(entry, "/basket", "").from(), "MISS");
    let clients: Vec<_> = (0..20).map(|_| thread::spawn(move || get(entry, "/basket", ""))).collect();
    assert!(clients.into_iter().all(|c| c.join().expect("no panic").status == 200));
    assert!((figure(&stack, "cache", 1, "passes") - 20.0).abs() < 0.5);
    assert!((figure(&stack, "cache", 1, "coalesced")).abs() < 0.5);
    assert!(figure(&stack, "shop", 1, "in_service_max") > 5.0, "they were worked on side by side");
}

#[test]
fn a_purge_by_tag_throws_out_every_variant() {
    let stack = room("", ITEM, "");
    let entry = stack.entry("cache")[0];
    for group in 0..2 {
        get(entry, "/item/7", &format!("x-groups: {group}\r\n"));
    }
    get(entry, "/item/8", "x-groups: 1\r\n");
    assert_eq!(ask(entry, "PURGE", "/", "xkey-purge: item:7 item:99\r\n").expect("answered").status, 200);
    assert!((figure(&stack, "cache", 1, "purged") - 2.0).abs() < 0.5);
    assert_eq!(get(entry, "/item/7", "x-groups: 1\r\n").from(), "MISS");
    assert_eq!(get(entry, "/item/8", "x-groups: 1\r\n").from(), "HIT");
    assert_eq!(ask(entry, "PURGE", "/item/8", "").expect("answered").status, 200);
    assert_eq!(get(entry, "/item/8", "x-groups: 1\r\n").from(), "MISS");
    assert_eq!(ask(entry, "PURGE", "/item/5", "").expect("answered").status, 404, "there was nothing");
    assert_eq!(ask(entry, "BAN", "/item/", "").expect("answered").status, 200);
    assert!((figure(&stack, "cache", 1, "keys")).abs() < 0.5, "all were items");
    let through = ask(stack.entry("balancer")[0], "PURGE", "/", "xkey-purge: item:8\r\n").expect("answered");
    assert_eq!(through.status, 405, "not for those who come by way of the balancer");
}

#[test]
fn a_ban_by_expression_throws_out_what_it_is_true_of() {
    let stack = room("", ITEM, "");
    let entry = stack.entry("cache")[0];
    let fill = || (1..=4).for_each(|item| _ = get(entry, &format!("/item/{item}"), ""));
    let hits = || [1, 2, 3, 4].map(|item| get(entry, &format!("/item/{item}"), "").from() == "HIT");
    let ban =
        |expression: &str| ask(entry, "BAN", "/", &format!("x-ban: {expression}\r\n")).expect("answered");
    fill();
    assert_eq!(ban("req.url ~ ^/item/[12]$ && obj.status == 200").status, 200);
    assert!((figure(&stack, "cache", 1, "keys") - 2.0).abs() < 0.5);
    assert_eq!(hits(), [false, false, true, true]);
    assert_eq!(ban("obj.http.xkey == item:3").status, 200);
    assert_eq!(hits(), [true, true, false, true]);
    assert_eq!(ban("obj.age > 1h").status, 200, "there may be nothing like that");
    assert_eq!(hits(), [true; 4]);
    let refused = ban("req.http.cookie ~ a");
    assert!(refused.status == 400 && refused.body.contains("expected req.url"), "{}", refused.body);
    assert_eq!(hits(), [true; 4]);
    let through =
        ask(stack.entry("balancer")[0], "BAN", "/", "x-ban: obj.status == 200\r\n").expect("answered");
    assert_eq!(through.status, 405, "not for those who come by way of the balancer");
}

#[test]
fn a_services_step_purges_the_cache() {
    let stack = room("", ITEM, "");
    let entry = stack.entry("balancer")[0];
    for item in 0..1000 / 20 {
        // The answers are 50 ms late, so that each of these takes some of the items at once.
        let clients: Vec<_> = (0..20)
            .map(|n| thread::spawn(move || get(entry, &format!("/item/{}", item * 20 + n), "")))
            .collect();
        clients.into_iter().for_each(|c| assert_eq!(c.join().expect("no panic").status, 200));
    }
    assert_eq!(ask(entry, "POST", "/rename", "Content-Length: 0\r\n").expect("answered").status, 200);
    eventually("one of all items is thrown out", || figure(&stack, "cache", 1, "purged") > 0.5);
}

#[test]
fn stale_answers_serve_while_the_back_end_is_down() {
    let classes = ITEM.replace("ttl = \"60s\"", "ttl = \"1s\", grace = \"60s\"");
    let fault = "[[faults]]\nat = \"1ms\"\nfor = \"50s\"\nkill = \"component:shop[1]\"";
    let stack = room("", &classes, fault);
    let entry = stack.entry("cache")[0];
    let first = get(entry, "/item/7", "");
    stack.begin_fault(0).expect("killed");
    eventually("it is stale", || get(entry, "/item/7", "").from() == "STALE");
    assert_eq!(get(entry, "/item/7", "").body, first.body);
    assert_eq!(get(entry, "/item/8", "").status, 503);
    stack.end_fault(0).expect("restarted");
    eventually("it is fetched in the background", || get(entry, "/item/7", "").from() == "HIT");
    assert!(figure(&stack, "cache", 1, "grace_hits") >= 2.0);
}

#[test]
fn kept_answers_are_confirmed_instead_of_sent_again() {
    let classes = ITEM.replace("ttl = \"60s\"", "ttl = \"1s\", grace = \"0s\", keep = \"60s\"");
    let stack = room("", &classes, "");
    let entry = stack.entry("cache")[0];
    get(entry, "/item/7", "");
    let mut confirmed = get(entry, "/item/7", "");
    eventually("it is confirmed", || {
        confirmed = get(entry, "/item/7", "");
        confirmed.from() != "HIT"
    });
    assert_eq!((confirmed.status, confirmed.from(), confirmed.body.len()), (200, "REVALIDATED", 500));
    assert_eq!(get(entry, "/item/7", "").from(), "HIT");
}

#[test]
fn a_page_is_put_together_from_parts_that_are_kept_on_their_own() {
    let list = r#"
[requests.list]
path = "/list/{items}"
response = "2kB"
cache = { ttl = "60s" }
esi = { include = "item", count = 10 }
[[requests.list.steps]]
work = "1ms"
"#;
    let stack = room("", &(ITEM.to_owned() + list), "");
    let entry = stack.entry("balancer")[0];
    let page = get(entry, "/list/3", "x-groups: 1\r\n");
    let json: serde_json::Value = serde_json::from_str(&page.body).expect("a page of JSON parts is JSON");
    let parts = json["parts"].as_array().expect("the parts are a list");
    assert_eq!(parts.len(), 10);
    assert!(parts.iter().all(|part| part["node"] == "shop[1]"));
    let asked = figure(&stack, "shop", 1, "requests");
    let again = get(entry, "/list/3", "x-groups: 1\r\n");
    assert_eq!((again.from(), &again.body), ("HIT", &page.body));
    assert!((figure(&stack, "shop", 1, "requests") - asked).abs() < 0.5, "all of it was kept");
    ask(stack.entry("cache")[0], "PURGE", "/", &format!("xkey-purge: {}\r\n", all_items()))
        .expect("answered");
    assert_eq!(
        get(entry, "/list/3", "x-groups: 1\r\n").from(),
        "HIT",
        "the page was kept, its parts were not"
    );
    assert!(figure(&stack, "shop", 1, "requests") > asked + 5.0);
}

/// The tags of all items.
fn all_items() -> String {
    (0..1000).map(|n| format!("item:{n}")).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_change_throws_out_what_it_changed() {
    let classes = ITEM.replace("path = \"/rename\"", "path = \"/item/5\"");
    let stack = room("", &classes, "");
    let entry = stack.entry("cache")[0];
    assert_eq!(get(entry, "/item/5", "").from(), "MISS");
    assert_eq!(get(entry, "/item/5", "").from(), "HIT");
    assert_eq!(ask(entry, "POST", "/item/5", "Content-Length: 0\r\n").expect("answered").status, 200);
    assert_eq!(get(entry, "/item/5", "").from(), "MISS");
}

#[test]
fn a_flushed_cache_is_empty_and_a_failing_one_fails_alone() {
    let faults = "[[faults]]\nat = \"1ms\"\nflush = \"component:cache[1]\"\n\
                  [[faults]]\nat = \"2ms\"\nfor = \"50s\"\nserve_500 = \"component:cache[1]\"";
    let stack = room("", ITEM, faults);
    let entry = stack.entry("cache")[0];
    get(entry, "/item/7", "");
    assert_eq!(get(entry, "/item/7", "").from(), "HIT");
    stack.begin_fault(0).expect("flushed");
    assert!((figure(&stack, "cache", 1, "keys")).abs() < 0.5);
    assert_eq!(get(entry, "/item/7", "").from(), "MISS");
    stack.begin_fault(1).expect("failing");
    assert_eq!(get(entry, "/item/7", "").status, 500);
    stack.end_fault(1).expect("mended");
    assert_eq!(get(entry, "/item/7", "").from(), "HIT");
}

/// Two nodes, each with a cache before the service on it.
const NODES: &str = r#"
title = "Two nodes with a cache each"
[run]
duration = "60s"
[hosts.edge]
[hosts.app]
count = 2
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "cache"
retries = 3
redispatch = true
health_check = { http = "/health", interval = "2s" }
[components.cache]
kind = "http-cache"
host = "app"
to = "shop@same-host"
memory = "8MiB"
[components.shop]
kind = "service"
host = "app"
workers = 64
[requests.page]
path = "/page"
response = "500B"
cache = { ttl = "60s" }
[[requests.page.steps]]
wait = "5ms"
[requests.basket]
path = "/basket"
response = "500B"
[[requests.basket.steps]]
wait = "5ms"
[traffic.shoppers]
to = "balancer"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { page = 1 }
[[faults]]
at = "1ms"
for = "50s"
kill = "component:cache[1]"
"#;

#[test]
fn each_node_has_a_cache_and_one_that_is_killed_costs_what_it_had_in_hand() {
    let scenario =
        Scenario::parse(Path::new("nodes.toml"), NODES).unwrap_or_else(|problems| panic!("{problems}"));
    let stack = start(&scenario);
    for (number, cache) in stack.entry("cache").into_iter().enumerate() {
        assert_eq!(node(&get(cache, "/page", "").body), format!("shop[{}]", number + 1));
        assert_eq!(node(&get(cache, "/basket", "").body), format!("shop[{}]", number + 1));
    }
    let balancer = stack.entry("balancer")[0];
    kill_under_load(&stack, balancer, &["/page", "/basket"]);
}
