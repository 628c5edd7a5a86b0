//! Whose connections are passed on: the PROXY protocol, accepted and sent.

use std::io::{Read, Write};

use crate::origin::{Origin, Proxy, ok, status};
use crate::room::{WAIT, connect, eventually, figure, get, node, receive, send, shop, start};

const GET: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

fn forwarded(request: &str) -> &str {
    let lower = request.lines().find_map(|line| line.strip_prefix("x-forwarded-for: "));
    lower.expect("the proxy says who asks")
}

#[test]
fn a_trusted_peer_says_whose_connection_it_is() {
    let origin = Origin::start(|_| ok("one"));
    let proxy = Proxy::start("accept_proxy = [\"127.0.0.0/8\"]", &[origin.address]);
    let binary = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x12\x34\0\x50";
    for (header, client) in [
        (&b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 80\r\n"[..], "192.0.2.1"),
        (b"PROXY TCP6 2001:db8::5 2001:db8::1 1 2\r\n", "2001:db8::5"),
        (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
        (b"PROXY UNKNOWN and whatever else\r\n", "127.0.0.1"),
        (binary, "192.0.2.7"),
    ] {
        let answer = proxy.tell(&[header, GET.as_bytes()].concat());
        assert_eq!(status(&answer), "200", "{header:?}: {answer}");
        let requests = origin.requests();
        assert_eq!(forwarded(requests.last().expect("it was passed on")), client);
    }
    let before = origin.requests().len();
    for header in [
        "",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
        "PROXY TCP4 1.2.3.4 5.6.7.8 1 99999\r\n",
        "\r\n\r\n\0\r\nQUIT\n\x31",
    ] {
        let answer = proxy.tell(format!("{header}{GET}").as_bytes());
        assert_eq!(answer, "", "a trusted peer that does not say it is not answered: {header:?}");
    }
    assert_eq!(origin.requests().len(), before);
}

#[test]
fn a_header_may_come_byte_by_byte() {
    let origin = Origin::start(|_| ok("one"));
    let proxy = Proxy::start("accept_proxy = [\"127.0.0.1\"]", &[origin.address]);
    let mut stream = connect(proxy.address).expect("the proxy accepts");
    for byte in b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 80\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n" {
        stream.write_all(&[*byte]).expect("sent");
    }
    assert_eq!(receive(&mut stream).expect("answered").0, 200);
    assert_eq!(forwarded(&origin.requests()[0]), "192.0.2.1");
}

#[test]
fn nobody_else_is_believed() {
    let origin = Origin::start(|_| ok("one"));
    let proxy = Proxy::start("accept_proxy = [\"10.0.0.0/8\", \"::1\"]", &[origin.address]);
    let answer = proxy.tell(format!("PROXY TCP4 192.0.2.1 198.51.100.1 56324 80\r\n{GET}").as_bytes());
    assert_eq!(status(&answer), "505", "it is no request: {answer}");
    assert_eq!(status(&proxy.tell(GET.as_bytes())), "200");
    assert_eq!(forwarded(&origin.requests()[0]), "127.0.0.1");
}

#[test]
fn servers_are_told_whose_connection_it_is() {
    let origin = Origin::start(|_| ok("one"));
    let proxy = Proxy::start("send_proxy = \"v1\"", &[origin.address]);
    let mut ports = Vec::new();
    for _ in 0..2 {
        let mut stream = connect(proxy.address).expect("the proxy accepts");
        for _ in 0..2 {
            send(&mut stream, "/").expect("the connection stays open");
            assert_eq!(receive(&mut stream).expect("answered").0, 200);
            ports.push(stream.local_addr().expect("it is connected").port());
        }
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 4);
    for (request, port) in requests.iter().zip(ports) {
        let header =
            format!("PROXY TCP4 127.0.0.1 127.0.0.1 {port} {}\r\nGET / HTTP/1.1\r\n", proxy.address.port());
        assert!(request.starts_with(&header), "{request}");
    }
}

#[test]
fn one_proxy_tells_the_next() {
    let origin = Origin::start(|_| ok("one"));
    let inner = Proxy::start("accept_proxy = [\"127.0.0.0/8\"]", &[origin.address]);
    let outer = Proxy::start("accept_proxy = [\"127.0.0.0/8\"]\nsend_proxy = \"v2\"", &[inner.address]);
    let answer = outer.tell(format!("PROXY TCP4 192.0.2.1 198.51.100.1 56324 80\r\n{GET}").as_bytes());
    assert_eq!(status(&answer), "200", "{answer}");
    assert_eq!(forwarded(&origin.requests()[0]), "192.0.2.1, 192.0.2.1");
}

#[test]
fn services_of_a_stack_and_checks_of_them_take_it() {
    for version in ["v1", "v2"] {
        let check = "health_check = { http = \"/health\", interval = \"100ms\", fall = 3, rise = 1 }";
        let settings = format!("send_proxy = \"{version}\"\n{check}");
        let stack = start(&shop(&settings, "workers = 4", WAIT, &["kill = \"component:shop[1]\""]));
        let balancer = stack.entry("balancer")[0];
        let nodes: Vec<String> =
            (0..4).map(|i| node(&get(balancer, &format!("/item/{i}")).expect("answered").1)).collect();
        assert!(["shop[1]", "shop[2]"].iter().all(|shop| nodes.iter().any(|node| node == shop)), "{nodes:?}");
        stack.begin_fault(0).expect("killed");
        eventually("it is out", || figure(&stack, "balancer", 1, "servers_up") < 1.5);
        stack.end_fault(0).expect("restarted");
        eventually("its checks are good", || figure(&stack, "balancer", 1, "servers_up") > 1.5);
    }
}

#[test]
fn a_service_that_is_told_whose_connections_it_has_is_told_by_all() {
    let text = shop("send_proxy = \"v2\"", "workers = 4", WAIT, &[]).source.text.clone();
    let text = text.replace("to = \"balancer\"", "to = \"shop\"");
    let scenario = scenarios::Scenario::parse("direct.toml", text).expect("it is good");
    let problems = reference::support::check(&scenario).expect_err("clients do not say it").to_string();
    assert!(problems.contains("traffic.shoppers.to"), "{problems}");
}

#[test]
fn a_connection_that_says_nothing_holds_nobody_else_up() {
    let origin = Origin::start(|_| ok("one"));
    let proxy = Proxy::start("accept_proxy = [\"127.0.0.0/8\"]", &[origin.address]);
    let mut silent: Vec<_> = (0..200).map(|_| connect(proxy.address).expect("the proxy accepts")).collect();
    for stream in silent.iter_mut().step_by(2) {
        stream.write_all(b"PROXY TCP4 192.0").expect("sent");
    }
    let answer = proxy.tell(format!("PROXY TCP4 192.0.2.1 198.51.100.1 56324 80\r\n{GET}").as_bytes());
    assert_eq!(status(&answer), "200", "{answer}");
    // They are sent away in the end.
    let mut byte = [0];
    assert!(matches!(silent[0].read(&mut byte), Ok(0) | Err(_)));
}
