//! Composes requests: all that is the same for a class is put together once.

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::Arc;

use scenarios::Scenario;
use scenarios::plan::{Draws, Planned};
use scenarios::rng::Purpose;
use scenarios::scenario::{Method, PathPart, RequestClass, Text, TextPart, Vary};

use super::Jar;

/// Composes the requests of one scenario.
#[derive(Debug)]
pub(crate) struct Composer {
    draws: Draws,
    classes: Vec<Class>,
    feeds: Vec<Arc<Vec<Vec<String>>>>,
    /// A text until its length is known.
    scratch: Vec<u8>,
}

#[derive(Debug)]
struct Class {
    /// Method and a space, and the target's base path, and where that begins.
    start: String,
    path_at: usize,
    path: Vec<PathPart>,
    /// Everything between the path and the request's number.
    middle: String,
    /// The fields after the request's number, up to the host's name.
    end: String,
    /// Fields of the scenario's, and the body.
    headers: Vec<(String, Text)>,
    body: Option<Text>,
    /// What caches tell its objects apart by: the start of the field, what its values are drawn for, and what they are.
    vary: Vec<(String, Purpose, Vary)>,
}

impl Composer {
    /// `base` stands before every path: empty, or starting with a slash and not ending with one.
    pub(crate) fn new(scenario: &Scenario, base: &str) -> Self {
        let vary = |vary: &Vary| (format!("\r\n{}: ", vary.header()), vary.purpose(), vary.clone());
        let class = |class: &RequestClass| {
            let mut end = format!(
                "\r\nx-rehearsal-class: {}\r\nuser-agent: rehearsal-loadgen/{}\r\n",
                class.name,
                env!("CARGO_PKG_VERSION")
            );
            if matches!(class.method, Method::Post | Method::Put) && class.exchange.body.is_none() {
                end.push_str("content-length: 0\r\n");
            }
            end.push_str("host: ");
            Class {
                start: format!("{} {base}", class.method.as_str()),
                path_at: class.method.as_str().len() + 1,
                path: class.path.parts.clone(),
                middle: String::from(" HTTP/1.1\r\nx-rehearsal-request: "),
                end,
                headers: class
                    .exchange
                    .headers
                    .iter()
                    .map(|(name, text)| (format!("{name}: "), text.clone()))
                    .collect(),
                body: class.exchange.body.clone(),
                vary: class.cache.iter().flat_map(|rule| &rule.vary).map(vary).collect(),
            }
        };
        Self {
            draws: Draws::new(scenario),
            classes: scenario.requests.iter().map(class).collect(),
            feeds: scenario.feeds.iter().map(|feed| Arc::clone(&feed.rows)).collect(),
            scratch: Vec::new(),
        }
    }

    /// Writes a request over what is in `out`; `attempt` says how often it was sent before, `jar` what its user remembers.
    pub(crate) fn compose(
        &mut self,
        (planned, attempt): (&Planned, u16),
        host: &str,
        jar: Option<&Jar>,
        out: &mut Vec<u8>,
    ) {
        let class = &self.classes[planned.class.index()];
        out.clear();
        out.extend_from_slice(class.start.as_bytes());
        for part in &class.path {
            match part {
                PathPart::Text(text) => out.extend_from_slice(text.as_bytes()),
                PathPart::Key(keyspace) => {
                    let key =
                        self.draws.keys(planned.id, *keyspace).next().expect("a request's keys have no end");
                    write!(out, "{key}").expect("writing to memory does not fail");
                }
                PathPart::Kept(number) => {
                    let value = jar.and_then(|jar| jar.value(*number)).unwrap_or_default();
                    in_a_path(value, out);
                }
            }
        }
        let path = class.path_at..out.len();
        out.extend_from_slice(class.middle.as_bytes());
        let mut number = [0; 16];
        hexadecimal(planned.id.0, &mut number);
        out.extend_from_slice(&number);
        if attempt > 0 {
            write!(out, "\r\nx-rehearsal-attempt: {attempt}").expect("writing to memory does not fail");
        }
        for (field, purpose, vary) in &class.vary {
            let number = self.draws.vary(planned.id, *purpose, vary.raw);
            write!(out, "{field}{}", vary.value(number)).expect("writing to memory does not fail");
        }
        out.extend_from_slice(class.end.as_bytes());
        out.extend_from_slice(host.as_bytes());
        out.extend_from_slice(b"\r\n");
        if let Some(jar) = jar {
            jar.write(path, out);
        }
        for (name, text) in &class.headers {
            out.extend_from_slice(name.as_bytes());
            let start = out.len();
            self.fill(text, planned, jar, out);
            // What was extracted or fed must not end the field.
            out[start..].iter_mut().filter(|byte| byte.is_ascii_control()).for_each(|byte| *byte = b' ');
            out.extend_from_slice(b"\r\n");
        }
        match &class.body {
            None => out.extend_from_slice(b"\r\n"),
            Some(body) => {
                let mut scratch = std::mem::take(&mut self.scratch);
                scratch.clear();
                self.fill(body, planned, jar, &mut scratch);
                write!(out, "content-length: {}\r\n\r\n", scratch.len())
                    .expect("writing to memory does not fail");
                out.extend_from_slice(&scratch);
                self.scratch = scratch;
            }
        }
    }
}

impl Composer {
    /// Adds a text with its places filled.
    fn fill(&self, text: &Text, planned: &Planned, jar: Option<&Jar>, out: &mut Vec<u8>) {
        for part in &text.parts {
            match part {
                TextPart::Text(text) => out.extend_from_slice(text.as_bytes()),
                TextPart::Key(keyspace) => {
                    let key =
                        self.draws.keys(planned.id, *keyspace).next().expect("a request's keys have no end");
                    write!(out, "{key}").expect("writing to memory does not fail");
                }
                TextPart::Kept(number) => {
                    let value = jar.and_then(|jar| jar.value(*number)).unwrap_or_default();
                    out.extend_from_slice(value.as_bytes());
                }
                TextPart::Fed { feed, column } => {
                    let rows = &self.feeds[usize::from(*feed)];
                    let who = jar.map_or(planned.id, |jar| jar.user);
                    let row = &rows[self.draws.row(who, *feed, rows.len())];
                    out.extend_from_slice(row[usize::from(*column)].as_bytes());
                }
                other => unreachable!("{other:?} is not known here"),
            }
        }
    }
}

/// Adds a value to a path. What a path cannot hold is percent-encoded (RFC 3986, section 2.1); slashes, queries and what is encoded
/// already are as they came, as a server's own links are.
fn in_a_path(value: &str, out: &mut Vec<u8>) {
    for &byte in value.as_bytes() {
        if byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte) {
            out.push(byte);
        } else {
            write!(out, "%{byte:02X}").expect("writing to memory does not fail");
        }
    }
}

fn hexadecimal(number: u64, out: &mut [u8; 16]) {
    for (place, digit) in out.iter_mut().enumerate() {
        *digit = b"0123456789abcdef"[(number >> (60 - 4 * place) & 15) as usize];
    }
}

/// The path of a request: its class's, with the keys in their places.
pub(crate) fn path_of(class: &RequestClass, planned: &Planned, draws: &Draws) -> String {
    let mut path = String::new();
    for part in &class.path.parts {
        match part {
            PathPart::Text(text) => path.push_str(text),
            PathPart::Key(keyspace) => {
                let key = draws.keys(planned.id, *keyspace).next().expect("a request's keys have no end");
                write!(path, "{key}").expect("writing to memory does not fail");
            }
            // Clients of the caller's keep nothing here: they are refused scenarios that extract.
            PathPart::Kept(_) => {}
        }
    }
    path
}

/// A host for the `Host` field: an IPv6 address stands in brackets, the scheme's `own` port is left out.
pub(crate) fn host_field(host: &str, port: u16, own: u16) -> String {
    let mut field = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    if port != own {
        write!(field, ":{port}").expect("writing to memory does not fail");
    }
    field
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_a_path_cannot_hold_is_encoded() {
        let mut path = b"/orders/".to_vec();
        in_a_path("7/a b?x=1%20\r\nhost: \u{e9}#", &mut path);
        assert_eq!(path, b"/orders/7/a%20b?x=1%20%0D%0Ahost:%20%C3%A9%23");
    }

    #[test]
    fn a_request_number_has_sixteen_digits() {
        let mut out = [0; 16];
        hexadecimal(0x0123_4567_89ab_cdef, &mut out);
        assert_eq!(&out, b"0123456789abcdef");
        hexadecimal(7, &mut out);
        assert_eq!(&out, b"0000000000000007");
    }

    /// What a hundred requests for a page that varies by this say in a field.
    fn said(vary: &str, field: &str) -> BTreeSet<String> {
        let text = r#"
title = "Groups"
[run]
duration = "10s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
workers = 4
[requests.page]
path = "/page"
cache = { ttl = "5s", vary = { Groups = VARY } }
[[requests.page.steps]]
work = "1ms"
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { page = 1 }
"#;
        let text = text.replace("VARY", vary);
        let scenario = Scenario::parse("groups.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let mut composer = Composer::new(&scenario, "");
        let mut said = BTreeSet::new();
        let plan = scenarios::plan::Plan::new(&scenario);
        for planned in plan.requests() {
            let mut out = Vec::new();
            composer.compose((&planned, 0), "shop", None, &mut out);
            let request = String::from_utf8(out).expect("text");
            let mut fields = request.lines().filter_map(|line| line.split_once(": "));
            let (_, value) = fields.find(|(name, _)| *name == field).expect("it is said");
            said.insert(value.to_owned());
        }
        said
    }

    #[test]
    fn a_request_says_which_value_it_has_of_what_caches_tell_objects_apart_by() {
        let numbers = said("{ values = 2, raw = 7 }", "x-groups");
        assert!(numbers.iter().eq(["0", "1", "2", "3", "4", "5", "6"]), "they have all seven: {numbers:?}");
        let languages = said("{ accept_language = [\"en\", \"de\"], raw = 7 }", "accept-language");
        assert_eq!(languages.len(), 7, "{languages:?}");
        assert!(languages.contains("en") && languages.contains("de-x-1, en;q=0.5"), "{languages:?}");
    }

    #[test]
    fn an_address_of_version_six_stands_in_brackets() {
        assert_eq!(host_field("::1", 8080, 80), "[::1]:8080");
        assert_eq!(host_field("example.org", 443, 443), "example.org");
    }
}
