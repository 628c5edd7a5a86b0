//! What of a scenario's file the generator implements: `scenarios::supports` refuses the rest with its place.
//!
//! What stands behind the entry is no matter of the generator's, but whoever runs that must implement it: the reference
//! stack has a list of its own.

use scenarios::scenario::{
    ComponentKind, Executor, Extract, LoopEngine, RequestClass, Reuse, SessionState, TextPart, Traffic,
};
use scenarios::{Diagnostic, Diagnostics, Scenario};

use crate::http::UNDONE;

const SUPPORTS: &[&str] = &[
    // The system behind the entry, and what breaks in it.
    "hosts.**",
    "network[*].{latency, bandwidth, loss}",
    "network[*].between.**",
    "components.**",
    "policies.**",
    "jobs.**",
    "requests.*.steps.**",
    "faults.**",
    "calibration.**",
    // The plan draws keys from these; the rest of a keyspace is the store's.
    "keyspaces.**",
    "requests.*.{method, path, response}",
    // What caches on the way do with the answers; the requests say which value of a `vary` they have.
    "requests.*.cache.**",
    "requests.*.esi.**",
    "traffic(executor=constant-arrival-rate).{reuse, max_connection_age, connect_timeout, http2, streams}",
    "traffic(executor=constant-arrival-rate).{to, timeout, arrivals, connections, max_in_flight, growth}",
    "traffic(executor=constant-arrival-rate).mix.*",
    "traffic(executor=constant-arrival-rate).session.{requests, think}",
    "traffic(executor=constant-arrival-rate).session.returns.{share, after}",
    "traffic(executor=constant-arrival-rate).session.state.{in, keyspace}",
    "traffic(executor=constant-arrival-rate).burst.{size, within}",
    "traffic(executor=constant-arrival-rate).flash[*].{at, rise, hold, fall, times}",
    "traffic(executor=constant-arrival-rate).rate",
    "traffic(executor=ramping-arrival-rate).{reuse, max_connection_age, connect_timeout, http2, streams}",
    "traffic(executor=ramping-arrival-rate).{to, timeout, arrivals, connections, max_in_flight, growth}",
    "traffic(executor=ramping-arrival-rate).mix.*",
    "traffic(executor=ramping-arrival-rate).session.{requests, think}",
    "traffic(executor=ramping-arrival-rate).session.returns.{share, after}",
    "traffic(executor=ramping-arrival-rate).session.state.{in, keyspace}",
    "traffic(executor=ramping-arrival-rate).burst.{size, within}",
    "traffic(executor=ramping-arrival-rate).flash[*].{at, rise, hold, fall, times}",
    "traffic(executor=ramping-arrival-rate).start_rate",
    "traffic(executor=ramping-arrival-rate).stages[*].{for, to}",
    "traffic(executor=curve-arrival-rate).{reuse, max_connection_age, connect_timeout, http2, streams}",
    "traffic(executor=curve-arrival-rate).{to, timeout, arrivals, connections, max_in_flight, growth}",
    "traffic(executor=curve-arrival-rate).mix.*",
    "traffic(executor=curve-arrival-rate).session.{requests, think}",
    "traffic(executor=curve-arrival-rate).session.returns.{share, after}",
    "traffic(executor=curve-arrival-rate).session.state.{in, keyspace}",
    "traffic(executor=curve-arrival-rate).burst.{size, within}",
    "traffic(executor=curve-arrival-rate).flash[*].{at, rise, hold, fall, times}",
    "traffic(executor=curve-arrival-rate).{expected, curve}",
    "traffic(executor=replay).{reuse, max_connection_age, connect_timeout, http2, streams}",
    "traffic(executor=replay).{to, timeout, file, format, unmatched, speed, origin, share, connections, max_in_flight}",
    "traffic(executor=constant-vus).{reuse, max_connection_age, connect_timeout, http2, streams}",
    "traffic(executor=constant-vus).{engine, to, timeout, vus, think}",
    "traffic(executor=constant-vus).mix.*",
    "traffic(executor=ramping-vus).{reuse, max_connection_age, connect_timeout, http2, streams}",
    "traffic(executor=ramping-vus).{engine, to, timeout, start_vus, think}",
    "traffic(executor=ramping-vus).stages[*].{for, to}",
    "traffic(executor=ramping-vus).mix.*",
    "traffic(executor=per-vu-iterations).{reuse, max_connection_age, connect_timeout, http2, streams}",
    "traffic(executor=per-vu-iterations).{engine, to, timeout, vus, iterations, think}",
    "traffic(executor=per-vu-iterations).mix.*",
    "traffic(executor=shared-iterations).{reuse, max_connection_age, connect_timeout, http2, streams}",
    "traffic(executor=shared-iterations).{engine, to, timeout, vus, iterations, think}",
    "traffic(executor=shared-iterations).mix.*",
    "traffic.*.retries.{times, backoff, factor, cap, jitter}",
    "traffic.*.retries.budget.{share, min_rate, window}",
    "traffic.*.retries",
    "curves.**",
];

/// What requests say and answers are asked for, of which clients of the caller's see nothing.
const SPOKEN: &[&str] = &[
    "requests.*.{headers, body, check, extract}",
    "requests.*.headers.*",
    "requests.*.check.**",
    "requests.*.extract.**",
    "feeds.**",
    "traffic(executor=constant-arrival-rate).session.{address_change, cookies, state}",
    "traffic(executor=ramping-arrival-rate).session.{address_change, cookies, state}",
    "traffic(executor=curve-arrival-rate).session.{address_change, cookies, state}",
];

/// Checks that the generator can play a scenario over clients of the caller's: they are given a request's class, method, path
/// and keys, and say whether it was answered.
///
/// # Errors
/// Everything that it cannot, in one pass.
pub fn check_over_clients(scenario: &Scenario) -> Result<(), Diagnostics> {
    let patterns: Vec<String> = SUPPORTS
        .iter()
        .map(|pattern| pattern.replace(", http2, streams}", "}").replace("{engine, ", "{"))
        .collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    judged(scenario, scenario.refuse_unless_supported("a client of one's own", &patterns))
}

/// Checks that the generator can play a scenario as it is meant.
///
/// # Errors
/// Everything that it cannot, in one pass.
pub fn check(scenario: &Scenario) -> Result<(), Diagnostics> {
    judged(scenario, scenario.refuse_unless_supported("loadgen", &[SUPPORTS, SPOKEN].concat()))
}

/// Adds what rules about more than one key refuse.
fn judged(scenario: &Scenario, mut problems: Vec<Diagnostic>) -> Result<(), Diagnostics> {
    for class in &scenario.requests {
        for (number, extract) in &class.exchange.extract {
            if let Extract::Regex(text) = extract
                && let Err(error) = regex::Regex::new(text)
            {
                let name = &scenario.kept[usize::from(*number)];
                let place = format!("requests.{}.extract.{name}.regex", class.name);
                let expected = format!("a regular expression ({error})");
                problems.push(scenario.problem_at(&place, format!("{text:?}"), expected, None));
            }
        }
    }
    problems.extend(codings(scenario));
    problems.extend(http2(scenario));
    problems.extend(goose(scenario));
    for traffic in &scenario.traffic {
        if let Executor::Sessions(session) = &traffic.executor
            && session.state != SessionState::Stateless
            && !session.cookies
        {
            let at = format!("traffic.{}.session.cookies", traffic.name);
            let hint = "a service tells a session by its cookie: a user who sends none back has none to lose";
            problems.push(scenario.unsupported(&at, "loadgen", hint));
        }
        let component = scenario.component(traffic.to);
        if matches!(&component.kind, ComponentKind::LoadBalancer(balancer) if balancer.tls.is_some()) {
            let place = format!("components.{}.tls", component.name);
            problems.push(scenario.unsupported(&place, "loadgen", "its requests are plain HTTP/1.1"));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Diagnostics::new(problems)) }
}

/// Codings that requests ask for and that cannot be undone where bodies are looked at: every answer in one would fail its check.
fn codings(scenario: &Scenario) -> Vec<Diagnostic> {
    let problem = |class: &RequestClass| {
        let mut headers = class.exchange.headers.iter();
        let (name, text) = headers.find(|(name, _)| name == "accept-encoding")?;
        let written = text.parts.iter().filter_map(|part| match part {
            TextPart::Text(text) => Some(text.as_str()),
            _ => None,
        });
        let written: String = written.collect();
        let coding = written.split(',').find_map(foreign_coding)?;
        let place = format!("requests.{}.headers.{name}", class.name);
        let expected = "codings that can be undone, as the body is looked at: gzip, deflate or identity";
        let hint = format!("leave {coding} out, or neither check nor extract anything of the body");
        Some(scenario.problem_at(&place, format!("{written:?}"), expected, Some(&hint)))
    };
    scenario.requests.iter().filter(|class| looks_at_bodies(class)).filter_map(problem).collect()
}

/// What of an `Accept-Encoding` (RFC 9110, section 12.5.3) asks for a coding that cannot be undone.
fn foreign_coding(part: &str) -> Option<&str> {
    let (coding, weight) = part.split_once(';').unwrap_or((part, ""));
    let coding = coding.trim();
    let weight = weight.trim().trim_start_matches(['q', 'Q', '=', ' ']);
    let is_refused = weight.parse::<f64>().is_ok_and(|weight| weight == 0.0);
    let is_known = coding.is_empty() || UNDONE.iter().any(|known| coding.eq_ignore_ascii_case(known));
    (!is_known && !is_refused).then_some(coding)
}

fn looks_at_bodies(class: &RequestClass) -> bool {
    let (check, extract) = (&class.exchange.check, &class.exchange.extract);
    let of_head = |extract: &Extract| matches!(extract, Extract::Header(_));
    check.contains.is_some() || check.json.is_some() || extract.iter().any(|(_, extract)| !of_head(extract))
}

/// What goose is not for.
fn goose(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let on_goose =
        |t: &&Traffic| matches!(&t.executor, Executor::Users(users) if users.engine == LoopEngine::Goose);
    let Some(traffic) = scenario.traffic.iter().find(on_goose) else { return problems };
    let mut refuse = |key: &str, hint: &str| {
        problems.push(scenario.unsupported(&format!("traffic.{}.{key}", traffic.name), "loadgen", hint));
    };
    if !cfg!(feature = "goose") {
        refuse("engine", "build it with --features goose");
    }
    if scenario.traffic.len() > 1 {
        refuse("engine", "goose plays the only traffic of a scenario: leave the other out");
    }
    let own = "goose keeps connections in its own way: leave it out";
    if traffic.reuse != Reuse::Always {
        refuse("reuse", own);
    }
    if traffic.max_connection_age.is_some() {
        refuse("max_connection_age", own);
    }
    if traffic.connect_timeout.is_some() {
        refuse("connect_timeout", own);
    }
    if traffic.http2_streams.is_some() {
        refuse("http2", "goose is asked for HTTP/1.1: leave it out");
    }
    if traffic.retries.is_some() {
        refuse("retries", "goose sends nothing again: leave it out");
    }
    problems
}

/// What HTTP/2 is not spoken with.
fn http2(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let speaks = |traffic: &&Traffic| traffic.http2_streams.is_some();
    let Some(first) = scenario.traffic.iter().find(speaks) else { return problems };
    let mut refuse = |name: &str, key: &str, hint: &str| {
        problems.push(scenario.unsupported(&format!("traffic.{name}.{key}"), "loadgen", hint));
    };
    if !cfg!(feature = "http2") {
        refuse(&first.name, "http2", "build it with --features http2");
    }
    if let Some(other) = scenario.traffic.iter().find(|traffic| !speaks(traffic)) {
        refuse(
            &other.name,
            "http2",
            "all traffic of a run speaks HTTP/2, or none: write http2 = true here as well",
        );
    }
    for traffic in scenario.traffic.iter().filter(speaks) {
        if traffic.reuse != Reuse::Always {
            refuse(&traffic.name, "reuse", "connections of HTTP/2 are kept: leave it out");
        }
        if traffic.max_connection_age.is_some() {
            refuse(&traffic.name, "max_connection_age", "connections of HTTP/2 are kept: leave it out");
        }
        if matches!(&traffic.executor, Executor::Sessions(session) if session.address_change.get() > 0.0) {
            let hint = "users share connections of HTTP/2, which come from one address: leave it out";
            refuse(&traffic.name, "session.address_change", hint);
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use scenarios::Scenario;

    /// What is said of a class that asks for these codings, with further lines.
    fn refused(codings: &str, lines: &str) -> Option<String> {
        let text = format!(
            "title = \"t\"\n[run]\nduration = \"1s\"\n[hosts.a]\n[components.w]\nkind = \"service\"\nhost = \"a\"\n\
             workers = 1\n[requests.r]\npath = \"/\"\nheaders = {{ accept-encoding = \"{codings}\" }}\n{lines}\n\
             [traffic.t]\nto = \"w\"\nexecutor = \"constant-arrival-rate\"\nrate = \"1/s\"\nmix = {{ r = 1 }}\n"
        );
        let scenario = Scenario::parse("t.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        super::check(&scenario).err().map(|problems| problems.to_string())
    }

    #[test]
    fn a_coding_that_cannot_be_undone_is_not_asked_for_where_bodies_are_looked_at() {
        let looking = ["check = { contains = \"a\" }", "extract = { a = { json = \"/a\" } }"];
        for (codings, coding) in
            [("gzip, br", "br"), ("zstd;q=0.5,gzip", "zstd"), ("gzip, *", "*"), ("compress", "compress")]
        {
            for lines in looking {
                let told = refused(codings, lines).expect("it cannot be looked into");
                let parts = [
                    "t.toml:11:",
                    "requests.r.headers.accept-encoding",
                    codings,
                    "gzip, deflate or identity",
                ];
                assert!(parts.iter().all(|part| told.contains(part)), "{told}");
                assert!(told.contains(&format!("leave {coding} out")), "{told}");
            }
            // Who looks at nothing, or at fields alone, may be answered in any coding.
            for lines in ["", "check = { header = \"x-a\" }\nextract = { a = { header = \"x-b\" } }"] {
                assert_eq!(refused(codings, lines), None, "{codings}: {lines}");
            }
        }
        for codings in ["gzip", "GZIP, deflate;q=0.5", "identity", "gzip, br;q=0", "gzip;q=1.0, *;q=0.0", ""]
        {
            looking.iter().for_each(|lines| assert_eq!(refused(codings, lines), None, "{codings}"));
        }
    }

    #[test]
    fn every_pattern_names_something_in_the_format() {
        assert_eq!(scenarios::supports::patterns_of_nothing(super::SUPPORTS), [""; 0]);
        assert_eq!(scenarios::supports::patterns_of_nothing(super::SPOKEN), [""; 0]);
    }
}
