//! What can be seen of a run while it goes on, and of a machine before.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use results::{RunRecord, Status};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Place, errors, until};
use crate::target::Target;

/// Where a run that was started says that its metrics are; the rest of what it says is read and thrown away.
fn metrics_of(program: &mut Child) -> String {
    let mut lines = BufReader::new(program.stderr.take().expect("it was asked for"));
    let address = loop {
        let mut line = String::new();
        assert!(lines.read_line(&mut line).expect("it is text") > 0, "it says where its metrics are");
        if let Some(url) = line.trim().strip_prefix("metrics at http://") {
            break url.strip_suffix("/metrics").expect("they have a path").to_owned();
        }
    };
    thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
    address
}

/// What Prometheus would get.
fn scraped(address: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").expect("it fits");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it is text");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\n"), "{answer}");
    answer.split_once("\r\n\r\n").expect("a head and a body").1.to_owned()
}

/// The value of a metric without labels.
fn value(scraped: &str, name: &str) -> f64 {
    let line = scraped.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {scraped}"))
}

#[test]
fn prometheus_sees_a_run_while_it_goes_on() {
    let place = Place::new();
    place.target("600s", "");
    let target = Target::quick();
    let url = target.url();
    let arguments = ["run", "target.toml", "--target", &url, "--metrics", "127.0.0.1:0", "--no-report"];
    let mut program = place.start(&arguments);
    let address = metrics_of(&mut program);
    let median = "rehearsal_response_time_seconds{quantile=\"0.5\"}";
    let first = until("requests are counted", || {
        let told = scraped(&address);
        let is_counted = value(&told, "rehearsal_requests_good_total") >= 50.0 && value(&told, median) > 0.0;
        is_counted.then_some(told)
    });
    let due = value(&first, "rehearsal_requests_due_total");
    assert!(value(&first, "rehearsal_requests_good_total") <= due, "{first}");
    assert_eq!(value(&first, "rehearsal_connections"), 16.0, "{first}");
    let kinds = first.lines().filter(|line| line.starts_with("# TYPE ")).count();
    let helps = first.lines().filter(|line| line.starts_with("# HELP ")).count();
    assert!(kinds == helps && kinds >= 8, "{first}");
    until("more are counted", || {
        (value(&scraped(&address), "rehearsal_requests_due_total") > due + 50.0).then_some(())
    });
    kill_process(Pid::from_child(&program), Signal::TERM).expect("it is running");
    assert_eq!(program.wait().expect("it was started here").code(), Some(105));
}

#[test]
fn an_address_that_somebody_has_is_no_place_for_metrics() {
    let place = Place::new();
    place.target("1s", "");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = taken.local_addr().expect("a bound socket has an address").to_string();
    let target = Target::quick();
    let output = place.run(&["run", "target.toml", "--target", &target.url(), "--metrics", &address]);
    assert_eq!(output.status.code(), Some(104));
    assert!(errors(&output).contains("--metrics: nothing can listen there"), "{}", errors(&output));
    assert!(place.runs().is_empty());
}

#[test]
fn a_threshold_that_says_so_ends_the_run_with_99() {
    let place = Place::new();
    let condition = "{ condition = \"p(50)<1us\", abort_on_fail = true, delay = \"1s\" }";
    place.target("600s", &format!("[thresholds]\nresponse_time = [{condition}]\n"));
    let (target, begun) = (Target::quick(), Instant::now());
    let output = place.run(&["run", "target.toml", "--target", &target.url(), "--no-report"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(begun.elapsed() < Duration::from_secs(120), "it has ended long before its time");
    let record = RunRecord::read(place.runs().pop().expect("there is a run")).expect("it has a record");
    assert_eq!(record.status, Status::Aborted);
    let expected = if record.validity.is_valid() { 99 } else { 111 };
    assert_eq!(output.status.code(), Some(expected), "{told}{}", errors(&output));
    assert!(told.contains("✗ response_time p(50)<1us"), "{told}");
}

#[test]
fn doctor_says_what_the_machine_can_do_and_what_to_do_about_it() {
    let output = Place::new().run(&["doctor"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{told}{}", errors(&output));
    for what in [
        "open files",
        "local ports for connections to one address",
        "timer late by",
        "of a core stolen by the host",
        "processors",
        "connections from one thread against a null server",
    ] {
        assert!(told.contains(what), "{what}: {told}");
    }
    // What is not as it should be has a hint right below it.
    let lines: Vec<&str> = told.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        let hint = lines.get(number + 1).is_some_and(|next| next.trim_start().starts_with("hint: "));
        let is_hint = line.trim_start().starts_with("hint: ");
        assert!(is_hint || line.starts_with("good  ") != hint, "{line}: {told}");
    }
}
