//! What a client says in a request, asks of the answer and keeps of it: names resolved, files read.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::{Validator, hexadecimal};
use crate::scenario::{Check, Exchange, Extract, Feed, KeyspaceId, Method, Text, TextPart};
use crate::wire;
use crate::wire::decode::{Count, join};

/// No file of data is longer, in bytes: it is in memory.
const FILE_LIMIT: u64 = 256 << 20;
/// Fields that the client writes itself.
const OWN_FIELDS: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "cookie",
    "x-rehearsal-attempt",
    "x-rehearsal-class",
    "x-rehearsal-request",
];

impl Validator<'_> {
    /// The names of all values that users keep, each once.
    pub(super) fn kept(&self) -> Vec<String> {
        let mut kept: Vec<String> = Vec::new();
        for (_, class) in self.file.requests.iter().flat_map(|r| &r.0) {
            for (name, _) in &class.extract.0 {
                if !kept.contains(name) {
                    kept.push(name.clone());
                }
            }
        }
        kept
    }

    pub(super) fn feeds(&mut self) -> Vec<Feed> {
        let files = self.file.feeds.0.clone();
        files.iter().filter_map(|(name, feed)| self.feed(name, feed)).collect()
    }

    fn feed(&mut self, name: &str, feed: &wire::Feed) -> Option<Feed> {
        let at = format!("feeds.{name}.file");
        let path = self.d.beside(feed.file.as_ref()?);
        let read = std::fs::metadata(&path).and_then(|about| match about.len() {
            bytes if bytes > FILE_LIMIT => Err(std::io::Error::other(format!("{bytes} bytes"))),
            _ => std::fs::read(&path),
        });
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) => {
                let hint = "the path is relative to the scenario's file".to_owned();
                let found = format!("{}: {error}", path.display());
                self.d.problem(&at, found, "a readable CSV file of at most 256MiB", Some(hint));
                return None;
            }
        };
        let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(&*bytes);
        let read =
            reader.headers().map(|h| h.iter().map(str::to_owned).collect::<Vec<_>>()).and_then(|columns| {
                let rows = reader.records().map(|row| Ok(row?.iter().map(str::to_owned).collect()));
                Ok((columns, rows.collect::<Result<Vec<Vec<String>>, csv::Error>>()?))
            });
        match read {
            Ok((columns, rows)) if !rows.is_empty() => {
                let hash = hexadecimal(&Sha256::digest(&bytes));
                Some(Feed { name: name.to_owned(), file: path, columns, rows: Arc::new(rows), hash })
            }
            Ok(_) => {
                let found = format!("{} without rows", path.display());
                self.d.problem(&at, found, "a line of columns and at least one row", None);
                None
            }
            Err(error) => {
                self.d.problem(&at, format!("{}: {error}", path.display()), "a CSV file", None);
                None
            }
        }
    }

    pub(super) fn exchange(
        &mut self,
        at: &str,
        file: &wire::RequestClass,
        kept: &[String],
        feeds: &[Feed],
    ) -> Exchange {
        let mut headers = Vec::new();
        for (name, value) in &file.headers.0 {
            let at = join(&format!("{at}.headers"), name);
            if OWN_FIELDS.contains(&name.as_str()) {
                self.d.key_problem(&at, name, "a field that the client does not write itself", None);
            }
            if value.chars().any(char::is_control) {
                self.problem(&at, "a text without control characters", None);
            }
            headers.push((name.clone(), self.text(value, kept, feeds)));
        }
        let body_at = format!("{at}.body");
        if file.body.is_some() && !matches!(file.method, Method::Post | Method::Put) {
            let hint = Some("write method = \"POST\"".to_owned());
            self.problem(&body_at, "no body without method = \"POST\" or \"PUT\"", hint);
        }
        let body = file.body.as_ref().map(|body| self.text(body, kept, feeds));
        let check = file.check.as_ref().map(|check| self.check(&format!("{at}.check"), check));
        let mut extract = Vec::new();
        for (name, found) in &file.extract.0 {
            let at = format!("{at}.extract.{name}");
            let number = kept.iter().position(|known| known == name).map(|n| n as u16);
            extract.extend(number.zip(self.extract(&at, found)));
        }
        Exchange { headers, body, check: check.unwrap_or_default(), extract }
    }

    /// A text whose `{name}` places stand for a keyspace's key, a kept value or a feed's column. Other braces are text, so
    /// that JSON reads as it is.
    fn text(&self, text: &str, kept: &[String], feeds: &[Feed]) -> Text {
        let place = |name: &str| {
            if let Some(number) = kept.iter().position(|known| known == name) {
                return Some(TextPart::Kept(number as u16));
            }
            if let Some((feed, column)) = name.split_once('.') {
                let feed = feeds.iter().position(|known| known.name == feed)?;
                let column = feeds[feed].columns.iter().position(|known| known == column)?;
                return Some(TextPart::Fed { feed: feed as u16, column: column as u16 });
            }
            self.keyspaces.find(name).map(|id| TextPart::Key(KeyspaceId(id)))
        };
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            let found =
                rest[open + 1..].split_once('}').and_then(|(name, after)| Some((place(name)?, after)));
            let Some((part, after)) = found else {
                plain.push_str(&rest[..=open]);
                rest = &rest[open + 1..];
                continue;
            };
            plain.push_str(&rest[..open]);
            if !plain.is_empty() {
                parts.push(TextPart::Text(std::mem::take(&mut plain)));
            }
            parts.push(part);
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(TextPart::Text(plain));
        }
        Text { parts }
    }

    fn check(&mut self, at: &str, file: &wire::Check) -> Check {
        self.pointer(&format!("{at}.json"), file.json.as_deref());
        Check {
            statuses: file.status.0.iter().map(|(_, Count(status))| *status as u16).collect(),
            contains: file.contains.clone(),
            header: file.header.as_ref().map(|name| name.to_ascii_lowercase()),
            json: file.json.clone(),
        }
    }

    fn extract(&mut self, at: &str, file: &wire::Extract) -> Option<Extract> {
        self.pointer(&format!("{at}.json"), file.json.as_deref());
        match (&file.json, &file.header, &file.regex) {
            (Some(json), None, None) => Some(Extract::Json(json.clone())),
            (None, Some(header), None) => Some(Extract::Header(header.to_ascii_lowercase())),
            (None, None, Some(regex)) => Some(Extract::Regex(regex.clone())),
            _ => {
                let hint = Some("write { json = \"/token\" }".to_owned());
                self.problem(at, "exactly one of json, header, regex", hint);
                None
            }
        }
    }

    fn pointer(&mut self, at: &str, pointer: Option<&str>) {
        if pointer.is_some_and(|pointer| !pointer.is_empty() && !pointer.starts_with('/')) {
            self.problem(at, "a JSON pointer, which begins with a slash", None);
        }
    }
}
