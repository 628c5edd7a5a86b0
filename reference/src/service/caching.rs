//! What a service tells HTTP caches about its answers: how long they are good, what they vary by, their tags, their
//! validator, and, of a page, its parts. Only where the scenario has an HTTP cache.

use std::io::Write;

use scenarios::plan::RequestId;
use scenarios::scenario::{CacheRule, ClassId, ComponentKind, KeyspaceId, Path, PathPart, Scenario, Tag};

use super::calls::write_path;
use crate::component::Context;
use crate::http::head::{RequestHead, field};

/// What caches are told of what they are not to keep.
const NOT_KEPT: &str = "cache-control: no-store\r\n";

/// What caches are told of each class.
#[derive(Debug)]
pub(super) struct Caching(Vec<Option<Told>>);

/// What they are told of a class.
#[derive(Debug)]
struct Told {
    /// The fields that are the same for all of its answers.
    fields: String,
    /// Whose values tell its objects apart.
    vary: Vec<String>,
    tags: Vec<Tag>,
    keeps: bool,
}

/// The object that a request asks for: the same for all who ask for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) class: ClassId,
    /// Its name; two objects of one name are as unlikely as with any 64 bits.
    pub(super) name: u64,
    /// The keys in its path, in order.
    keys: Vec<(KeyspaceId, u64)>,
    /// Whether the asker has it already.
    is_known: bool,
}

impl Wanted {
    /// The keys in its path, in order.
    pub(super) fn keys(&self) -> impl Iterator<Item = u64> {
        self.keys.iter().map(|(_, key)| *key)
    }
}

impl Caching {
    /// As the scenario's classes say.
    pub(super) fn new(scenario: &Scenario) -> Self {
        let has_cache = scenario.components.iter().any(|c| matches!(c.kind, ComponentKind::HttpCache(_)));
        let told = scenario.requests.iter().map(|class| match &class.cache {
            _ if !has_cache => None,
            None => {
                Some(Told { fields: NOT_KEPT.to_owned(), vary: Vec::new(), tags: Vec::new(), keeps: false })
            }
            Some(rule) => Some(Told::new(rule, class.esi.is_some())),
        });
        Self(told.collect())
    }

    /// The object that a request of a class asks for; none where its answers are not kept.
    pub(super) fn wanted(
        &self,
        class: usize,
        path: &Path,
        head: &RequestHead<'_, '_>,
        scenario: &Scenario,
    ) -> Option<Wanted> {
        let told = self.0[class].as_ref().filter(|told| told.keeps)?;
        let target = head.target.split('?').next().unwrap_or("");
        let mut name = hash(0xcbf2_9ce4_8422_2325, target.as_bytes());
        for header in &told.vary {
            name = hash(name, b"\n");
            name = hash(name, field(head.headers, header).unwrap_or_default());
        }
        let known = field(head.headers, "if-none-match").unwrap_or_default();
        let is_known = known == etag(name).as_bytes();
        let class = scenario.class_ids().nth(class)?;
        Some(Wanted { class, name, keys: keys_of(path, target, scenario)?, is_known })
    }

    /// The fields for an answer; whether the asker has the object already, so that a 304 says all.
    pub(super) fn write(&self, class: usize, wanted: Option<&Wanted>, out: &mut Vec<u8>) -> bool {
        let Some(told) = &self.0[class] else { return false };
        let Some(wanted) = wanted else {
            // Where a class was named with a path that is not of its form, there is nothing to tag the answer by: kept, it
            // could not be purged.
            out.extend_from_slice(NOT_KEPT.as_bytes());
            return false;
        };
        out.extend_from_slice(told.fields.as_bytes());
        write!(out, "etag: {}\r\n", etag(wanted.name)).expect("writing to a vector cannot fail");
        if !told.tags.is_empty() {
            out.extend_from_slice(b"xkey:");
            for tag in &told.tags {
                out.push(b' ');
                let key =
                    |keyspace| wanted.keys.iter().find(|(k, _)| *k == keyspace).map_or(0, |(_, key)| *key);
                write_tag(tag, key, out);
            }
            out.extend_from_slice(b"\r\n");
        }
        wanted.is_known
    }
}

impl Told {
    fn new(rule: &CacheRule, is_page: bool) -> Self {
        let seconds = |time: scenarios::units::SimTime| time.as_nanos() / 1_000_000_000;
        let mut fields = format!("cache-control: max-age={}", seconds(rule.ttl));
        if let Some(grace) = rule.grace {
            fields += &format!(", stale-while-revalidate={}", seconds(grace));
        }
        if let Some(keep) = rule.keep {
            fields += &format!(", x-keep={}", seconds(keep));
        }
        fields += "\r\n";
        let vary: Vec<String> = rule.vary.iter().map(|vary| vary.header()).collect();
        if !vary.is_empty() {
            fields += &format!("vary: {}\r\n", vary.join(", "));
        }
        if is_page {
            fields += "surrogate-control: content=\"ESI/1.0\"\r\n";
        }
        Self { fields, vary, tags: rule.tags.clone(), keeps: true }
    }
}

/// Appends a tag with its keys filled in.
pub(super) fn write_tag(tag: &Tag, key: impl Fn(KeyspaceId) -> u64, out: &mut Vec<u8>) {
    for part in &tag.parts {
        match part {
            PathPart::Text(text) => out.extend_from_slice(text.as_bytes()),
            PathPart::Key(keyspace) => {
                write!(out, "{}", key(*keyspace)).expect("writing to a vector cannot fail");
            }
            PathPart::Kept(_) => unreachable!("a tag has keys alone: validation reads no other name"),
        }
    }
}

/// The text of a page with parts: those follow from the page, so that it is the same whenever it is made. It is `size`
/// bytes, or as many more as the parts need.
pub(super) fn page(context: &Context, class: usize, name: u64, size: usize) -> Option<Vec<u8>> {
    let esi = context.scenario.requests[class].esi?;
    let part = &context.scenario.class(esi.include).path;
    let mut text = b"{\"parts\":[".to_vec();
    for number in 0..u64::from(esi.count) {
        // As unlike each other as the draws of other requests; none of those there are, of which none has so high a number.
        let id = RequestId(hash(name, &number.to_le_bytes()) | 63 << 58);
        text.extend_from_slice(if number == 0 { b"<esi:include src=\"" } else { b",<esi:include src=\"" });
        write_path(part, context, id, &mut text);
        // In a scenario, a part that fails leaves a gap.
        text.extend_from_slice(b"\" onerror=\"continue\"/>");
    }
    text.extend_from_slice(b"],\"data\":\"");
    let end = b"\"}\n";
    text.resize(text.len().max(size.saturating_sub(end.len())), b'x');
    text.extend_from_slice(end);
    Some(text)
}

/// The keys of a concrete path; none where it is not of this form.
pub(super) fn keys_of(form: &Path, path: &str, scenario: &Scenario) -> Option<Vec<(KeyspaceId, u64)>> {
    let mut keys = Vec::new();
    let mut rest = path;
    for part in &form.parts {
        rest = match part {
            PathPart::Text(text) => rest.strip_prefix(text.as_str())?,
            PathPart::Key(keyspace) => {
                let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                let key =
                    rest[..digits].parse().ok().filter(|key| *key < scenario.keyspace(*keyspace).keys)?;
                keys.push((*keyspace, key));
                &rest[digits..]
            }
            // Nothing is extracted here: such scenarios are refused.
            PathPart::Kept(_) => return None,
        };
    }
    rest.is_empty().then_some(keys)
}

fn etag(name: u64) -> String {
    format!("\"{name:016x}\"")
}

/// FNV-1a, continued.
fn hash(from: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(from, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{NO_FIELDS, parse_request};

    #[test]
    fn what_no_tag_would_name_is_not_to_be_kept() {
        let text = r#"
title = "A cache that is purged by tags"
[run]
duration = "10s"
[hosts.front]
[hosts.app]
[components.cache]
kind = "http-cache"
host = "front"
to = "shop"
memory = "8MiB"
[components.shop]
kind = "service"
host = "app"
[components.objects]
host = "app"
kind = "kv-store"
[keyspaces]
items = { in = "objects", keys = 1000, value = "200B" }
[requests.item]
path = "/item/{items}"
cache = { ttl = "60s", tags = ["item:{items}"] }
[[requests.item.steps]]
work = "1ms"
[traffic.people]
to = "cache"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { item = 1 }
"#;
        let scenario = Scenario::parse("cache.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let caching = Caching::new(&scenario);
        let told = |path: &str| {
            let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\nx-rehearsal-class: item\r\n\r\n");
            let mut fields = NO_FIELDS;
            let head = parse_request(request.as_bytes(), &mut fields).expect("well-formed").expect("whole");
            let wanted = caching.wanted(0, &scenario.requests[0].path, &head, &scenario);
            let mut out = Vec::new();
            assert!(!caching.write(0, wanted.as_ref(), &mut out), "nobody has it yet");
            String::from_utf8_lossy(&out).into_owned()
        };
        let of_its_form = told("/item/7");
        assert!(of_its_form.contains("max-age=60\r\n"), "{of_its_form}");
        assert!(of_its_form.contains("xkey: item:7\r\n"), "{of_its_form}");
        assert_eq!(told("/elsewhere/7"), NOT_KEPT);
    }
}
