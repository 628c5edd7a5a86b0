//! What makes an instance slow, or fail at times, while it goes on.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use scenarios::Scenario;

use crate::room::{connect, eventually, figure, get, shop, start};

/// How long a request takes: the shortest of a few, for a busy machine only makes them longer.
fn takes(address: SocketAddr) -> Duration {
    let took = |_| {
        let began = Instant::now();
        assert_eq!(get(address, "/item/1").expect("answered").0, 200);
        began.elapsed()
    };
    (0..5).map(took).min().expect("five of them")
}

#[test]
fn a_slow_service_and_a_slow_database_take_so_many_times_as_long() {
    let steps = ["work = \"4ms\"", "select = { from = \"archive\", keyspace = \"items\" }"];
    let faults = [
        "slow = { target = \"component:shop[1]\", times = 10 }",
        "slow = { target = \"host:db\", times = 200 }",
        "cpu_steal = { target = \"host:app[1]\", share = \"90%\" }",
    ];
    let stack = start(&shop("", "workers = 4", &steps, &faults));
    let [one, other] = stack.entry("shop")[..] else { panic!("two of them") };
    // 4 ms of the service's and 0.2 ms of the database's. A few milliseconds more are the machine's.
    for (fault, at_least) in [(0, 40), (1, 44), (2, 40)] {
        let at_least = Duration::from_millis(at_least);
        stack.begin_fault(fault).expect("it is slow");
        assert!(takes(one) >= at_least, "fault {fault}");
        stack.end_fault(fault).expect("it is well");
        eventually("as before", || takes(one) < at_least / 2);
    }
    stack.begin_fault(0).expect("it is slow");
    stack.begin_fault(2).expect("it has less");
    assert!(takes(one) >= Duration::from_millis(400), "both at once multiply");
    eventually("the other one does not care", || takes(other) < Duration::from_millis(20));
}

#[test]
fn a_slow_store_takes_so_many_times_as_long_for_its_commands() {
    let steps = ["get = { keyspace = \"carts\" }"];
    let faults = ["slow = { target = \"component:objects\", times = 10_000 }"];
    let stack = start(&shop("", "workers = 4", &steps, &faults));
    let shop = stack.entry("shop")[0];
    stack.begin_fault(0).expect("it is slow");
    // A command takes some microseconds of the processor.
    assert!(takes(shop) >= Duration::from_millis(10));
    stack.end_fault(0).expect("it is well");
    eventually("as before", || takes(shop) < Duration::from_millis(10));
}

#[test]
fn so_large_a_share_of_the_requests_fails_and_of_the_health_checks() {
    let faults = [
        "error_rate = { target = \"component:shop[1]\", share = \"50%\" }",
        "error_rate = { target = \"component:shop[1]\", share = \"100%\" }",
    ];
    let check = "health_check = { http = \"/health\", interval = \"20ms\", fall = 3, rise = 2 }";
    let stack = start(&shop(check, "workers = 4", &["wait = \"1ms\""], &faults));
    let shop = stack.entry("shop")[0];
    stack.begin_fault(0).expect("it fails at times");
    let failed = (0..400).filter(|_| get(shop, "/item/1").expect("answered").0 == 500).count();
    // Seven standard deviations around the half.
    assert!((130..=270).contains(&failed), "{failed} of 400");
    stack.begin_fault(1).expect("it fails");
    assert!((0..5).all(|_| get(shop, "/item/1").expect("answered").0 == 500));
    eventually("its checks take it out", || figure(&stack, "balancer", 1, "servers_up") < 1.5);
    stack.end_fault(0).expect("one is over");
    stack.end_fault(1).expect("both are over");
    assert!((0..20).all(|_| get(shop, "/item/1").expect("answered").0 == 200));
    eventually("it is back", || figure(&stack, "balancer", 1, "servers_up") > 1.5);
}

#[test]
fn on_a_full_disk_updates_fail_and_reads_go_on() {
    let steps = ["update = { in = \"archive\", keyspace = \"items\" }"];
    let text = shop("", "workers = 4", &steps, &["disk_full = \"component:archive\""]).source.text.clone();
    let text = text.replace(
        "[traffic.shoppers]",
        "[requests.look]\npath = \"/look/{items}\"\n[[requests.look.steps]]\n\
         select = { from = \"archive\", keyspace = \"items\" }\n[traffic.shoppers]",
    );
    let text = text.replace("mix = { item = 1 }", "mix = { item = 1, look = 1 }");
    let scenario = Scenario::parse(Path::new("test.toml"), text).unwrap_or_else(|p| panic!("{p}"));
    let stack = start(&scenario);
    let shop = stack.entry("shop")[0];
    stack.begin_fault(0).expect("it is full");
    assert_eq!(get(shop, "/item/1").expect("answered").0, 500);
    assert_eq!(get(shop, "/look/1").expect("answered").0, 200);
    stack.end_fault(0).expect("there is room");
    assert_eq!(get(shop, "/item/1").expect("answered").0, 200);
}

#[test]
fn a_store_that_cannot_save_refuses_writes_and_answers_reads() {
    let text = shop("", "workers = 4", &["wait = \"1ms\""], &[]).source.text.clone();
    let text = text.replace(
        "max_memory = \"1MiB\"",
        "max_memory = \"1MiB\"\nsnapshot = { every = \"1s\", fork_per_gb = \"1ms\" }",
    );
    let text = text + "[[faults]]\nat = \"1ms\"\nfor = \"50s\"\ndisk_full = \"component:objects\"\n";
    let scenario = Scenario::parse(Path::new("test.toml"), text).unwrap_or_else(|p| panic!("{p}"));
    let stack = start(&scenario);
    let mut store = connect(stack.entry("objects")[0]).expect("accepted");
    let mut ask = |command: &str| {
        store.write_all(format!("{command}\r\n").as_bytes()).expect("sent");
        let mut answer = [0; 1];
        store.read_exact(&mut answer).expect("answered");
        let first = answer[0] as char;
        while answer != *b"\n" {
            store.read_exact(&mut answer).expect("the rest");
        }
        first
    };
    assert_eq!(ask("SET a 1"), '+');
    stack.begin_fault(0).expect("it is full");
    eventually("a save has failed", || ask("SET a 1") == '-');
    assert_eq!(ask("EXISTS a"), ':');
    stack.end_fault(0).expect("there is room");
    eventually("a save has succeeded", || ask("SET a 1") == '+');
}

#[test]
fn components_on_one_machine_wait_for_each_others_work_and_a_slow_machine_is_slow_for_all() {
    let text = shop(
        "",
        "workers = 4",
        &["work = \"60ms\""],
        &["cpu_steal = { target = \"host:app[1]\", share = \"50%\" }"],
    );
    let text = text.source.text.replace("count = 2\ncores = 2", "cores = 1\nspeed = 0.5");
    let text = text.replace(
        "[components.objects]",
        "[components.blog]\nkind = \"service\"\nhost = \"app\"\nworkers = 4\n[components.objects]",
    );
    let text = text.replace("host = \"db\"", "host = \"app\"").replace("[hosts.db]", "");
    let text = text
        + "[requests.post]\npath = \"/post\"\n[[requests.post.steps]]\nwork = \"60ms\"\n\
           [traffic.readers]\nto = \"blog\"\nexecutor = \"constant-arrival-rate\"\nrate = \"1/s\"\nmix = { post = 1 }\n";
    let scenario = Scenario::parse(Path::new("one.toml"), text).unwrap_or_else(|p| panic!("{p}"));
    let stack = start(&scenario);
    let (shop, blog) = (stack.entry("shop")[0], stack.entry("blog")[0]);
    let both = || {
        let began = Instant::now();
        std::thread::scope(|scope| {
            let other = scope.spawn(|| get(blog, "/post").expect("answered").0);
            assert_eq!(get(shop, "/item/1").expect("answered").0, 200);
            assert_eq!(other.join().expect("no panic"), 200);
        });
        began.elapsed()
    };
    assert!(takes(shop) >= Duration::from_millis(120), "60 ms at half the speed");
    assert!(both() >= Duration::from_millis(240), "one after the other");
    stack.begin_fault(0).expect("it has less");
    assert!(both() >= Duration::from_millis(480), "at a quarter of the speed");
    stack.end_fault(0).expect("as before");
    eventually("it is as before", || both() < Duration::from_millis(480));
}

#[test]
fn time_is_stolen_in_bursts() {
    let text = shop("", "workers = 4", &["work = \"10ms\""], &[]).source.text.clone();
    let steal = "steal = { share = \"90%\", bursts = \"300ms\", gaps = \"300ms\" }";
    let text = text.replace("count = 2\ncores", &format!("count = 2\n{steal}\ncores"));
    let stack = start(&Scenario::parse(Path::new("steal.toml"), text).unwrap_or_else(|p| panic!("{p}")));
    let shop = stack.entry("shop")[0];
    let once = || {
        let began = Instant::now();
        assert_eq!(get(shop, "/item/1").expect("answered").0, 200);
        began.elapsed()
    };
    for _ in 0..2 {
        eventually("a burst", || once() > Duration::from_millis(90));
        eventually("a gap", || once() < Duration::from_millis(60));
    }
}

#[test]
fn a_service_grows_with_its_load_and_shrinks_again() {
    let scale = "autoscale = { min = 1, metric = \"workers\", target = \"50%\", interval = \"200ms\", boot = \"100ms\", \
                 drain = \"5s\", down_after = \"600ms\" }";
    let text = shop("", &format!("workers = 2\n{scale}"), &["wait = \"200ms\""], &[]).source.text.clone();
    let text = text.replace("count = 2\ncores", "count = 3\ncores");
    let stack = start(&Scenario::parse(Path::new("scale.toml"), text).unwrap_or_else(|p| panic!("{p}")));
    let front = stack.entry("balancer")[0];
    let present = || figure(&stack, "shop", 1, "instances");
    assert_eq!((present(), figure(&stack, "balancer", 1, "servers_up")), (1.0, 1.0));
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    while !over.load(std::sync::atomic::Ordering::Relaxed) {
                        assert_eq!(get(front, "/item/1").expect("answered").0, 200);
                    }
                })
            })
            .collect();
        eventually("all three are there", || {
            present() > 2.5 && figure(&stack, "balancer", 1, "servers_up") > 2.5
        });
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().expect("no request fails"));
    });
    eventually("one is left", || present() < 1.5 && figure(&stack, "balancer", 1, "servers_up") < 1.5);
    assert_eq!(get(front, "/item/1").expect("answered").0, 200);
}
