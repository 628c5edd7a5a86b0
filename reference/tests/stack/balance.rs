//! Who gets which request, who waits, and who is sent away.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::origin::{Origin, Proxy, ok};
use crate::room::{
    CLIENTS, DEATHS, WAIT, connect, eventually, figure, get, kill_under_load, node, receive, send, shop,
    start,
};

const LONG: &[&str] = &["wait = \"2s\""];

fn asked(address: SocketAddr, path: &str) -> String {
    let (status, body) = get(address, path).expect("answered");
    assert_eq!(status, 200, "{body}");
    node(&body)
}

#[test]
fn the_least_busy_server_is_asked() {
    let origins: Vec<Origin> = ["one", "two"]
        .map(|name| {
            Origin::start(move |head| {
                if head.contains("/slow") {
                    std::thread::sleep(Duration::from_secs(2));
                }
                ok(name)
            })
        })
        .into();
    let proxy = Proxy::start("balance = \"least-connections\"", &[origins[0].address, origins[1].address]);
    let mut slow = connect(proxy.address).expect("the proxy accepts");
    send(&mut slow, "/slow").expect("sent");
    let bodies: Vec<String> = (0..4).map(|_| get(proxy.address, "/").expect("answered").1).collect();
    let busy = receive(&mut slow).expect("answered").1;
    assert!(bodies.iter().all(|body| *body != busy), "{busy} was busy: {bodies:?}");
}

#[test]
fn a_hash_of_the_path_sends_it_to_one_server_and_different_ones_to_both() {
    let stack = start(&shop("balance = \"uri\"\nconsistent = true", "workers = 4", WAIT, &[]));
    let balancer = stack.entry("balancer")[0];
    let nodes: Vec<String> = (0..20).map(|item| asked(balancer, &format!("/item/{item}"))).collect();
    let again: Vec<String> = (0..20).map(|item| asked(balancer, &format!("/item/{item}"))).collect();
    assert_eq!(nodes, again);
    assert!(["shop[1]", "shop[2]"].iter().all(|shop| nodes.iter().any(|node| node == shop)), "{nodes:?}");
}

#[test]
fn a_hash_of_the_source_sends_a_client_to_one_server() {
    let stack = start(&shop("balance = \"source\"", "workers = 4", WAIT, &[]));
    let balancer = stack.entry("balancer")[0];
    let first = asked(balancer, "/item/1");
    assert!((0..6).all(|item| asked(balancer, &format!("/item/{item}")) == first));
}

#[test]
fn a_cookie_brings_a_user_back_as_long_as_the_server_is_up() {
    let settings = "cookie = \"SRV\"\nredispatch = true\nretries = 1";
    let stack = start(&shop(settings, "workers = 4", WAIT, &["kill = \"component:shop[1]\""]));
    let balancer = stack.entry("balancer")[0];
    let visit = |cookie: &str| {
        let mut stream = connect(balancer).expect("the proxy accepts");
        let request = format!("GET /item/1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{cookie}\r\n");
        stream.write_all(request.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("closed in order");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        let set = head.lines().find_map(|line| line.strip_prefix("set-cookie: SRV="));
        (node(body), set.map(|value| value.split(';').next().unwrap_or("").to_owned()))
    };
    assert_eq!(visit(""), ("shop[1]".to_owned(), Some("s1".to_owned())));
    for _ in 0..3 {
        assert_eq!(visit("Cookie: a=b; SRV=s1\r\n"), ("shop[1]".to_owned(), None));
    }
    assert_eq!(visit("Cookie: SRV=s77\r\n").1, Some("s2".to_owned()), "nobody of that name");
    stack.begin_fault(0).expect("killed");
    assert_eq!(visit("Cookie: SRV=s1\r\n"), ("shop[2]".to_owned(), Some("s2".to_owned())));
}

#[test]
fn a_server_that_came_back_takes_its_share_by_and_by() {
    const SLOW_START: Duration = Duration::from_secs(3);
    let settings = "slow_start = \"3s\"\nredispatch = true\nretries = 1\n\
                    health_check = { http = \"/health\", interval = \"50ms\" }";
    let stack = start(&shop(settings, "workers = 4", WAIT, &["kill = \"component:shop[1]\""]));
    let balancer = stack.entry("balancer")[0];
    let of_first = |count| (0..count).filter(|_| asked(balancer, "/item/1") == "shop[1]").count();
    assert_eq!(of_first(20), 10, "at the start nothing is slow");
    stack.begin_fault(0).expect("killed");
    eventually("it is noticed", || figure(&stack, "balancer", 1, "servers_up") < 1.5);
    let back = Instant::now();
    stack.end_fault(0).expect("restarted");
    eventually("it is there again", || figure(&stack, "balancer", 1, "servers_up") > 1.5);
    let early = of_first(100) as f64;
    // It cannot have more than its share at the end of these, beside one of a whole server.
    let share = (back.elapsed().as_secs_f64() / SLOW_START.as_secs_f64()).min(1.0);
    let most = 100.0 * share / (1.0 + share) + 3.0;
    assert!(early <= most, "{early} of 100 were its, where {most:.0} is most");
    eventually("it has its full share", || of_first(40) >= 19);
    assert!(back.elapsed() > SLOW_START / 2, "after {:?}", back.elapsed());
}

#[test]
fn a_server_that_refuses_is_asked_again_after_a_second_where_there_is_no_other() {
    let nobody =
        || std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port");
    let waited = |servers: &[SocketAddr]| {
        let proxy = Proxy::start("retries = 1\nredispatch = true", servers);
        let began = Instant::now();
        assert_eq!(get(proxy.address, "/").expect("answered").0, 503);
        began.elapsed()
    };
    let turn_around = Duration::from_secs(1);
    let (alone, of_two) = (waited(&[nobody()]), waited(&[nobody(), nobody()]));
    assert!(alone >= turn_around && of_two < turn_around, "{alone:?} alone, {of_two:?} of two");
}

#[test]
fn a_server_that_starts_slowly_is_sent_few_at_once_and_others_wait() {
    let settings = "server_max_connections = 4\nslow_start = \"10m\"\n\
                    health_check = { http = \"/health\", interval = \"200ms\" }";
    let stack = start(&shop(settings, "workers = 8", LONG, &["kill = \"component:shop[*]\""]));
    let balancer = stack.entry("balancer")[0];
    let servers_up = || figure(&stack, "balancer", 1, "servers_up");
    stack.begin_fault(0).expect("killed");
    eventually("both are out", || servers_up() < 0.5);
    stack.end_fault(0).expect("restarted");
    eventually("both are back", || servers_up() > 1.5);
    // One at each: neither has had a quarter of its ten minutes.
    let _streams = crowd(balancer, 6);
    eventually("four wait", || figure(&stack, "balancer", 1, "waiting") > 3.5);
}

/// Sends a request on each of so many connections at once.
fn crowd(address: SocketAddr, size: usize) -> Vec<TcpStream> {
    let one = |_| {
        let mut stream = connect(address).expect("the kernel accepts");
        send(&mut stream, "/item/1").expect("sent");
        stream
    };
    (0..size).map(one).collect()
}

#[test]
fn requests_wait_for_servers_that_are_full_and_go_in_order() {
    let stack = start(&shop("server_max_connections = 1", "workers = 4", LONG, &[]));
    let balancer = stack.entry("balancer")[0];
    let began = Instant::now();
    let mut streams = crowd(balancer, 6);
    eventually("four wait", || figure(&stack, "balancer", 1, "waiting") > 3.5);
    let times: Vec<Duration> = streams
        .iter_mut()
        .map(|stream| {
            assert_eq!(receive(stream).expect("answered").0, 200);
            began.elapsed()
        })
        .collect();
    assert!(times[5] >= Duration::from_secs(6), "three rounds of two: {times:?}");
    assert!(figure(&stack, "shop", 1, "in_service_max") < 1.5);
    assert!(figure(&stack, "balancer", 1, "waiting") < 0.5);
    assert!(figure(&stack, "balancer", 1, "queue_seconds") > 5.0);
}

#[test]
fn who_waits_too_long_for_a_server_gets_503() {
    let settings = "server_max_connections = 1\nqueue_timeout = \"100ms\"";
    let stack = start(&shop(settings, "workers = 4", &["wait = \"2s\""], &[]));
    let balancer = stack.entry("balancer")[0];
    let mut streams = crowd(balancer, 4);
    let mut statuses: Vec<u16> = streams.iter_mut().map(|s| receive(s).expect("answered").0).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 503, 503]);
    assert!((figure(&stack, "balancer", 1, "queue_timeouts") - 2.0).abs() < 0.5);
    assert_eq!(get(balancer, "/item/1").expect("the places are free again").0, 200);
}

#[test]
fn who_waits_for_a_server_that_goes_down_is_sent_to_another() {
    let settings = "server_max_connections = 1\nbalance = \"source\"\nqueue_timeout = \"20s\"\n\
                    health_check = { http = \"/health\", interval = \"2s\", fall = 2 }";
    let hangs = ["hang = \"component:shop[1]\"", "hang = \"component:shop[2]\""];
    let stack = start(&shop(settings, "workers = 4", &["wait = \"300ms\""], &hangs));
    let balancer = stack.entry("balancer")[0];
    let bound_to = asked(balancer, "/item/1");
    let fault = usize::from(bound_to == "shop[2]");
    stack.begin_fault(fault).expect("it hangs");
    let mut under_way = crowd(balancer, 1);
    eventually("one is under way", || figure(&stack, "balancer", 1, "in_service") > 0.5);
    let mut waiting = crowd(balancer, 2);
    eventually("two wait", || figure(&stack, "balancer", 1, "waiting") > 1.5);
    for stream in &mut waiting {
        let (status, body) = receive(stream).expect("answered");
        assert_eq!(status, 200);
        assert_ne!(node(&body), bound_to);
    }
    stack.end_fault(fault).expect("it goes on");
    assert_eq!(receive(&mut under_way[0]).expect("answered").0, 200);
}

#[test]
fn a_check_of_the_connection_alone_sees_who_is_dead() {
    let settings = "health_check = { tcp = true, interval = \"100ms\", fall = 1, rise = 1 }";
    let stack = start(&shop(settings, "workers = 4", WAIT, &["kill = \"component:shop[1]\""]));
    stack.begin_fault(0).expect("killed");
    eventually("it is out", || figure(&stack, "balancer", 1, "servers_up") < 1.5);
    stack.end_fault(0).expect("restarted");
    eventually("it is in", || figure(&stack, "balancer", 1, "servers_up") > 1.5);
}

#[test]
fn a_server_that_is_killed_under_load_takes_no_more_than_what_it_had_in_hand() {
    let settings =
        "retries = 3\nredispatch = true\nhealth_check = { http = \"/health\", interval = \"200ms\" }";
    let stack =
        start(&shop(settings, "workers = 64", &["wait = \"2ms\""], &["kill = \"component:shop[1]\""]));
    let balancer = stack.entry("balancer")[0];
    let costs_what_was_in_hand = (0..DEATHS).any(|_| {
        eventually("both are there", || figure(&stack, "balancer", 1, "servers_up") > 1.5);
        kill_under_load(&stack, balancer, &["/item/1"]) <= CLIENTS
    });
    assert!(costs_what_was_in_hand, "each of {DEATHS} deaths cost more than {CLIENTS} requests");
}

#[test]
fn requests_beyond_the_limit_of_the_balancer_wait_unaccepted() {
    let stack = start(&shop("max_connections = 2", "workers = 8", LONG, &[]));
    let balancer = stack.entry("balancer")[0];
    let mut streams = crowd(balancer, 2);
    eventually("two are forwarded", || figure(&stack, "balancer", 1, "in_service") > 1.5);
    streams.extend(crowd(balancer, 4));
    assert!(figure(&stack, "balancer", 1, "connections") < 3.5, "two in hand, one accepted before they were");
    for stream in &mut streams {
        assert_eq!(receive(stream).expect("answered").0, 200);
    }
    // Two at once, be it at one server.
    assert!([1, 2].iter().all(|shop| figure(&stack, "shop", *shop, "in_service_max") < 2.5));
}

#[test]
fn servers_are_asked_by_their_weights() {
    for balance in ["round-robin", "least-connections"] {
        let settings = format!("balance = \"{balance}\"\nweights = [3, 1]");
        let stack = start(&shop(&settings, "workers = 8", WAIT, &[]));
        let balancer = stack.entry("balancer")[0];
        if balance == "round-robin" {
            let nodes: Vec<String> = (0..8).map(|item| asked(balancer, &format!("/item/{item}"))).collect();
            assert_eq!(nodes.iter().filter(|node| *node == "shop[1]").count(), 6, "{nodes:?}");
            assert!(nodes.windows(2).all(|pair| pair != ["shop[2]", "shop[2]"]), "{nodes:?}");
        } else {
            // With nothing under way both are as idle, however small the weight is.
            let nodes: Vec<String> = (0..4).map(|item| asked(balancer, &format!("/item/{item}"))).collect();
            assert_eq!(nodes.iter().filter(|node| *node == "shop[1]").count(), 2, "{nodes:?}");
        }
    }
}

#[test]
fn a_server_of_no_weight_has_only_those_that_are_bound_to_it() {
    let stack = start(&shop("weights = [0, 1]\ncookie = \"SRV\"", "workers = 4", WAIT, &[]));
    let balancer = stack.entry("balancer")[0];
    assert!((0..6).all(|item| asked(balancer, &format!("/item/{item}")) == "shop[2]"));
    let mut stream = connect(balancer).expect("the proxy accepts");
    stream.write_all(b"GET /item/1 HTTP/1.1\r\nHost: h\r\nCookie: SRV=s1\r\n\r\n").expect("sent");
    assert_eq!(node(&receive(&mut stream).expect("answered").1), "shop[1]");
}

#[test]
fn a_proxy_alone_has_as_many_servers_as_weights() {
    let origin = Origin::start(|_| ok("one"));
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    let scenario = shop("weights = [2, 1]", "workers = 4", WAIT, &[]);
    file.write_all(scenario.source.text.as_bytes()).expect("written");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_reference"));
    command.arg("proxy").arg(file.path()).args(["balancer", "--listen", "127.0.0.1:0", "--to"]);
    let output = command.arg(origin.address.to_string()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && said.contains("2 weights for 1 servers"), "{said}");
}

#[test]
fn a_server_whose_answers_are_errors_is_out_until_its_checks_are_good_again() {
    // The checks ask for connections alone, so that they find nothing wrong.
    let settings = "health_check = { tcp = true, interval = \"1s\", rise = 2, observe = \"layer7\", error_limit = 4, \
                    on_error = \"mark-down\" }";
    let stack = start(&shop(settings, "workers = 4", WAIT, &["serve_500 = \"component:shop[1]\""]));
    let balancer = stack.entry("balancer")[0];
    stack.begin_fault(0).expect("it serves errors");
    let statuses: Vec<u16> =
        (0..40).map(|item| get(balancer, &format!("/item/{item}")).expect("answered").0).collect();
    let errors = statuses.iter().filter(|status| **status == 500).count();
    // On a slow machine its checks may bring it back in between, for as many more.
    assert!((4..20).contains(&errors) && errors % 4 == 0, "{statuses:?}");
    stack.end_fault(0).expect("it is well again");
    eventually("it is in", || figure(&stack, "balancer", 1, "servers_up") > 1.5);
}

#[test]
fn a_server_that_takes_no_connections_is_out_before_its_checks_say_so() {
    let settings = "retries = 3\nhealth_check = { tcp = true, interval = \"10s\", observe = \"layer4\", \
                    error_limit = 2, on_error = \"mark-down\" }";
    let stack = start(&shop(settings, "workers = 4", WAIT, &["kill = \"component:shop[1]\""]));
    let balancer = stack.entry("balancer")[0];
    stack.begin_fault(0).expect("killed");
    assert!(
        (0..6).all(|item| asked(balancer, &format!("/item/{item}")) == "shop[2]"),
        "others are asked instead"
    );
    assert!(figure(&stack, "balancer", 1, "servers_up") < 1.5);
    assert!((figure(&stack, "balancer", 1, "retries") - 2.0).abs() < 0.5, "and the dead one no more");
}
