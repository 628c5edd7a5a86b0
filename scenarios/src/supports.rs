//! What of the file a world implements, as a list of patterns of paths; what is written and in no pattern is refused.
//!
//! Each world (`sim`, `loadgen`, the reference) declares one list. A key that somebody adds to the format is thus refused by
//! every world that does not list it, and never ignored in silence. A default that is left unwritten always means what
//! worlds did before the key existed, so only written paths are looked at. Rules about more than one key are the world's
//! own code.
//!
//! A pattern is a path in which
//! - `*` stands for any name and `[*]` for any number of a list: `hosts.*.cores`, `requests.*.steps[*].work`;
//! - `(kind=service)` after a table's name stands for those of its entries in which `kind = "service"`, and takes that
//!   key in itself: `components(kind=service).workers`;
//! - braces at the end stand for each of several keys: `faults[*].{at, for, kill}`;
//! - `**` at the end stands for whatever is below: `thresholds.**`;
//! - ` = ` limits the value to some words: `components(kind=load-balancer).balance = round-robin | source`.

use crate::Scenario;
use crate::diagnostic::{Diagnostic, Location, Locations, one_of};

/// What every world takes: the run's frame, and what only reports read.
const COMMON: &[&str] = &[
    "title",
    "question",
    "answer",
    "run.{duration, warmup, from, seed, sampling}",
    "hosts.*.price",
    "thresholds.**",
    "published.**",
    "variants.**",
    "plan.**",
    "play.**",
    "score.**",
    "twin.**",
    "calibration.{source, include, fitted_to, machine}",
    "calibration.uncertainty.**",
];

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    /// This key.
    Key(String),
    /// Any name.
    AnyName,
    /// A name whose entry has this word under this key.
    Tagged(String, String),
    /// A place in a list.
    AnyPlace,
}

/// One pattern, without braces.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pattern {
    segments: Vec<Segment>,
    /// Whether everything below is meant as well.
    rest: bool,
    /// The values that are meant; empty for all.
    values: Vec<String>,
}

/// How far a pattern goes along a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Reach {
    /// It leads elsewhere.
    Not,
    /// It goes on below the path.
    Through,
    /// It names the path.
    To,
}

impl Pattern {
    /// # Panics
    /// Where it is no pattern: worlds write them as constants.
    fn parse(text: &str) -> Self {
        let (path, values) = match text.split_once(" = ") {
            Some((path, values)) => (path, values.split('|').map(|v| v.trim().to_owned()).collect()),
            None => (text, Vec::new()),
        };
        let (path, rest) = match path.strip_suffix(".**") {
            Some(path) => (path, true),
            None => (path, false),
        };
        let mut segments = Vec::new();
        for part in path.split('.') {
            let (part, place) = match part.strip_suffix("[*]") {
                Some(part) => (part, true),
                None => (part, false),
            };
            match part.split_once('(') {
                Some((table, tag)) => {
                    let tag = tag.strip_suffix(')').and_then(|t| t.split_once('='));
                    let (key, word) = tag.unwrap_or_else(|| panic!("{text}: expected (key=word)"));
                    segments.push(Segment::Key(table.to_owned()));
                    segments.push(Segment::Tagged(key.to_owned(), word.to_owned()));
                }
                None if part == "*" => segments.push(Segment::AnyName),
                None => segments.push(Segment::Key(part.to_owned())),
            }
            if place {
                segments.push(Segment::AnyPlace);
            }
        }
        Self { segments, rest, values }
    }

    fn reach(&self, path: &[&str], written: &Locations) -> Reach {
        for (i, part) in path.iter().enumerate() {
            let fits = match self.segments.get(i) {
                None if self.rest => return Reach::To,
                None => return Reach::Not,
                Some(Segment::Key(key)) => key == part,
                Some(Segment::AnyName) => !part.starts_with('['),
                Some(Segment::AnyPlace) => part.starts_with('['),
                Some(Segment::Tagged(key, word)) => {
                    // The key that tells an entry's kind needs no pattern of its own.
                    if i + 2 == path.len() && path[i + 1] == key {
                        let value = written.get(&join(path)).and_then(|l| l.value.as_deref());
                        return if value == Some(word) { Reach::To } else { Reach::Not };
                    }
                    let tag = join(&[&path[..=i], &[key.as_str()]].concat());
                    written.get(&tag).and_then(|l| l.value.as_deref()) == Some(word)
                }
            };
            if !fits {
                return Reach::Not;
            }
        }
        if self.segments.len() > path.len() || self.rest { Reach::Through } else { Reach::To }
    }
}

/// Takes braces apart.
fn expand(text: &str) -> Vec<Pattern> {
    match text.strip_suffix('}').and_then(|t| t.split_once('{')) {
        Some((before, keys)) => {
            keys.split(',').map(|k| Pattern::parse(&format!("{before}{}", k.trim()))).collect()
        }
        None => vec![Pattern::parse(text)],
    }
}

/// The parts of a path: `requests`, `shop`, `steps`, `[1]`. Quotes stay.
pub(crate) fn split(path: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (i, c) in path.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '.' | '[' if !quoted => {
                if i > start {
                    parts.push(&path[start..i]);
                }
                start = if c == '.' { i + 1 } else { i };
            }
            _ => {}
        }
    }
    if start < path.len() {
        parts.push(&path[start..]);
    }
    parts
}

/// The path of parts.
fn join(parts: &[&str]) -> String {
    let mut path = String::new();
    for part in parts {
        if !path.is_empty() && !part.starts_with('[') {
            path.push('.');
        }
        path.push_str(part);
    }
    path
}

impl Scenario {
    /// The keys that are written in a table of the file, such as `components.shop`, in the order of their names.
    pub fn keys_written_in(&self, table: &str) -> Vec<String> {
        let parent = split(table);
        let below = self.locations.iter().map(|(path, _)| split(path));
        let keys = below.filter(|parts| parts.len() == parent.len() + 1 && parts.starts_with(&parent));
        keys.map(|parts| parts[parent.len()].to_owned()).collect()
    }

    /// Everything that is written in the file and that `world` does not implement, by its list of `patterns`: see
    /// [`crate::supports`] for how they are written.
    ///
    /// # Panics
    /// Where a pattern is malformed.
    ///
    /// ```
    /// # let text = scenarios::library::QUICKSTART;
    /// let scenario = scenarios::Scenario::parse("quickstart.toml", text).expect("it is tested");
    /// let all = ["hosts.**", "components.**", "keyspaces.**", "requests.**", "traffic.**", "faults.**", "calibration.**"];
    /// assert!(scenario.refuse_unless_supported("this world", &all).is_empty());
    /// assert!(!scenario.refuse_unless_supported("this world", &all[1..]).is_empty());
    /// ```
    pub fn refuse_unless_supported(&self, world: &str, patterns: &[&str]) -> Vec<Diagnostic> {
        let patterns: Vec<Pattern> = COMMON.iter().chain(patterns).flat_map(|p| expand(p)).collect();
        let mut problems = Vec::new();
        let mut refused: Vec<Vec<&str>> = Vec::new();
        for (path, location) in self.locations.iter() {
            let parts = split(path);
            if parts.is_empty() || refused.iter().any(|r| parts.starts_with(r)) {
                continue;
            }
            let reached = patterns.iter().map(|p| (p.reach(&parts, &self.locations), p));
            let best = reached.clone().map(|(reach, _)| reach).max().unwrap_or(Reach::Not);
            let named: Vec<&Pattern> = reached.filter(|(r, _)| *r == Reach::To).map(|(_, p)| p).collect();
            match best {
                Reach::To => {
                    let allowed = |p: &&Pattern| {
                        p.values.is_empty() || location.value.as_ref().is_some_and(|v| p.values.contains(v))
                    };
                    if !named.iter().any(allowed) {
                        let words = named.iter().flat_map(|p| &p.values).map(String::as_str);
                        problems.push(self.unsupported(path, world, &format!("write {}", one_of(words))));
                    }
                }
                // A table or list is judged by what stands in it; one that is empty only switches on what is below.
                Reach::Through if location.value.is_none() => {}
                Reach::Through | Reach::Not => {
                    problems.push(self.refusal(path, &parts, location, world, &patterns));
                    refused.push(parts);
                }
            }
        }
        if self.run.finds_warmup {
            let hint = "sim run finds it out before it runs; else write a duration, such as \"1m\"";
            problems.push(self.unsupported("run.warmup", world, hint));
        }
        problems
    }

    /// The refusal of a path that no pattern reaches; of an entry of a kind that is unknown there, the kind's.
    fn refusal(
        &self,
        path: &str,
        parts: &[&str],
        location: &Location,
        world: &str,
        patterns: &[Pattern],
    ) -> Diagnostic {
        let kinds = patterns.iter().filter_map(|p| match p.segments.get(parts.len() - 1) {
            Some(Segment::Tagged(key, word)) => {
                let same = p.segments[..parts.len() - 1].iter().zip(parts);
                let same = same.into_iter().all(|(s, part)| matches!(s, Segment::Key(key) if key == part));
                same.then_some((key.as_str(), word.as_str()))
            }
            _ => None,
        });
        let mut kinds: Vec<(&str, &str)> = kinds.collect();
        kinds.dedup();
        if let (None, Some((key, _))) = (&location.value, kinds.first()) {
            let words = one_of(kinds.iter().map(|(_, word)| *word));
            return self.unsupported(&format!("{path}.{key}"), world, &format!("{world} knows {words}"));
        }
        self.unsupported(path, world, "leave it out")
    }
}

/// Those of a world's patterns that name nothing in the format: a test of the world holds that there are none.
pub fn patterns_of_nothing<'p>(patterns: &[&'p str]) -> Vec<&'p str> {
    let schema = crate::schema::schema();
    let known = |text: &str| expand(text).iter().all(|p| leads(&schema, &schema, &p.segments, &p.values));
    patterns.iter().copied().filter(|text| !known(text)).collect()
}

/// Whether segments lead somewhere from a place in the JSON Schema.
fn leads(root: &serde_json::Value, at: &serde_json::Value, segments: &[Segment], values: &[String]) -> bool {
    if let Some(name) = at["$ref"].as_str() {
        let there = root.pointer(name.trim_start_matches('#')).expect("the schema defines what it refers to");
        return leads(root, there, segments, values);
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = at[key].as_array()
            && choices.iter().any(|choice| leads(root, choice, segments, values))
        {
            return true;
        }
    }
    let Some((first, rest)) = segments.split_first() else {
        let words = at["enum"].as_array();
        return values.is_empty()
            || words.is_some_and(|words| values.iter().all(|v| words.iter().any(|w| w == v.as_str())))
            || at["type"] == "boolean";
    };
    let below = match first {
        Segment::Key(key) => &at["properties"][key],
        Segment::AnyPlace => &at["items"],
        Segment::AnyName => &at["additionalProperties"],
        Segment::Tagged(key, word) => {
            let entry = &at["additionalProperties"];
            let entry = entry["$ref"].as_str().and_then(|name| root.pointer(name.trim_start_matches('#')));
            let kinds = entry.and_then(|e| e["oneOf"].as_array());
            let kind = kinds.and_then(|k| k.iter().find(|k| k["properties"][key]["const"] == word.as_str()));
            return kind.is_some_and(|kind| leads(root, kind, rest, values));
        }
    };
    below.is_object() && leads(root, below, rest, values)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        title = "t"
        [run]
        duration = "1s"
        [hosts.a]
        cores = 2
        [components.web]
        kind = "service"
        host = "a"
        workers = 4
        [components.lb]
        kind = "load-balancer"
        host = "a"
        to = "web"
        health_check = { http = "/", rise = 3 }
        [requests.r]
        path = "/"
        [[requests.r.steps]]
        work = "1ms"
        [traffic.t]
        executor = "constant-arrival-rate"
        to = "lb"
        rate = "1/s"
        mix = { r = 1 }
        [thresholds]
        "response_time{during:fault}" = ["p(99)<1s"]
    "#;

    const SERVICE: &[&str] = &["components(kind=service).{host, workers}"];
    const BALANCER: &[&str] = &[
        "components(kind=load-balancer).{host, to}",
        "components(kind=load-balancer).health_check.{http, rise}",
    ];
    const REST: &[&str] = &[
        "hosts.*.cores",
        "requests.*.path",
        "requests.*.steps[*].work",
        "traffic(executor=constant-arrival-rate).{to, rate}",
        "traffic(executor=constant-arrival-rate).mix.*",
    ];

    fn refused(patterns: &[&[&str]]) -> Vec<String> {
        let scenario = Scenario::parse("t.toml", TEXT).expect("it is a scenario");
        let problems = scenario.refuse_unless_supported("sim", &patterns.concat());
        problems
            .iter()
            .map(|p| format!("{}: {}; {}", p.where_, p.found, p.hint.as_deref().unwrap_or("")))
            .collect()
    }

    #[test]
    fn what_is_listed_is_taken() {
        assert_eq!(refused(&[SERVICE, BALANCER, REST]), [""; 0]);
    }

    #[test]
    fn every_table_that_no_pattern_reaches_is_refused_once_at_its_outermost() {
        let balancer = &["components(kind=load-balancer).{host, to}"];
        assert_eq!(
            refused(&[SERVICE, balancer, REST]),
            ["components.lb.health_check: { http = \"/\", rise = 3 }; leave it out"]
        );
    }

    #[test]
    fn a_kind_without_patterns_is_refused_at_its_word() {
        let found = refused(&[SERVICE, REST]);
        assert_eq!(found, ["components.lb.kind: \"load-balancer\"; sim knows \"service\""]);
    }

    #[test]
    fn a_value_outside_the_listed_words_is_refused() {
        let limited = &["components(kind=service).host", "components(kind=service).workers = 1 | 2"];
        let found = refused(&[limited, BALANCER, REST]);
        assert_eq!(found, ["components.web.workers: 4; write \"1\" or \"2\""]);
    }

    #[test]
    fn a_place_in_a_list_is_refused_with_its_number() {
        let found = refused(&[SERVICE, BALANCER, &REST[..2], &REST[3..]]);
        assert_eq!(found, ["requests.r.steps: tables; leave it out"]);
        let other = &["requests.*.steps[*].wait"];
        let found = refused(&[SERVICE, BALANCER, &REST[..2], &REST[3..], other]);
        assert_eq!(found, ["requests.r.steps[1].work: \"1ms\"; leave it out"]);
    }

    #[test]
    fn patterns_that_name_nothing_are_found() {
        assert_eq!(patterns_of_nothing(&[SERVICE, BALANCER, REST, COMMON].concat()), [""; 0]);
        let wrong = [
            "hosts.*.{cores, colour}",
            "components(kind=sarvice).host",
            "components(kind=load-balancer).balance = x",
        ];
        assert_eq!(patterns_of_nothing(&wrong), wrong);
    }

    #[test]
    fn quoted_names_are_one_part() {
        assert_eq!(split(r#"thresholds."a.b[\"]"[1].c"#), ["thresholds", r#""a.b[\"]""#, "[1]", "c"]);
    }
}
