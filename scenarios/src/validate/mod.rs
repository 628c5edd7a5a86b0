//! From the file as written to the file as meant: names become indices, defaults are filled in, cross-field rules hold.
//!
//! Every problem is reported in one pass: where a part is broken, a stand-in takes its place so that the rest is still
//! checked; a scenario comes out only where there was no problem at all.

mod balancer;
mod calibration;
mod calls;
mod cdn;
mod component;
mod exchange;
mod fault;
mod host;
mod http_cache;
mod job;
mod keyspace;
mod kv_store;
mod names;
mod network;
mod outcome;
mod plan;
mod policy;
mod queue;
mod rate;
mod replay;
mod request;
mod service;
mod sql_store;
mod traffic;
mod twin;
mod variant;
mod workers;

use std::collections::BTreeSet;
use std::path::Path;

use sha2::{Digest, Sha256};
use toml::de::DeTable;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::scenario::{Component, ComponentKind, Executor, Policy, Run, Scenario, Source};
use crate::units::{Seed, SimTime};
use crate::wire::decode::{Decode, Decoder};
use crate::wire::{self, File};
pub(crate) use keyspace::record_bytes;
use names::Names;
use traffic::Around;

/// No file is longer.
const TEXT_LIMIT: usize = 4 << 20;
/// Nothing lasts less.
const SHORTEST: SimTime = SimTime::from_millis(1);

/// Reads a text; see [`Scenario::parse`].
pub(crate) fn scenario(path: &Path, text: String) -> Result<Scenario, Diagnostics> {
    if text.len() > TEXT_LIMIT {
        return Err(Diagnostic::of_file(path, format!("{} bytes", text.len()), "at most 4MiB").into());
    }
    let mut d = Decoder::new(path, &text);
    let (file, errors) = decoded::<File>(&mut d, &text);
    if !errors.is_empty() {
        return Err(syntax_problems(d, &errors));
    }
    let file = file.expect("a document is a table");
    let scenario = Validator::new(file, d).run();
    let (mut scenario, problems) = scenario;
    if !problems.is_empty() {
        return Err(Diagnostics::new(problems));
    }
    let text = match scenario.calibration.included.take() {
        Some(overlay) => crate::overlay::written_out(&text, &overlay, &scenario.calibration.unknown),
        None => text,
    };
    scenario.source.hash = hash(&text, &scenario);
    scenario.source.path = path.to_owned();
    scenario.source.text = text;
    Ok(scenario)
}

/// Decodes a whole text, as far as it is TOML, and what its parser objects to.
fn decoded<T: Decode>(d: &mut Decoder<'_>, text: &str) -> (Option<T>, Vec<toml::de::Error>) {
    let (tree, errors) = DeTable::parse_recoverable(text);
    let node = toml::Spanned::new(tree.span(), toml::de::DeValue::Table(tree.into_inner()));
    d.enter("", 0, &node);
    (T::decode(&node, "", d), errors)
}

/// SHA-256 of the text, followed by a line for each file that is replayed or feeds requests.
fn hash(text: &str, scenario: &Scenario) -> String {
    let mut digest = Sha256::new_with_prefix(text.as_bytes());
    for traffic in &scenario.traffic {
        if let Executor::Replay(replay) = &traffic.executor {
            digest.update(format!("replay {} {}\n", traffic.name, replay.hash));
        }
    }
    for feed in &scenario.feeds {
        digest.update(format!("feed {} {}\n", feed.name, feed.hash));
    }
    hexadecimal(&digest.finalize())
}

/// Bytes in lower-case hexadecimal.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").expect("writing to a string does not fail");
        hex
    })
}

/// What the TOML parser objects to, and of what decoding found all that its recovery cannot have caused.
fn syntax_problems(mut d: Decoder<'_>, errors: &[toml::de::Error]) -> Diagnostics {
    let lines: Vec<u32> =
        errors.iter().filter_map(toml::de::Error::span).map(|span| d.position(span.start).0).collect();
    // What recovery made up stands at the text's first byte.
    d.problems.retain(|p| p.found != "nothing" && !lines.contains(&p.line) && (p.line, p.column) != (1, 1));
    for error in errors {
        let (found, expected) = match error.message().split_once(", expected ") {
            Some((found, expected)) => (found, expected),
            None => (error.message(), "valid TOML"),
        };
        let offset = error.span().map_or(0, |span| span.start);
        d.problem_at_offset(offset, "TOML", found.to_owned(), expected.to_owned(), None);
    }
    Diagnostics::new(d.problems)
}

/// A word with its indefinite article.
fn article(kind: &str) -> String {
    format!("{} {kind}", if kind.starts_with("sql") { "an" } else { "a" })
}

/// The state of one pass.
struct Validator<'t> {
    file: File,
    d: Decoder<'t>,
    hosts: Names,
    components: Names,
    keyspaces: Names,
    classes: Names,
    policies: Names,
    /// Policies that stand in steps, in the order of the file.
    inline_policies: Vec<Policy>,
    /// Calls that lead back to who waits for them, which several kinds of traffic may lead to.
    reported_cycles: BTreeSet<String>,
    /// Components whose kind did not decode: reported once, not again by everything that refers to them.
    of_unknown_kind: Vec<bool>,
    /// Where those faults stand in the file that the run has, in their order there.
    faults_of_run: Vec<String>,
}

impl<'t> Validator<'t> {
    fn new(file: File, d: Decoder<'t>) -> Self {
        let hosts = Names::new("host", "hosts", file.hosts.iter().flat_map(|n| &n.0).map(|(n, _)| n));
        let components =
            Names::new("component", "components", file.components.iter().flat_map(|n| &n.0).map(|(n, _)| n));
        let keyspaces = Names::new("keyspace", "keyspaces", file.keyspaces.0.iter().map(|(n, _)| n));
        let classes =
            Names::new("request class", "requests", file.requests.iter().flat_map(|n| &n.0).map(|(n, _)| n));
        let policies = Names::new("policy", "policies", file.policies.0.iter().map(|(n, _)| n));
        let of_unknown_kind =
            file.components.iter().flat_map(|n| &n.0).map(|(_, c)| c.kind.is_none()).collect();
        Self {
            file,
            d,
            hosts,
            components,
            keyspaces,
            classes,
            policies,
            inline_policies: Vec::new(),
            reported_cycles: BTreeSet::new(),
            of_unknown_kind,
            faults_of_run: Vec::new(),
        }
    }

    /// Records a problem with what stands at a path, quoting it.
    fn problem(&mut self, at: &str, expected: impl Into<String>, hint: impl Into<Option<String>>) {
        let found = self.d.locations.get(at).map_or_else(|| "nothing".to_owned(), |l| l.found.clone());
        self.d.problem(at, found, expected, hint.into());
    }

    /// Records that a component is of the wrong kind for who refers to it.
    fn expect_kind(
        &mut self,
        at: &str,
        id: u16,
        components: &[Component],
        expected: &str,
        fits: fn(&ComponentKind) -> bool,
    ) {
        let kind = &components[usize::from(id)].kind;
        if !fits(kind) && !self.of_unknown_kind[usize::from(id)] {
            self.problem(at, format!("{expected}, not {}", article(kind.name())), None);
        }
    }

    /// A duration that must not be zero.
    fn positive(&mut self, at: &str, span: SimTime) -> SimTime {
        if span < SHORTEST {
            self.problem(at, "a duration of at least 1ms", None);
        }
        span
    }

    fn run(mut self) -> (Scenario, Vec<Diagnostic>) {
        if self.file.title.as_ref().is_some_and(|t| t.trim().is_empty() || t.contains('\n')) {
            self.problem("title", "a title in one line", None);
        }
        let run = self.run_frame();
        let hosts = self.hosts();
        let network = self.network(&hosts);
        let components = self.components(&hosts);
        let mut keyspaces = self.keyspaces(&components);
        let jobs = self.jobs(&run, &hosts);
        self.memory(&hosts, &components, &keyspaces);
        let mut policies = self.policies();
        let (kept, feeds) = (self.kept(), self.feeds());
        let requests = self.requests(&components, &kept, &feeds);
        policies.append(&mut self.inline_policies);
        self.prefills(&components, &requests, &keyspaces);
        self.priorities(&hosts, &components, &jobs, &requests);
        let traffic = self.traffic(&Around {
            run: &run,
            components: &components,
            keyspaces: &keyspaces,
            requests: &requests,
        });
        for record in traffic.iter().filter_map(|traffic| traffic.session_record()) {
            keyspaces[record.keyspace.index()].has_sessions |= record.database.is_none();
        }
        let faults = self.faults(&run, &hosts, &components);
        self.faults_of_run = faults.iter().map(|fault| fault.place.clone()).collect();
        let files = self.file.thresholds.0.clone();
        let thresholds = self.thresholds("thresholds", &files);
        let variants = self.variants();
        let published = self.published(&variants);
        let planning = self.planning(&run, &hosts, &thresholds);
        let (play, score) = self.windows(&run, &variants);
        let twin = self.twin(&variants);
        let calibration = self.calibration(&components);
        let scenario = Scenario {
            source: Source {
                path: Default::default(),
                text: String::new(),
                hash: String::new(),
                engines: Vec::new(),
            },
            title: self.file.title.take().unwrap_or_default(),
            question: self.file.question.take(),
            answer: self.file.answer.take(),
            run,
            network,
            hosts,
            components,
            jobs,
            keyspaces,
            policies,
            requests,
            kept,
            feeds,
            traffic,
            faults,
            thresholds,
            published,
            variants,
            planning,
            play,
            score,
            twin,
            calibration,
            locations: std::mem::take(&mut self.d.locations),
        };
        (scenario, self.d.problems)
    }

    fn run_frame(&mut self) -> Run {
        let Some(run) = self.file.run.clone() else {
            return Run {
                duration: SimTime::from_secs(1),
                warmup: SimTime::ZERO,
                finds_warmup: false,
                from: SimTime::ZERO,
                seed: Seed(1),
                sampling: Default::default(),
            };
        };
        let duration = run.duration.unwrap_or(SimTime::from_secs(1));
        self.positive("run.duration", duration);
        let wire::decode::Count(seed) = run.seed;
        Run {
            duration,
            warmup: run.warmup.0.unwrap_or(SimTime::ZERO),
            finds_warmup: run.warmup.0.is_none(),
            from: run.from,
            seed: Seed(seed),
            sampling: run.sampling,
        }
    }
}
