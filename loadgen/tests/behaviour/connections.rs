//! When connections are opened and closed, and where to.

use std::io::Write as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use loadgen::named::{Named, keep_fresh};
use loadgen::{Address, Options};
use results::Failure;

use crate::support::{
    counting, counting_at, counts, entries_at, failures, listening_for_one, play, play_at, play_at_path,
    scenario,
};

#[test]
fn connections_are_kept_unless_told_otherwise() {
    let (address, accepted) = counting();
    let record = play(&scenario(100, 1, "connections = 4"), address, Options::default());
    assert_eq!((counts(&record), accepted.load(Ordering::Relaxed)), ((100, 100, 0), 4));
}

#[test]
fn every_request_has_its_own_connection_where_none_is_reused() {
    let (address, accepted) = counting();
    let record = play(&scenario(100, 1, "connections = 4\nreuse = \"never\""), address, Options::default());
    // Four were opened to see that there is somebody.
    assert_eq!((counts(&record), accepted.load(Ordering::Relaxed)), ((100, 100, 0), 104));
}

#[test]
fn an_old_connection_is_replaced() {
    let (address, accepted) = counting();
    let lines = "connections = 1\nmax_connection_age = \"100ms\"";
    let record = play(&scenario(100, 1, lines), address, Options::default());
    let accepted = accepted.load(Ordering::Relaxed);
    assert_eq!(counts(&record), (100, 100, 0));
    assert!((3..=12).contains(&accepted), "{accepted} connections");
}

/// A listener that accepts nothing, with room for one connection in its backlog: further SYNs are dropped.
fn full() -> std::net::TcpListener {
    use rustix::net::{AddressFamily, SocketType, bind, listen, socket};
    let descriptor = socket(AddressFamily::INET, SocketType::STREAM, None).expect("sockets can be made");
    bind(&descriptor, &SocketAddr::from(([127, 0, 0, 1], 0))).expect("a loopback port is free");
    listen(&descriptor, 0).expect("a bound socket listens");
    descriptor.into()
}

#[test]
fn a_connection_that_takes_too_long_to_open_is_a_timeout() {
    let listener = full();
    let address = listener.local_addr().expect("a bound socket has an address");
    let lines = "connections = 50\nconnect_timeout = \"200ms\"\ntimeout = \"4s\"";
    let record = play(&scenario(20, 1, lines), address, Options::default());
    let timeouts = failures(&record, Failure::Timeout);
    // The first was taken up by the kernel, and waits for its answer as long as the client does.
    assert!(counts(&record).0 == 20 && timeouts == 20, "{timeouts} of {:?}", counts(&record));
    let median = record.tally(results::Scope::Run, None).response_times().percentile(50.0);
    assert!(median.is_some_and(|seconds| seconds < 2.0), "half of them were given up after {median:?} s");
}

#[test]
fn a_socket_in_the_file_system_is_a_target() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("shop.sock");
    let listener = UnixListener::bind(&path).expect("the directory is new");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while std::io::Read::read(&mut stream, &mut buffer).is_ok_and(|read| read > 0) {
                    let good = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi");
                    good.expect("the client is there until it closes");
                }
            });
        }
    });
    let scenario = scenario(100, 1, "connections = 3");
    let record = play_at_path(&scenario, &path);
    assert_eq!(counts(&record), (100, 100, 0), "{:?}", record.validity);
}

#[test]
fn connections_follow_a_name_to_its_new_address() {
    let ((before, accepted_before), (after, accepted_after)) = (counting(), counting());
    let named = Arc::new(Named::new("shop.test", 80, false, before));
    let scenario = scenario(100, 2, "connections = 2\nreuse = \"never\"");
    let entries = entries_at(&[(Address::Named(Arc::clone(&named)), "shop.test")]);
    let stop = AtomicBool::new(false);
    let record = play_at(&scenario, &entries, Options::default(), &stop, &mut |snapshot| {
        if snapshot.at.as_secs_f64() > 0.5 {
            named.point_to(after);
        }
    });
    assert_eq!(counts(&record), (200, 200, 0));
    let accepted = [&accepted_before, &accepted_after].map(|counter| counter.load(Ordering::Relaxed));
    assert!(accepted[0] > 20 && accepted[1] > 20 && accepted.iter().sum::<u64>() == 202, "{accepted:?}");
}

/// The name is the machine's own, and its address at first is another of this machine's: what is asked again tells the true one.
#[test]
fn connections_follow_what_a_name_is_said_to_be_when_it_is_asked_for_again() {
    let Some(own) = ("localhost", 0).to_socket_addrs().ok().and_then(|mut all| all.next()) else {
        println!("SKIPPED: nobody tells where localhost is");
        return;
    };
    let (before, accepted_before) = counting_at(SocketAddr::from(([127, 0, 0, 77], 0)));
    let (after, accepted_after) = counting_at(own);
    let named = Arc::new(Named::new("localhost", after.port(), false, before));
    let scenario = scenario(100, 3, "connections = 2\nreuse = \"never\"");
    let entries = entries_at(&[(Address::Named(Arc::clone(&named)), "localhost")]);
    let (stop, asks) = (AtomicBool::new(false), AtomicBool::new(false));
    let record = play_at(&scenario, &entries, Options::default(), &stop, &mut |snapshot| {
        let at = snapshot.at.as_secs_f64();
        if at > 0.5 && !asks.swap(true, Ordering::Relaxed) {
            keep_fresh(&named, Duration::from_millis(20));
        }
        // It moves once more, and is asked for once more.
        if asks.load(Ordering::Relaxed) && at < 1.5 && named.current() == after {
            named.point_to(before);
        }
    });
    assert_eq!((counts(&record), named.current()), ((300, 300, 0), after));
    let accepted = [&accepted_before, &accepted_after].map(|counter| counter.load(Ordering::Relaxed));
    assert!(accepted[0] > 20 && accepted[1] > 50 && accepted.iter().sum::<u64>() == 302, "{accepted:?}");
}

/// A full backlog of a socket in the file system says so at once (`connect(2)`: EAGAIN), where TCP would wait.
#[test]
fn a_full_backlog_in_the_file_system_is_waited_for() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("shop.sock");
    let listener = listening_for_one(&path);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let asked = std::io::Read::read(&mut stream, &mut [0; 4096]).is_ok_and(|read| read > 0);
                asked.then(|| stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"))
            });
            // Slower than connections are asked for.
            std::thread::sleep(std::time::Duration::from_millis(30));
        }
    });
    let scenario = scenario(50, 1, "connections = 50\nreuse = \"never\"");
    let record = play_at_path(&scenario, &path);
    assert_eq!(counts(&record), (50, 50, 0), "{:?}", record.tally(results::Scope::Run, None).failures);
}
