//! The SQL tier: rows that are locked, a database that sleeps, and a real server behind it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use reference::client::Stack;
use scenarios::Scenario;

use crate::room::{connect, eventually, figure, get, start};

/// A shop with one row, whose requests take `steps`; `archive` are further lines of its database.
fn shop(archive: &str, steps: &str) -> Stack {
    let text = format!(
        r#"
title = "A shop with a database"
[run]
duration = "60s"
[hosts.app]
[hosts.data]
[hosts.db]
cores = 4
[components.shop]
kind = "service"
host = "app"
workers = 8
[components.objects]
kind = "kv-store"
host = "data"
[components.archive]
kind = "sql-store"
host = "db"
{archive}
[keyspaces.items]
in = "objects"
keys = 1
persistent = true
value = "300B"
[keyspaces.orders]
in = "objects"
keys = 1000
persistent = true
value = "300B"
[requests.page]
path = "/page"
steps = [{steps}]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 1 }}
"#
    );
    let scenario = Scenario::parse("sql.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    start(&scenario)
}

/// The statuses of so many requests at once.
fn at_once(stack: &Stack, count: usize) -> Vec<u16> {
    let address = stack.entry("shop")[0];
    let clients: Vec<_> = (0..count).map(|_| std::thread::spawn(move || get(address, "/page"))).collect();
    let mut statuses: Vec<u16> =
        clients.into_iter().map(|client| client.join().expect("no panic").expect("answered").0).collect();
    statuses.sort_unstable();
    statuses
}

#[test]
fn updates_of_one_row_follow_one_another_or_fail_in_time() {
    let update = "{ update = { in = \"archive\", keyspace = \"items\" } }";
    let stack = shop("read = \"1ms\"\nwrite = \"300ms\"\nlock_wait = \"20s\"", update);
    let start = Instant::now();
    assert_eq!(at_once(&stack, 3), [200; 3]);
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    let stack = shop("read = \"1ms\"\nwrite = \"3s\"\nlock_wait = \"50ms\"", update);
    assert_eq!(at_once(&stack, 2), [200, 500]);
    assert!((figure(&stack, "archive", 1, "lock_timeouts") - 1.0).abs() < 0.5);
}

#[test]
fn a_statement_that_takes_too_long_is_ended_wherever_it_is() {
    let select = "{ select = { from = \"archive\", keyspace = \"items\" } }";
    let stack = shop("read = \"25s\"\nstatement_timeout = \"200ms\"", select);
    let start = Instant::now();
    // Two of them wait for the cores of the others.
    assert_eq!(at_once(&stack, 6), [500; 6]);
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(figure(&stack, "archive", 1, "statement_timeouts"), 6.0);
    let busy = figure(&stack, "archive", 1, "busy_core_seconds");
    assert!((0.5..2.0).contains(&busy), "four cores for 200 ms: {busy}");
    let update = "{ update = { in = \"archive\", keyspace = \"items\" } }";
    let limits = "read = \"1ms\"\nwrite = \"2s\"\nlock_wait = \"20s\"\nstatement_timeout = \"3s\"";
    let stack = shop(limits, update);
    assert_eq!(at_once(&stack, 3), [200, 500, 500], "two have the row too late");
    assert_eq!(at_once(&stack, 1), [200], "the row is free again");
    let count = |name| figure(&stack, "archive", 1, name);
    assert_eq!((count("statement_timeouts"), count("lock_timeouts")), (2.0, 0.0));
}

#[test]
fn a_database_that_nobody_asks_falls_asleep_and_is_waited_for() {
    let select = "{ select = { from = \"archive\", keyspace = \"items\" } }";
    let stack = shop("read = \"1ms\"\nhibernation = { after = \"200ms\", wake = \"700ms\" }", select);
    let took = || {
        let start = Instant::now();
        assert_eq!(get(stack.entry("shop")[0], "/page").expect("answered").0, 200);
        start.elapsed()
    };
    // The passing of time is what this is about.
    std::thread::sleep(Duration::from_millis(400));
    assert!(took() >= Duration::from_millis(700));
    let awake = (0..5).map(|_| took()).min().expect("five of them");
    assert!(awake < Duration::from_millis(200), "{awake:?}");
}

/// Sends a statement about the one row.
fn state(connection: &mut TcpStream, verb: &str) {
    connection.write_all(format!("{verb} items 1 0 0\r\n").as_bytes()).expect("sent");
}

/// The first byte of a reply, which says of which kind it is.
fn kind_of_reply(connection: &mut TcpStream) -> char {
    let mut bytes = [0; 4096];
    let count = connection.read(&mut bytes).expect("answered");
    assert!(count > 0, "it is not closed");
    char::from(bytes[0])
}

#[test]
fn who_holds_a_row_waits_for_no_connection_behind_those_who_wait_for_that_row() {
    let update = "{ update = { in = \"archive\", keyspace = \"items\" } }";
    let stack = shop("connections = 1\nread = \"1ms\"\nwrite = \"1ms\"\nlock_wait = \"20s\"", update);
    let connected = || connect(stack.entry("archive")[0]).expect("accepted");
    let [mut first, mut second] = [(); 2].map(|()| connected());
    state(&mut first, "LOCK");
    assert_eq!(kind_of_reply(&mut first), '*');
    state(&mut second, "LOCK");
    eventually("the other has the one connection", || figure(&stack, "archive", 1, "in_service") > 0.5);
    state(&mut first, "UPDATE");
    assert_eq!(kind_of_reply(&mut first), ':');
    assert_eq!(kind_of_reply(&mut second), '*', "it has the row in time");
    assert!(figure(&stack, "archive", 1, "lock_timeouts") < 0.5);
}

#[cfg(feature = "mysql")]
mod mariadb {
    use std::net::TcpListener;
    use std::process::{Child, Command, Stdio};

    use super::*;

    struct Server(Child, tempfile::TempDir);

    impl Drop for Server {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    fn server(port: u16) -> Option<Server> {
        let here = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| here.path().join(name).display().to_string();
        let made = Command::new("mariadb-install-db")
            .args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"])
            .args(["--user=root".to_owned(), format!("--datadir={}", path("data"))])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !made.is_ok_and(|status| status.success()) {
            return None;
        }
        std::fs::write(here.path().join("init"), "CREATE DATABASE shop;\n").expect("written");
        let process = Command::new("mariadbd")
            .args(["--no-defaults", "--user=root", "--skip-grant-tables", "--bind-address=127.0.0.1"])
            .args([format!("--port={port}"), format!("--datadir={}", path("data"))])
            .args([format!("--socket={}", path("socket")), format!("--init-file={}", path("init"))])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Server(process, here))
    }

    #[test]
    fn rows_are_read_and_written_in_a_real_mariadb() {
        // Free a moment ago: the server cannot be handed a socket.
        let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port();
        let Some(server) = server(port) else {
            let required = std::env::var("REHEARSAL_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|name| name == "mariadbd"), "mariadbd is required and absent");
            return println!("SKIPPED: there is no mariadbd here");
        };
        let steps = "{ update = { in = \"archive\", keyspace = \"orders\", rows = 3 } }, \
                     { select = { from = \"archive\", keyspace = \"orders\", rows = 20 } }";
        let archive = format!("read = \"1ms\"\nengine = \"mariadb://root@127.0.0.1:{port}/shop\"");
        let stack = shop(&archive, steps);
        let shop = stack.entry("shop")[0];
        eventually("the server is there", || get(shop, "/page").expect("answered").0 == 200);
        // Rows are there once they were read: so often that some are written afterwards.
        for _ in 0..20 {
            assert_eq!(at_once(&stack, 8), [200; 8]);
        }
        let told = Command::new("mariadb")
            .args(["--no-defaults", "-u", "root", "--batch", "--skip-column-names", "shop"])
            .arg(format!("--socket={}", server.1.path().join("socket").display()))
            .args(["-e", "SELECT SUM(version) > 0, MIN(LENGTH(value)), COUNT(*) >= 20 FROM rehearsal_orders"])
            .output()
            .expect("the client runs");
        assert_eq!(String::from_utf8_lossy(&told.stdout).trim(), "1\t300\t1");
    }
}
