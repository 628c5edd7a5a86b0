//! Whatever breaks, in whatever order: once it is all over, every worker, core, connection and slot is free again.

use std::sync::atomic::AtomicBool;

use proptest::prelude::*;
use scenarios::Scenario;

use crate::Simulation;
use crate::call::CHECK;
use crate::client::connections::Connections;
use crate::world::World;

/// The scenario of trouble without its own faults.
fn stack() -> (&'static str, &'static str) {
    let text = include_str!("../tests/sim/trouble.toml");
    let faults = text.find("[[faults]]").expect("it has faults");
    let calibration = text.find("[calibration]").expect("it has a calibration");
    (&text[..faults], &text[calibration..])
}

#[derive(Clone, Debug)]
struct Break {
    at_ms: u32,
    for_ms: u32,
    what: &'static str,
}

const WHAT: [&str; 57] = [
    r#"kill = "component:sessions""#,
    r#"hang = "component:sessions""#,
    r#"flush = "component:sessions""#,
    r#"kill = "component:resize[1]""#,
    r#"hang = "component:resize[2]""#,
    r#"unplug = "host:spare[1]""#,
    r#"kill = "host:spare[3]""#,
    r#"kill = "component:invalidations""#,
    r#"kill = "component:carts[2]""#,
    r#"hang = "component:carts[1]""#,
    r#"unplug = "host:carts[3]""#,
    r#"partition = ["app", "carts"]"#,
    r#"hang = "component:invalidations""#,
    r#"unplug = "host:mail""#,
    r#"hang = "component:balancer[1]""#,
    r#"unplug = "component:balancer[2]""#,
    r#"kill = "host:app[1]""#,
    r#"kill = "host:app[2]""#,
    r#"kill = "host:app[3]""#,
    r#"kill = "component:shop[1]""#,
    r#"kill = "host:tools[1]""#,
    r#"kill = "component:images[2]""#,
    r#"kill = "host:edge[1]""#,
    r#"kill = "component:balancer[2]""#,
    r#"kill = "component:objects""#,
    r#"kill = "component:archive""#,
    r#"kill = "host:db""#,
    r#"kill = "component:varnish[1]""#,
    r#"hang = "component:varnish[2]""#,
    r#"serve_500 = "component:varnish[3]""#,
    r#"hang = "host:app[1]""#,
    r#"hang = "component:shop[2]""#,
    r#"hang = "component:images[1]""#,
    r#"hang = "component:objects""#,
    r#"hang = "component:archive""#,
    r#"unplug = "host:app[1]""#,
    r#"unplug = "host:app[2]""#,
    r#"unplug = "host:tools[2]""#,
    r#"unplug = "host:data""#,
    r#"unplug = "host:db""#,
    r#"serve_500 = "component:shop[1]""#,
    r#"serve_500 = "component:images[1]""#,
    r#"serve_500 = "component:balancer[1]""#,
    r#"slow = { target = "component:shop[*]", times = 5 }"#,
    r#"slow = { target = "host:data", times = 3 }"#,
    r#"error_rate = { target = "component:shop[1]", share = "30%" }"#,
    r#"error_rate = { target = "component:balancer[1]", share = "100%" }"#,
    r#"cpu_steal = { target = "host:app[*]", share = "80%" }"#,
    r#"partition = ["app", "data"]"#,
    r#"partition = ["edge", "app"]"#,
    r#"delay = { between = ["app", "db"], added = "exponential(mean=20ms)" }"#,
    r#"loss = { between = ["clients", "edge"], share = "20%" }"#,
    r#"flush = "component:objects""#,
    r#"disk_full = "component:archive""#,
    r#"disk_full = "component:objects""#,
    r#"disk_full = "component:invalidations""#,
    r#"deploy = { component = "shop", drain = "500ms", down = "300ms", warm_up = "200ms", slower = 3 }"#,
];

/// What the network may be like.
const NETWORKS: [&str; 2] = [
    "",
    r#"
[[network]]
between = ["clients", "edge"]
latency = "exponential(mean=10ms)"
bandwidth = "10Mbit/s"
loss = "1%"
[[network]]
between = ["edge", "app"]
latency = "200us"
[[network]]
between = ["app", "data"]
bandwidth = "100Mbit/s"
loss = "0.1%"
[[network]]
between = ["app", "carts"]
latency = "exponential(mean=300us)"
loss = "0.1%"
"#,
];

fn breaks() -> impl Strategy<Value = Vec<Break>> {
    let one = (0_u32..12_000, 1_u32..4_000, 0..WHAT.len()).prop_map(|(at_ms, for_ms, i)| Break {
        at_ms,
        for_ms,
        what: WHAT[i],
    });
    proptest::collection::vec(one, 1..12)
}

/// What machines may be like.
const MACHINES: [&str; 7] = [
    "",
    "breakdowns = { up = \"exponential(mean=4s)\", down = \"exponential(mean=500ms)\" }",
    "scheduling = \"processor-sharing\"",
    "scheduling = \"priority\"",
    "scheduling = \"preemptive-priority\"",
    "cpu_credits = { per_hour = 60 }",
    "steal = { share = \"50%\", bursts = \"exponential(mean=100ms)\", gaps = \"exponential(mean=200ms)\" }",
];

/// The memory of the machines of the service in the file.
const PLENTY: &str = "memory = \"1TiB\"";

/// What memory the machines of the service may have: plenty, some that it swaps, too little (and a slow interface).
const MEMORIES: [&str; 3] = [
    PLENTY,
    "memory = \"120MiB\"\nswap = \"1GiB\"\ndisk = \"ssd\"",
    "memory = \"90MiB\"\nswap = \"30MiB\"\ndisk = \"nvme\"\nnic = \"20Mbit/s\"",
];

/// How many of the stores' keys are followed.
const SAMPLINGS: [&str; 2] = ["exact", "1/16"];

fn left_over(
    faults: &[Break],
    machine: &str,
    memory: &str,
    network: &str,
    sampling: &str,
    seed: u32,
) -> Result<(), TestCaseError> {
    let (head, tail) = stack();
    let faults: String = faults
        .iter()
        .map(|f| {
            let lasts = !["flush", "deploy"].iter().any(|kind| f.what.starts_with(kind));
            let length = if lasts { format!("for = \"{}ms\"\n", f.for_ms) } else { String::new() };
            format!("[[faults]]\nat = \"{}ms\"\n{length}{}\n", f.at_ms, f.what)
        })
        .collect();
    let text = format!("{head}{network}{faults}{tail}")
        .replace("[hosts.app]", &format!("[hosts.app]\n{machine}"))
        .replace(PLENTY, memory)
        .replace("\"2TiB\"", if memory == PLENTY { "\"2TiB\"" } else { "\"50MiB\"" })
        .replace(
            "[hosts.data]",
            if memory == PLENTY { "[hosts.data]" } else { "[hosts.data]\nmemory = \"350kB\"" },
        )
        .replace("[hosts.db]", &format!("[hosts.db]\n{machine}"))
        .replace("seed = 1", &format!("seed = {seed}\nsampling = \"{sampling}\""))
        .replace("duration = \"40s\"", "duration = \"13s\"");
    let scenario = Scenario::parse("trouble.toml", text).expect("it is good with any faults");
    let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
    let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
    prop_assert_eq!(outcome.counts.due, outcome.counts.ok + outcome.counts.failed);
    prop_assert_eq!(outcome.evidence.violations(), Vec::<String>::new());
    let world = &mut simulation.world;
    // Requests that nobody waits for any more still run to their end; faults end as well. A segment that is lost again
    // and again is sent again after up to two minutes.
    let in_use = |world: &World| world.calls.iter().filter(|(_, c)| c.parent != CHECK).count();
    for over in [60_000_000_000, 200_000_000_000, 600_000_000_000] {
        while world.events.next_time() < over {
            let (at, token) = world.events.pop().expect("there is a next one");
            world.handle(at, token);
        }
        if in_use(world) == 0 {
            break;
        }
    }
    prop_assert_eq!(in_use(world), 0, "slots in use");
    for (i, instance) in world.instances.iter().enumerate() {
        prop_assert_eq!((instance.share.busy.level(), instance.share.queue.level()), (0, 0));
        prop_assert!(instance.parked.is_empty(), "instance {} has calls parked", i);
        let off = u32::from(world.fleets.iter().any(|fleet| fleet.is_off(i as u16)));
        let faults = (instance.killed, instance.stopped, instance.unplugged, instance.broken);
        prop_assert_eq!(faults, (off, 0, 0, 0));
        prop_assert_eq!((instance.disk_full, instance.slow, instance.error_share), (0, 1.0, 0.0));
    }
    for (i, service) in world.services.iter().enumerate() {
        prop_assert_eq!(service.in_service.level(), 0, "workers of service {} are busy", i);
        let waiting = service.holding.as_ref().map_or(0, |holding| holding.workers.level());
        prop_assert_eq!((service.held, waiting), (0, 0), "workers of service {} wait on connections", i);
        prop_assert_eq!((service.waiting.len(), service.queue.level()), (0, 0));
    }
    prop_assert!(world.jobs.iter().all(|job| job.is_idle()), "a job goes on");
    for cache in &world.caches {
        prop_assert!(cache.contents.is_idle(), "nobody fetches and nobody waits");
        cache.contents.check();
        prop_assert!(
            cache.threads.as_ref().is_none_or(|threads| threads.at_rest()),
            "threads work or are waited for"
        );
    }
    for store in &world.stores {
        prop_assert!(!store.running);
        prop_assert_eq!((store.waiting.len(), store.queue.level(), store.busy.level()), (0, 0, 0));
        let contents = &store.contents;
        prop_assert!(contents.adds_up(), "memory is what its records take");
    }
    for database in &world.databases {
        prop_assert_eq!((database.in_service.level(), database.waiting.len()), (0, 0));
        prop_assert!(database.locks.is_empty());
    }
    for queue in &world.queues {
        prop_assert_eq!((queue.waiting.len(), queue.ready.level(), queue.in_hand.level()), (0, 0, 0));
        prop_assert!(queue.unacknowledged.iter().all(|n| *n == 0));
    }
    for cores in &world.cores {
        prop_assert_eq!((cores.line.waiting(world.now).count(), cores.queue.len()), (0, 0));
        if let Some(special) = &cores.special {
            prop_assert_eq!((special.processor.running(), special.processor.waiting()), (0, 0));
        }
    }
    for (client, traffic) in world.clients.iter().zip(&scenario.traffic) {
        let free = match &client.connections {
            Connections::Alike { open, lost } => open + lost,
            Connections::Numbered { open, lost, .. } => (open.len() + lost.len()) as u32,
            Connections::Own { lost, .. } => lost.len() as u32,
        };
        prop_assert_eq!((client.in_flight, client.waiting.len(), free), (0, 0, traffic.connections));
    }
    prop_assert_eq!(world.users_present(), 0, "users are there");
    prop_assert!(world.records.are_at_rest(), "a session's row is locked");
    prop_assert_eq!(world.missed.in_use(), 0);
    prop_assert!(world.guards.at_rest(), "a policy still counts something: {:?}", world.guards);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_left_over_whatever_breaks(faults in breaks(), machine in 0..MACHINES.len(), memory in 0..MEMORIES.len(), network in 0..NETWORKS.len(), sampling in 0..SAMPLINGS.len(), seed in 1_u32..1_000) {
        left_over(&faults, MACHINES[machine], MEMORIES[memory], NETWORKS[network], SAMPLINGS[sampling], seed)?;
    }
}
