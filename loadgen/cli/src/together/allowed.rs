//! What an agent may be asked for: its own command line says so, whatever a coordinator wants.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;

use anyhow::{Context as _, bail, ensure};
use loadgen::http::Limits;
use loadgen::{Entries, Entry, Options, Share, target};
use scenarios::Scenario;
use toml::de::{DeTable, DeValue};

use super::words::{MOST_TEXT_BYTES, Order, Place};
use crate::arguments::{Agency, Trusted};
use crate::play;

/// An agent plays on so many threads at most, and accepts answers of so many bytes at most, whatever it is asked for.
const MOST_THREADS: u32 = 64;
const MOST_BODY_BYTES: u64 = 1 << 30;

/// What an agent's command line allows.
#[derive(Debug)]
pub(super) struct Allowed {
    targets: Vec<String>,
    authorised: bool,
    trusted: Trusted,
}

/// What is going to be played.
#[derive(Debug)]
pub(super) struct Accepted {
    pub(super) scenario: Scenario,
    pub(super) entries: Entries,
    pub(super) options: Options,
}

impl Allowed {
    /// Reads the command line: each target must be one that could be loaded from here now.
    pub(super) fn new(agency: &Agency) -> anyhow::Result<Self> {
        for url in &agency.allow {
            let resolved = target::resolve(url, agency.i_am_authorised).context("--allow")?;
            ensure!(
                resolved.base_path.is_empty(),
                "--allow: found {url:?}, expected no path: a host and its port are allowed, or not"
            );
        }
        Ok(Self {
            targets: agency.allow.clone(),
            authorised: agency.i_am_authorised,
            trusted: agency.trusted.clone(),
        })
    }

    /// Holds an order against what is allowed here, and makes of it what can be played.
    pub(super) fn accept(&self, order: &Order) -> anyhow::Result<Accepted> {
        // First the place: of one that is not allowed nothing else is looked at, and no name is resolved.
        let entries = self.entries(&order.to)?;
        ensure!(
            order.text.len() <= MOST_TEXT_BYTES,
            "found a scenario of {} bytes, expected at most {MOST_TEXT_BYTES}",
            order.text.len()
        );
        refuse_files(&order.text)?;
        let file = order.file.rsplit('/').next().unwrap_or_default();
        let scenario =
            Scenario::parse(file, order.text.clone()).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        ensure!(
            scenario.source.hash == order.hash,
            "the scenario is another one than the coordinator's: found hash {}, expected {}",
            scenario.source.hash,
            order.hash
        );
        loadgen::supports::check(&scenario).map_err(|problems| anyhow::anyhow!("{problems}"))?;
        loadgen::limits::check(&scenario)?;
        let share = Share::parse(&format!("{}/{}", order.segment, order.of))
            .map_err(|problem| anyhow::anyhow!(problem))?;
        let mut options = Options::default();
        let threads = NonZeroU32::new(order.threads).filter(|threads| threads.get() <= MOST_THREADS);
        options.threads = threads
            .with_context(|| format!("found {} threads, expected 1 to {MOST_THREADS}", order.threads))?;
        options.share = share;
        ensure!(
            order.max_body_bytes <= MOST_BODY_BYTES,
            "found answers of {} bytes, expected at most {MOST_BODY_BYTES}",
            order.max_body_bytes
        );
        options.limits = Limits { body_bytes: order.max_body_bytes, ..Limits::default() };
        let traffics = scenario.traffic.len();
        let entries = match entries {
            Found::Target(entry, base_path, tls) => {
                Entries { by_traffic: vec![vec![entry]; traffics], base_path, tls }
            }
            Found::Stack(by_traffic) => {
                let found = by_traffic.len();
                ensure!(found == traffics, "found entries of {found} traffics, expected {traffics}");
                ensure!(
                    by_traffic.iter().all(|entries| !entries.is_empty()),
                    "found a traffic without entries"
                );
                Entries { by_traffic, base_path: String::new(), tls: None }
            }
        };
        Ok(Accepted { scenario, entries, options })
    }

    fn entries(&self, to: &Place) -> anyhow::Result<Found> {
        match to {
            Place::Target { url } => {
                self.allow(url)?;
                let resolved = target::resolve(url, self.authorised)?;
                let tls = play::tls(&resolved, &self.trusted).map_err(told)?;
                Ok(Found::Target(resolved.entry, resolved.base_path, tls))
            }
            Place::Stack { entries } => {
                if !self.targets.is_empty() {
                    bail!("asked for a stack on this machine, allowed here: {}", self.targets.join(", "));
                }
                if let Some((address, _)) =
                    entries.iter().flatten().find(|(address, _)| !address.ip().is_loopback())
                {
                    bail!("asked for a stack at {address}, expected loopback addresses");
                }
                let entry = |(address, host): &(SocketAddr, String)| {
                    let host = host.chars().filter(char::is_ascii_graphic).collect();
                    Entry { address: (*address).into(), host }
                };
                let of_traffic = |entries: &Vec<(SocketAddr, String)>| entries.iter().map(entry).collect();
                Ok(Found::Stack(entries.iter().map(of_traffic).collect()))
            }
        }
    }

    /// Whether a target is one of those named: scheme, host and port, as written.
    fn allow(&self, url: &str) -> anyhow::Result<()> {
        let asked = target::place(url)?;
        let same = |allowed: &String| match &asked {
            Some(_) => target::place(allowed).is_ok_and(|place| place == asked),
            None => allowed == url,
        };
        if self.targets.iter().any(same) {
            return Ok(());
        }
        let is_loopback = |(_, host, _): &(bool, String, u16)| {
            let literal = host.parse::<IpAddr>();
            literal.map_or(host == "localhost", |address| address.is_loopback())
        };
        match self.targets.is_empty() {
            true if asked.as_ref().is_some_and(is_loopback) => Ok(()),
            true => bail!(
                "asked for the target {url:?}, expected a loopback address\nhint: add --allow TARGET to the agent's command"
            ),
            false => bail!(
                "asked for the target {url:?}, allowed here: {}\nhint: add --allow to the agent's command, if it may be loaded from there",
                self.targets.join(", ")
            ),
        }
    }
}

/// Where an order leads.
enum Found {
    Target(Entry, String, Option<loadgen::Tls>),
    Stack(Vec<Vec<Entry>>),
}

/// A problem's message.
pub(super) fn told(problem: programs::Problem) -> anyhow::Error {
    match problem {
        programs::Problem::Scenario(problems) => anyhow::anyhow!("{problems}"),
        programs::Problem::Configuration(error) | programs::Problem::Failure(error) => error,
    }
}

/// Refuses scenarios that read files: those of another machine are not there, and those that are there are nobody else's to name.
pub(super) fn refuse_files(text: &str) -> anyhow::Result<()> {
    // A scenario's own reader makes the best of a text that is no TOML, and so might read files after all.
    let table = DeTable::parse(text).map_err(|error| anyhow::anyhow!("the scenario is no TOML: {error}"))?;
    match in_table(table.get_ref(), "") {
        None => Ok(()),
        Some(place) => bail!(
            "{place}: found a file, expected none where agents play: they have only the scenario's text\nhint: play it with --segment on \
             machines that have the file, and join the records with report merge"
        ),
    }
}

/// The first place where a table names a file: `feeds.NAME.file`, a replay's `file`, `calibration.include`, or a change of one of
/// them in a variant.
fn in_table(table: &DeTable<'_>, at: &str) -> Option<String> {
    table.iter().find_map(|(key, value)| {
        let (key, value) = (key.get_ref().as_ref(), value.get_ref());
        let place = if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") };
        let last = key.rsplit('.').next().unwrap_or(key);
        let names = matches!(last, "file" | "include") && value.is_str();
        if names { Some(place) } else { in_value(value, &place) }
    })
}

fn in_value(value: &DeValue<'_>, at: &str) -> Option<String> {
    match value {
        DeValue::Table(table) => in_table(table, at),
        DeValue::Array(values) => values.iter().find_map(|value| in_value(value.get_ref(), at)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use scenarios::library::QUICKSTART;

    use super::*;

    fn allowed(targets: &[&str]) -> Allowed {
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        Allowed { targets, authorised: false, trusted: Trusted::default() }
    }

    fn order(to: Place) -> Order {
        let scenario = Scenario::parse("quickstart.toml", QUICKSTART).expect("it is a scenario");
        Order {
            file: "quickstart.toml".to_owned(),
            text: QUICKSTART.to_owned(),
            hash: scenario.source.hash,
            segment: 2,
            of: 4,
            to,
            threads: 1,
            max_body_bytes: 1 << 20,
        }
    }

    fn target(url: &str) -> Order {
        order(Place::Target { url: url.to_owned() })
    }

    fn stack(address: &str) -> Order {
        let entry = (address.parse().expect("an address"), "balancer".to_owned());
        order(Place::Stack { entries: vec![vec![entry]] })
    }

    fn refused(allowed: &Allowed, order: &Order) -> String {
        format!("{:#}", allowed.accept(order).expect_err("refused"))
    }

    #[test]
    fn only_what_the_command_line_names_is_contacted() {
        let named = allowed(&["http://10.0.0.7:8080", "unix:/run/shop.sock"]);
        for good in ["http://10.0.0.7:8080", "http://10.0.0.7:8080/shop", "unix:/run/shop.sock"] {
            let accepted = named.accept(&target(good)).unwrap_or_else(|error| panic!("{good}: {error:#}"));
            assert_eq!((accepted.options.share.number(), accepted.options.share.of()), (2, 4));
        }
        let others = [
            "http://10.0.0.7",
            "http://10.0.0.8:8080",
            "https://10.0.0.7:8080",
            "http://127.0.0.1:8080",
            "http://10.0.0.7:8080.example",
            "unix:/run/other.sock",
            "http://name.that.is.not.resolved.example",
        ];
        for other in others {
            let why = refused(&named, &target(other));
            assert!(
                why.contains("allowed here: http://10.0.0.7:8080") || why.contains("target: found"),
                "{other}: {why}"
            );
        }
        assert!(refused(&named, &stack("127.0.0.1:8080")).contains("asked for a stack"));
    }

    #[test]
    fn without_a_name_only_loopback_is_contacted() {
        let none = allowed(&[]);
        none.accept(&target("http://127.0.0.1:8080")).expect("this machine");
        none.accept(&stack("127.0.0.1:8080")).expect("this machine");
        for other in ["http://10.0.0.7", "http://shop.example", "unix:/run/shop.sock"] {
            assert!(refused(&none, &target(other)).contains("--allow TARGET"), "{other}");
        }
        assert!(refused(&none, &stack("10.0.0.7:80")).contains("expected loopback addresses"));
    }

    #[test]
    fn a_scenario_that_names_files_or_is_too_long_or_another_is_refused() {
        let none = allowed(&[]);
        let with = |text: String| Order { text, ..target("http://127.0.0.1:8080") };
        let variant = "[variants.v]\nwhat = \"x\"\nset.\"feeds.users.file\" = \"/etc/passwd\"\n[calibration]";
        for (instead, place) in [
            ("[feeds.users]\nfile = \"/etc/passwd\"\n[calibration]", "feeds.users.file"),
            ("[calibration]\ninclude = \"costs.toml\"", "calibration.include"),
            (variant, "variants.v.set.feeds.users.file"),
        ] {
            let why = refused(&none, &with(QUICKSTART.replacen("[calibration]", instead, 1)));
            assert!(why.starts_with(&format!("{place}: found a file")), "{why}");
        }
        assert!(refused(&none, &with("[feeds".to_owned())).contains("no TOML"));
        let long = refused(&none, &with(format!("{QUICKSTART}{}", "#".repeat(MOST_TEXT_BYTES))));
        assert!(long.contains("expected at most 262144"), "{long}");
        let other = refused(&none, &with(QUICKSTART.replace("300/s", "301/s")));
        assert!(other.contains("another one than the coordinator's"), "{other}");
    }

    #[test]
    fn an_order_beyond_an_agents_own_limits_is_refused() {
        let of = |threads| Order { threads, ..target("http://127.0.0.1:8080") };
        allowed(&[]).accept(&of(MOST_THREADS)).expect("as many as there may be");
        for threads in [0, MOST_THREADS + 1, u32::MAX] {
            let why = refused(&allowed(&[]), &of(threads));
            assert!(why.contains(&format!("found {threads} threads, expected 1 to 64")), "{why}");
        }
        let long = Order { max_body_bytes: MOST_BODY_BYTES + 1, ..target("http://127.0.0.1:8080") };
        assert!(refused(&allowed(&[]), &long).contains("expected at most 1073741824"));
    }
}
