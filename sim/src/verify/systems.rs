//! The systems that have closed solutions, each as a scenario, with what is read of a run and what it must be.
//!
//! The mean service is 1 ms unless said, so that times in milliseconds are in units of it. Loads, lengths and seeds were
//! fixed before the first run: the seed of replication r is r.

use std::fmt::Write as _;

use scenarios::memory::{record_bytes, table_bytes};

use super::formulas;
use super::reading::{Control, Reading};

/// One system: a scenario, the controls of its intervals, and the quantities that are known.
#[derive(Clone, Debug)]
pub(super) struct System {
    pub(super) name: &'static str,
    /// The scenario without its run.
    pub(super) text: String,
    /// How many independent runs make its intervals.
    pub(super) replications: usize,
    /// How long a replication of the full table is measured, in seconds.
    pub(super) seconds: u32,
    /// The same for the quick table; where nothing is said, a twenty-fifth.
    pub(super) quick_seconds: Option<u32>,
    /// How long it takes from empty until nothing of that is left: at least ten relaxation times.
    pub(super) warmup: u32,
    pub(super) controls: Vec<Control>,
    pub(super) quantities: Vec<Quantity>,
}

/// What is known of a system.
#[derive(Clone, Debug)]
pub(super) struct Quantity {
    pub(super) name: &'static str,
    pub(super) exact: f64,
    pub(super) reading: Reading,
    /// How far off is still right, for what is known only nearly; else the interval says.
    pub(super) tolerance: Option<f64>,
}

fn quantity(name: &'static str, exact: f64, reading: Reading) -> Quantity {
    Quantity { name, exact, reading, tolerance: None }
}

/// The table's systems, in its order.
pub(super) fn all() -> Vec<System> {
    vec![
        mm1(),
        mm2(),
        mm8(),
        mm64(),
        mm8_16(),
        mm20_20(),
        md1(),
        mg1(),
        processor_sharing(),
        priorities(),
        preemption(),
        breakdowns(),
        disasters(),
        tandem(),
        jackson(),
        closed(),
        lru(),
    ]
}

/// A service of so many cores and its host, both of this name.
fn station(name: &str, cores: u32) -> String {
    format!(
        "[hosts.{name}]\ncores = {cores}\n[components.{name}]\nkind = \"service\"\nhost = \"{name}\"\nworkers = 100000\n"
    )
}

/// A class of requests and what is done for it: pairs of the station and its law, the first at the entry.
fn class(name: &str, steps: &[(&str, &str)]) -> String {
    let mut text = format!("[requests.{name}]\npath = \"/{name}\"\n");
    for (i, (at, law)) in steps.iter().enumerate() {
        let elsewhere = if i > 0 && *at != steps[0].0 { format!("at = \"{at}\"\n") } else { String::new() };
        let _ = write!(text, "[[requests.{name}.steps]]\n{elsewhere}work = \"{law}\"\n");
    }
    text
}

/// Poisson arrivals at a component, with room for all.
fn arrivals(to: &str, per_second: f64, mix: &str) -> String {
    format!(
        "[traffic.users]\nto = \"{to}\"\nexecutor = \"constant-arrival-rate\"\nrate = \"{per_second}/s\"\n\
         arrivals = \"poisson\"\nmix = {{ {mix} }}\nconnections = 100000\nmax_in_flight = 100000\ntimeout = \"1h\"\n"
    )
}

/// Independent runs of a system.
const REPLICATIONS: usize = 64;

const EXPONENTIAL: &str = "exponential(mean=1ms)";

/// One station under Poisson arrivals.
fn queue(
    name: &'static str,
    cores: u32,
    load: f64,
    law: &str,
    seconds: u32,
    quantities: Vec<Quantity>,
) -> System {
    let per_second = load * 1e3;
    System {
        name,
        text: station("shop", cores)
            + &class("page", &[("shop", law)])
            + &arrivals("shop", per_second, "page = 1"),
        replications: REPLICATIONS,
        seconds,
        quick_seconds: None,
        warmup: 10,
        controls: vec![Control::arrivals(per_second), Control::utilisation("shop", load / f64::from(cores))],
        quantities,
    }
}

fn mm1() -> System {
    let quantities = vec![
        quantity("mean sojourn, ms", 1.0 + formulas::mmc_wait(1, 0.8, 1.0), Reading::MeanMillis(None)),
        quantity(
            "p99 sojourn, ms",
            formulas::mmc_sojourn_quantile(1, 0.8, 1.0, 0.99),
            Reading::PercentileMillis(99.0),
        ),
    ];
    queue("M/M/1, ρ = .8", 1, 0.8, EXPONENTIAL, 4_500, quantities)
}

fn mm2() -> System {
    // The mean number waiting over its value if all arrivals waited, which is ρ/(1 − ρ).
    let waiting = Reading::Sampled { component: "shop", metric: results::sample::QUEUE, factor: 0.2 / 0.8 };
    let quantities = vec![
        quantity("share that waits (Erlang C)", formulas::erlang_c(2, 1.6), waiting),
        quantity("mean sojourn, ms", 1.0 + formulas::mmc_wait(2, 1.6, 1.0), Reading::MeanMillis(None)),
    ];
    queue("M/M/2, ρ = .8", 2, 1.6, EXPONENTIAL, 500, quantities)
}

fn mm8() -> System {
    let quantities = vec![
        quantity("mean sojourn, ms", 1.0 + formulas::mmc_wait(8, 6.4, 1.0), Reading::MeanMillis(None)),
        quantity(
            "p99 sojourn, ms",
            formulas::mmc_sojourn_quantile(8, 6.4, 1.0, 0.99),
            Reading::PercentileMillis(99.0),
        ),
    ];
    queue("M/M/8, ρ = .8", 8, 6.4, EXPONENTIAL, 36, quantities)
}

fn mm64() -> System {
    let sojourn = 1.0 + formulas::mmc_wait(64, 57.6, 1.0);
    let quantities = vec![quantity("mean sojourn, ms", sojourn, Reading::MeanMillis(None))];
    // Its relaxation time is a few service times.
    System { warmup: 2, ..queue("M/M/64, ρ = .9", 64, 57.6, EXPONENTIAL, 2, quantities) }
}

/// A station that answers 503 to what comes while all of its `places` workers are taken; its cores are fewer.
fn lossy(name: &'static str, cores: u32, places: u32, load: f64, quantities: Vec<Quantity>) -> System {
    let per_second = load * 1e3;
    System {
        name,
        text: station("shop", cores)
            .replace("workers = 100000", &format!("workers = {places}\nbacklog = 0\nwhen_full = \"reject\""))
            + &class("page", &[("shop", EXPONENTIAL)])
            + &arrivals("shop", per_second, "page = 1"),
        replications: REPLICATIONS,
        seconds: 25,
        quick_seconds: None,
        warmup: 2,
        controls: vec![Control::arrivals(per_second)],
        quantities,
    }
}

fn mm8_16() -> System {
    let (lost, wait) = formulas::mmck(8, 16, 9.6, 1.0);
    let quantities = vec![
        quantity("share lost", lost, Reading::Failed),
        quantity("mean sojourn, ms", 1.0 + wait, Reading::MeanMillis(None)),
    ];
    lossy("M/M/8/16, a = 9.6", 8, 16, 9.6, quantities)
}

fn mm20_20() -> System {
    let quantities = vec![quantity("share lost (Erlang B)", formulas::erlang_b(20, 20.0), Reading::Failed)];
    lossy("M/M/20/20, a = 20", 20, 20, 20.0, quantities)
}

fn md1() -> System {
    let sojourn = 1.0 + formulas::mg1_wait(0.8, 1.0, 1.0);
    let quantities = vec![quantity("mean sojourn, ms", sojourn, Reading::MeanMillis(None))];
    System { quick_seconds: Some(10), ..queue("M/D/1, ρ = .8", 1, 0.8, "1ms", 300, quantities) }
}

fn mg1() -> System {
    let sojourn = 1.0 + formulas::mg1_wait(0.8, 1.0, formulas::second_moment(1.0, 2.0));
    let quantities = vec![quantity("mean sojourn, ms", sojourn, Reading::MeanMillis(None))];
    let law = "lognormal(mean=1ms, cv=2)";
    let system = queue("M/G/1, log-normal, cv 2, ρ = .8", 1, 0.8, law, 8_000, quantities);
    System { quick_seconds: Some(140), ..system }
}

fn tandem() -> System {
    let steps = [("first", EXPONENTIAL), ("second", EXPONENTIAL), ("third", EXPONENTIAL)];
    let text = steps.iter().map(|(name, _)| station(name, 8)).collect::<String>();
    let sojourn = formulas::jackson(6.4, &[(1.0, 1.0, 8); 3]);
    System {
        name: "tandem of three M/M/8, ρ = .8",
        text: text + &class("page", &steps) + &arrivals("first", 6_400.0, "page = 1"),
        replications: REPLICATIONS,
        seconds: 30,
        quick_seconds: None,
        warmup: 2,
        controls: vec![
            Control::arrivals(6_400.0),
            Control::utilisation("first", 0.8),
            Control::utilisation("second", 0.8),
            Control::utilisation("third", 0.8),
        ],
        quantities: vec![quantity("mean sojourn, ms", sojourn, Reading::MeanMillis(None))],
    }
}

/// Three stations; part of the requests go from the front to the first, part to the second, and those come back.
fn jackson() -> System {
    let text = station("front", 1)
        + &station("search", 2)
        + &station("cart", 1)
        + &class("find", &[("front", "exponential(mean=400us)"), ("search", EXPONENTIAL)])
        + &class(
            "buy",
            &[
                ("front", "exponential(mean=400us)"),
                ("cart", "exponential(mean=2ms)"),
                ("front", "exponential(mean=400us)"),
            ],
        )
        + &arrivals("front", 1_000.0, "find = 3, buy = 1");
    let stations = [(1.25, 0.4, 1), (0.75, 1.0, 2), (0.25, 2.0, 1)];
    System {
        name: "Jackson network with branching and return",
        text,
        replications: REPLICATIONS,
        seconds: 50,
        quick_seconds: None,
        warmup: 5,
        controls: vec![
            Control::arrivals(1_000.0),
            Control::utilisation("front", 0.5),
            Control::utilisation("search", 0.375),
            Control::utilisation("cart", 0.5),
        ],
        quantities: vec![quantity(
            "mean sojourn, ms",
            formulas::jackson(1.0, &stations),
            Reading::MeanMillis(None),
        )],
    }
}

/// All requests share the core; one in ten needs 3 ms, the others 1 ms in the mean. What a request waits depends on its own
/// size alone.
fn processor_sharing() -> System {
    let per_second = 800.0 / 1.2;
    let text = station("shop", 1).replace("cores = 1", "cores = 1\nscheduling = \"processor-sharing\"")
        + &class("large", &[("shop", "3ms")])
        + &class("page", &[("shop", "lognormal(mean=1ms, cv=2)")])
        + &arrivals("shop", per_second, "large = 1, page = 9");
    System {
        name: "M/G/1-PS, ρ = .8",
        text,
        replications: REPLICATIONS,
        seconds: 1_000,
        quick_seconds: None,
        warmup: 10,
        controls: vec![Control::arrivals(per_second), Control::utilisation("shop", 0.8)],
        quantities: vec![
            quantity(
                "mean sojourn, log-normal of cv 2, ms",
                formulas::processor_sharing(0.8, 1.0),
                Reading::MeanMillis(Some("page")),
            ),
            quantity(
                "mean sojourn of size 3, ms",
                formulas::processor_sharing(0.8, 3.0),
                Reading::MeanMillis(Some("large")),
            ),
        ],
    }
}

/// Two classes on one core, the first more urgent, at loads .3 and .5: (arrivals, mean, second moment) of each.
const CLASSES: [(f64, f64, f64); 2] = [(0.3, 1.0, 2.0), (0.5, 1.0, 2.0)];

fn two_classes(name: &'static str, scheduling: &str, sojourns: [f64; 2]) -> System {
    let text = station("shop", 1).replace("cores = 1", &format!("cores = 1\nscheduling = \"{scheduling}\""))
        + &class("urgent", &[("shop", EXPONENTIAL)]).replace("path", "priority = 1\npath")
        + &class("patient", &[("shop", EXPONENTIAL)])
        + &arrivals("shop", 800.0, "urgent = 3, patient = 5");
    System {
        name,
        text,
        replications: REPLICATIONS,
        seconds: 1_000,
        quick_seconds: None,
        warmup: 10,
        controls: vec![Control::arrivals(800.0), Control::utilisation("shop", 0.8)],
        quantities: vec![
            quantity("mean sojourn, urgent, ms", sojourns[0], Reading::MeanMillis(Some("urgent"))),
            quantity("mean sojourn, patient, ms", sojourns[1], Reading::MeanMillis(Some("patient"))),
        ],
    }
}

fn priorities() -> System {
    let waits = formulas::priorities(&CLASSES);
    two_classes("M/M/1, two priorities", "priority", [1.0 + waits[0], 1.0 + waits[1]])
}

fn preemption() -> System {
    let sojourns = formulas::preemptive_priorities(&CLASSES);
    two_classes("M/M/1, two priorities, preemptive", "preemptive-priority", [sojourns[0], sojourns[1]])
}

/// A machine whose core is stolen for 5 ms every 20 ms, both in the mean, and goes on where it was.
fn breakdowns() -> System {
    let steal =
        "steal = { share = \"100%\", gaps = \"exponential(mean=20ms)\", bursts = \"exponential(mean=5ms)\" }";
    System {
        name: "M/M/1 with breakdowns",
        text: station("shop", 1).replace("cores = 1", &format!("cores = 1\n{steal}"))
            + &class("page", &[("shop", EXPONENTIAL)])
            + &arrivals("shop", 400.0, "page = 1"),
        replications: REPLICATIONS,
        seconds: 1_300,
        quick_seconds: None,
        warmup: 10,
        controls: vec![Control::arrivals(400.0)],
        quantities: vec![quantity(
            "mean sojourn, ms",
            formulas::breakdowns(0.4, 1.0, 20.0, 5.0),
            Reading::MeanMillis(None),
        )],
    }
}

/// A process that dies every 100 ms in the mean with all that it has in hand, and is back after 25 ms.
fn disasters() -> System {
    let laws = "breakdowns = { up = \"exponential(mean=100ms)\", down = \"exponential(mean=25ms)\" }";
    let (failed, inside) = formulas::disasters(0.8, 1.0, 100.0, 25.0);
    System {
        name: "M/M/1 with disasters, ρ = .8",
        text: station("shop", 1).replace("workers", &format!("{laws}\nworkers"))
            + &class("page", &[("shop", EXPONENTIAL)])
            + &arrivals("shop", 800.0, "page = 1"),
        replications: REPLICATIONS,
        seconds: 1_300,
        quick_seconds: None,
        warmup: 10,
        controls: vec![Control::arrivals(800.0), Control::up("shop", 0.8)],
        quantities: vec![
            quantity("share that fails", failed, Reading::Failed),
            quantity("mean time of those not refused, ms", inside, Reading::MeanMillisInside),
        ],
    }
}

/// Fifty users who think for 10 ms in the mean between their requests, each of which visits three stations.
fn closed() -> System {
    let steps = [
        ("first", "exponential(mean=100us)"),
        ("second", "exponential(mean=150us)"),
        ("third", "exponential(mean=250us)"),
    ];
    let (throughput, response) = formulas::mean_value_analysis(50, 10.0, &[0.10, 0.15, 0.25]);
    System {
        name: "closed network, N = 50, Z = 10 ms",
        text: steps.iter().map(|(name, _)| station(name, 1)).collect::<String>()
            + &class("page", &steps)
            + "[traffic.users]\nto = \"first\"\nexecutor = \"constant-vus\"\nvus = 50\n\
               think = \"exponential(mean=10ms)\"\nmix = { page = 1 }\ntimeout = \"1h\"\n",
        replications: REPLICATIONS,
        seconds: 50,
        quick_seconds: None,
        warmup: 2,
        controls: Vec::new(),
        quantities: vec![
            quantity("throughput, per ms", throughput, Reading::ThroughputPerMilli),
            quantity("mean response, ms", response, Reading::MeanMillis(None)),
        ],
    }
}

/// A cache that forgets what was used least recently, asked for keys by Zipf's law. Redis's sampling is exact LRU in the
/// limit of many samples, and its clock ticks in seconds, so the pace is one at which a key's age is many of them.
fn lru() -> System {
    let places = 100_000;
    let memory = places * record_bytes("items:123456".len() as u64, 900, true) + 2 * table_bytes(places);
    let text = "[hosts.app]\n[hosts.data]\n\
        [components.shop]\nkind = \"service\"\nhost = \"app\"\nworkers = 1000\n\
        [components.objects]\nkind = \"sql-store\"\nhost = \"app\"\nread = \"0s\"\n\
        [components.cache]\nkind = \"kv-store\"\nhost = \"data\"\n\
        eviction = \"volatile-lru\"\nsamples = 64\n\
        [keyspaces.items]\nin = \"cache\"\nkeys = 500000\nttl = \"1000d\"\npopularity = \"zipf(1.0)\"\n\
        value = \"900B\"\nprefill = 100000\n\
        [requests.page]\npath = \"/{items}\"\n[[requests.page.steps]]\n\
        get = { keyspace = \"items\", on_miss = { from = \"objects\", fill = true } }\n";
    System {
        name: "LRU, 100k of 500k keys, Zipf 1",
        text: text.replace("samples", &format!("max_memory = \"{memory}B\"\nsamples"))
            + &arrivals("shop", 5_000.0, "page = 1"),
        replications: 8,
        seconds: 200,
        quick_seconds: Some(50),
        warmup: 80,
        controls: Vec::new(),
        quantities: vec![Quantity {
            name: "hit ratio (Che)",
            exact: formulas::che_lru(500_000, 100_000, 1.0),
            reading: Reading::Hits { store: "cache" },
            tolerance: Some(0.002),
        }],
    }
}
