//! Replayed files: read, held against the request classes, and hashed.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufReader, Read};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::traffic::Around;
use super::{Validator, hexadecimal};
use crate::logs;
use crate::rng::{Purpose, Stream};
use crate::scenario::{Action, ClassId, KeyspaceId, Origin, PathPart, Replay, RequestClass, Step};
use crate::trace::{Reading, Trace};
use crate::wire::{self, ReplayFormat};

const SHARE: Purpose = Purpose::named("replay-share");
/// No replayed file is longer, in bytes.
const FILE_LIMIT: u64 = 2 << 30;

impl Validator<'_> {
    /// Reads the file of a replay.
    pub(super) fn replay(&mut self, at: &str, file: &wire::Replay, around: &Around<'_>) -> Option<Replay> {
        let speed = file.speed.0;
        if !(0.001..=1e6).contains(&speed) {
            self.problem(&format!("{at}.speed"), "a factor from 0.001 to 1_000_000", None);
            return None;
        }
        let share = file.share.get();
        if !(share > 0.0 && share <= 1.0) {
            self.problem(&format!("{at}.share"), "a share above 0% and at most 100%", None);
            return None;
        }
        let file_at = format!("{at}.file");
        let path = self.d.beside(file.file.as_ref()?);
        let opened = File::open(&path).and_then(|f| Ok((f.metadata()?.len(), f)));
        let input = match opened {
            Ok((bytes, input)) if bytes <= FILE_LIMIT => input,
            Ok((bytes, _)) => {
                self.d.problem(&file_at, format!("a file of {bytes} bytes"), "a file of at most 2GiB", None);
                return None;
            }
            Err(error) => {
                let found = format!("{}: {error}", path.display());
                let hint = "the path is relative to the scenario's file".to_owned();
                self.d.problem(&file_at, found, "a readable file", Some(hint));
                return None;
            }
        };
        let digest = RefCell::new(Sha256::new());
        let hashing = Hashing { input, digest: &digest };
        let classes: Vec<(String, u64)> =
            around.requests.iter().map(|class| (class.name.clone(), keys(class, around))).collect();
        let class = |name: &str| {
            let found = classes.iter().position(|(class, _)| class == name)?;
            Some((ClassId(found as u16), classes[found].1))
        };
        let seed = around.run.seed;
        let reading = Reading {
            class: &class,
            classes: classes.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", "),
            speed,
            from_first_row: file.origin == Origin::FirstRow,
            keep: &|row| share >= 1.0 || Stream::new(seed, SHARE, row).unit() < share,
        };
        let matcher = |method: &str, path: &str| {
            around.requests.iter().find_map(|class| Some((class.name.clone(), matches(class, method, path)?)))
        };
        let input = BufReader::with_capacity(1 << 16, hashing);
        let trace = match file.format {
            ReplayFormat::Csv => Trace::read(input, &reading),
            ReplayFormat::JsonLines => logs::json_lines(input, &matcher, file.unmatched)
                .and_then(|rows| Trace::of_rows(rows, &reading)),
            ReplayFormat::AccessLog => logs::access_log(input, &matcher, file.unmatched)
                .and_then(|rows| Trace::of_rows(rows, &reading)),
            ReplayFormat::Har => {
                logs::har(input, &matcher, file.unmatched).and_then(|rows| Trace::of_rows(rows, &reading))
            }
        };
        match trace {
            Ok(trace) if trace.is_empty() => {
                self.d.problem(
                    &file_at,
                    format!("{} without rows", path.display()),
                    "at least one request",
                    None,
                );
                None
            }
            Ok(trace) => {
                let hash = hexadecimal(&digest.into_inner().finalize());
                Some(Replay { file: path, hash, trace: Arc::new(trace) })
            }
            Err(bad) => {
                let found = format!("{}:{}: {}", path.display(), bad.line, bad.found);
                self.d.problem(&file_at, found, bad.expected, None);
                None
            }
        }
    }
}

/// Whether a class has this method and path; if so, the first key in the path.
fn matches(class: &RequestClass, method: &str, path: &str) -> Option<Option<u64>> {
    if class.method.as_str() != method {
        return None;
    }
    let (mut rest, mut key) = (path, None);
    for part in &class.path.parts {
        match part {
            PathPart::Text(text) => {
                // A query in a class's path is no part of what logs are matched by.
                rest = rest.strip_prefix(text.split('?').next().unwrap_or_default())?;
                if text.contains('?') {
                    break;
                }
            }
            PathPart::Key(_) => {
                let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
                let number = rest[..digits].parse::<u64>().ok()?;
                key = key.or(Some(number));
                rest = &rest[digits..];
            }
            PathPart::Kept(_) => {
                let end = rest.find(['/', '?']).unwrap_or(rest.len());
                rest = &rest[end..];
            }
        }
    }
    rest.is_empty().then_some(key)
}

/// How many keys the least keyspace has that a class names; a class without keyspaces takes any key.
fn keys(class: &RequestClass, around: &Around<'_>) -> u64 {
    let in_path = class.path.parts.iter().filter_map(|part| match part {
        PathPart::Key(keyspace) => Some(keys_of(*keyspace, around)),
        PathPart::Text(_) | PathPart::Kept(_) => None,
    });
    in_path.chain([keys_of_steps(&class.steps, around)]).min().unwrap_or(u64::MAX)
}

fn keys_of(keyspace: KeyspaceId, around: &Around<'_>) -> u64 {
    around.keyspaces.get(keyspace.index()).map_or(u64::MAX, |k| k.keys)
}

/// The least of the keyspaces that steps name, those of classes that they call apart: a recorded key that is none of such a
/// keyspace's is not used there.
fn keys_of_steps(steps: &[Step], around: &Around<'_>) -> u64 {
    let of = |step: &Step| match &step.action {
        Action::Get { keyspace, .. }
        | Action::Set { keyspace, .. }
        | Action::Select { keyspace, .. }
        | Action::Update { keyspace, .. } => keys_of(*keyspace, around),
        Action::Parallel(steps) => keys_of_steps(steps, around),
        Action::Purge(purge) => {
            let parts = purge.tags.iter().flat_map(|tag| &tag.parts);
            let keys = parts.filter_map(|part| match part {
                PathPart::Key(keyspace) => Some(keys_of(*keyspace, around)),
                PathPart::Text(_) | PathPart::Kept(_) => None,
            });
            keys.min().unwrap_or(u64::MAX)
        }
        Action::Work(_)
        | Action::Serialize { .. }
        | Action::Wait(_)
        | Action::Call(_)
        | Action::Publish
        | Action::ThirdParty(_) => u64::MAX,
    };
    steps.iter().map(of).min().unwrap_or(u64::MAX)
}

/// Hashes what is read.
struct Hashing<'a> {
    input: File,
    digest: &'a RefCell<Sha256>,
}

impl Read for Hashing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.digest.borrow_mut().update(&buffer[..read]);
        Ok(read)
    }
}
