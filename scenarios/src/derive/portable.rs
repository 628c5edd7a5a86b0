//! A scenario for another machine: its text, and the files that it is read with, by their contents.

use std::path::PathBuf;

use toml_edit::{DocumentMut, Item};

use super::files;
use crate::scenario::{Executor, Scenario};

/// A scenario that can be read wherever its text and its files are, and is the same there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Portable {
    /// The text. The files that it is read with have their SHA-256 for a name in it, and are expected beside it.
    pub text: String,
    /// Those files.
    pub files: Vec<Contents>,
}

/// A file by its contents.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Contents {
    /// The SHA-256 of its bytes, in lower-case hexadecimal; also what the text calls it.
    pub hash: String,
    /// Where it is on this machine.
    pub path: PathBuf,
}

/// Makes a scenario portable. What its variants and its `[play]` name is not taken along: who reads the text derives nothing.
pub fn portable(scenario: &Scenario) -> Portable {
    let replays = scenario.traffic.iter().filter_map(|traffic| match &traffic.executor {
        Executor::Replay(replay) => Some(("traffic", &traffic.name, &replay.hash, &replay.file)),
        _ => None,
    });
    let feeds = scenario.feeds.iter().map(|feed| ("feeds", &feed.name, &feed.hash, &feed.file));
    let named: Vec<_> = replays.chain(feeds).collect();
    if named.is_empty() {
        return Portable { text: scenario.source.text.clone(), files: Vec::new() };
    }
    let mut document = read(&scenario.source.text).expect("a scenario was read from this text as TOML");
    files::rename(document.as_table_mut(), &|path, _| {
        let [table, name, ..] = path else { return None };
        let found = named.iter().find(|(in_table, of, ..)| in_table == table && of.as_str() == *name);
        found.map(|(_, _, hash, _)| (*hash).clone())
    });
    let mut files: Vec<Contents> = Vec::new();
    for (_, _, hash, path) in named {
        if files.iter().all(|file| file.hash != *hash) {
            files.push(Contents { hash: hash.clone(), path: path.clone() });
        }
    }
    Portable { text: document.to_string(), files }
}

/// The files that a text would be read with as a scenario, by the names that it has for them, whoever wrote it; none where it is no
/// TOML. Who takes scenarios from others reads none that names what did not come with it.
pub fn named_files(text: &str) -> Option<Vec<String>> {
    let mut document = read(text)?;
    let names = std::cell::RefCell::new(Vec::new());
    files::rename(document.as_table_mut(), &|_, file| {
        names.borrow_mut().push(file.to_owned());
        None
    });
    let mut names = names.into_inner();
    let calibration = document.get("calibration").and_then(Item::as_table_like);
    let included = calibration.and_then(|calibration| calibration.get("include")).and_then(Item::as_str);
    names.extend(included.map(str::to_owned));
    Some(names)
}

fn read(text: &str) -> Option<DocumentMut> {
    text.trim_start_matches('\u{feff}').parse().ok()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LOG: &str = "time_s,class\n0.5,page\n2.5,page\n";
    const TEXT: &str = r#"
title = "Played again" # as it was
[run]
duration = "10s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
[feeds.people]
file = "people.csv"
[requests.page]
method = "POST"
path = "/"
body = '{"who": "{people.name}"}'
[traffic.log]
to = "shop"
executor = "replay"
file = "log.csv"
"#;

    #[test]
    fn a_scenario_with_files_is_the_same_where_only_their_contents_are() {
        let here = tempfile::tempdir().expect("a temporary directory can be made");
        let there = tempfile::tempdir().expect("a temporary directory can be made");
        fs::write(here.path().join("people.csv"), "name\nann\nbob\n").expect("it can be written");
        fs::write(here.path().join("log.csv"), LOG).expect("it can be written");
        let own = Scenario::parse(here.path().join("own.toml"), TEXT).unwrap_or_else(|p| panic!("{p}"));
        let portable = portable(&own);
        assert!(portable.text.contains("# as it was") && !portable.text.contains("log.csv"), "{portable:?}");
        let mut names: Vec<String> = portable.files.iter().map(|file| file.hash.clone()).collect();
        let mut named = named_files(&portable.text).expect("it is TOML");
        named.sort();
        names.sort();
        assert_eq!(named, names);
        for file in &portable.files {
            fs::copy(&file.path, there.path().join(&file.hash)).expect("it can be copied");
        }
        let other = Scenario::parse(there.path().join("other.toml"), portable.text.as_str());
        let other = other.unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(other.feeds[0].rows, own.feeds[0].rows);
        let hash = |scenario: &Scenario| match &scenario.traffic[0].executor {
            Executor::Replay(replay) => (replay.hash.clone(), replay.trace.len()),
            other => panic!("{other:?}"),
        };
        assert_eq!(hash(&other), hash(&own));
    }

    #[test]
    fn a_scenario_without_files_stays_as_it_is() {
        let text = crate::library::QUICKSTART;
        let scenario = Scenario::parse("quickstart.toml", text).expect("it is tested");
        assert_eq!(portable(&scenario), Portable { text: text.to_owned(), files: Vec::new() });
        assert_eq!(named_files(text), Some(Vec::new()));
    }

    #[test]
    fn every_file_that_is_read_with_a_text_is_named() {
        let text = "feeds = { a = { file = \"/etc/passwd\" } }\ntraffic.b.file = \"../c\"\n\
                    [calibration]\ninclude = \"d.toml\"\n";
        assert_eq!(named_files(text).expect("it is TOML"), ["/etc/passwd", "../c", "d.toml"]);
        assert_eq!(named_files("no toml"), None);
    }
}
