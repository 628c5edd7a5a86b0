//! A run that somebody is asked to make: a scenario's text, the files that it is read with, and a seed. Its key is the hash of all that
//! decides what comes out, so that the same run has the same key whoever asks for it, and when.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use scenarios::{Scenario, derive};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Under which tasks stand in the queue: behind it the program and the key.
pub(super) const TASKS: &str = "rehearsal.sim.tasks";
/// Under which it is told how a task stands: behind it the key.
const NEWS: &str = "rehearsal.sim.news";
/// Under which workers tell that they are there.
pub(super) const BEATS: &str = "rehearsal.sim.workers";

/// A run that somebody is asked to make.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Task {
    /// Which program may make it.
    pub(super) build: String,
    /// What messages call the scenario.
    pub(super) name: String,
    /// The scenario.
    pub(super) text: Text,
    /// The files that it is read with.
    pub(super) files: Vec<Kept>,
    /// The seed of the run.
    pub(super) seed: u64,
}

/// A scenario's text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Text {
    /// Itself.
    Here(String),
    /// Too long for a message.
    Kept(Kept),
}

/// Something large that is in the store, by its contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kept {
    /// The SHA-256 of its bytes, in lower-case hexadecimal; its name in the store.
    pub(super) hash: String,
    /// How many bytes there are.
    pub(super) bytes: u64,
}

/// How a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum News {
    /// A worker is at it; the share that is done.
    Running(f64),
    /// There is an answer.
    Answered,
}

/// A worker tells that it is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Beat {
    /// Its name: the machine's and the process's.
    pub(super) name: String,
    /// Which program it is.
    pub(super) build: String,
    /// How many runs it makes at once.
    pub(super) threads: usize,
    /// How many it is at.
    pub(super) busy: usize,
}

impl Kept {
    /// Of these bytes.
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self { hash: hash(bytes), bytes: bytes.len() as u64 }
    }
}

impl Text {
    fn hash(&self) -> String {
        match self {
            Self::Here(text) => hash(text.as_bytes()),
            Self::Kept(kept) => kept.hash.clone(),
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Here(text) => text.len() as u64,
            Self::Kept(kept) => kept.bytes,
        }
    }
}

impl Task {
    /// The key: the hash of all that decides what comes out. What messages call the scenario does not.
    pub(super) fn key(&self) -> String {
        let mut all = format!("{}\n{}\n", self.build, self.text.hash());
        for file in &self.files {
            let _ = writeln!(all, "{}", file.hash);
        }
        let _ = write!(all, "seed {}", self.seed);
        hash(all.as_bytes())
    }

    /// Where it stands in the queue.
    pub(super) fn subject(&self) -> String {
        format!("{TASKS}.{}.{}", self.build, self.key())
    }

    /// The size of the scenario, the files that it is read with included.
    pub(super) fn bytes(&self) -> u64 {
        self.text
            .bytes()
            .saturating_add(self.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add))
    }

    /// Whether it is for this program, under this key, and of this size.
    pub(super) fn check(&self, build: &str, key: &str, most_bytes: u64) -> anyhow::Result<()> {
        if self.build != build {
            bail!(
                "the task is for the program {}, the worker is {build}\n  hint: all machines need the same file of the program",
                self.build
            );
        }
        if self.key() != key {
            bail!("the task is not what its key says");
        }
        let bytes = self.bytes();
        if bytes > most_bytes {
            bail!(
                "{}: found {bytes} bytes, files included, expected at most {most_bytes}\n  hint: start workers with a larger \
                 --max-scenario",
                self.name
            );
        }
        Ok(())
    }
}

/// Where it is told how a task stands.
pub(super) fn news(key: &str) -> String {
    format!("{NEWS}.{key}")
}

/// A task with what must be in the store before anybody can make it.
pub(super) struct Asked {
    pub(super) task: Task,
    pub(super) contents: Vec<Contents>,
}

/// Something large, where it is on this machine.
pub(super) enum Contents {
    Text(Kept, String),
    File(Kept, PathBuf),
}

impl Asked {
    /// The task of making a run of a scenario; a text longer than `most_here` bytes does not go into the message.
    ///
    /// # Errors
    /// Where a file that the scenario was read with is gone.
    pub(super) fn new(build: &str, scenario: &Scenario, most_here: usize) -> anyhow::Result<Self> {
        let portable = derive::portable(scenario);
        let mut contents = Vec::new();
        let mut files = Vec::new();
        for file in portable.files {
            let about =
                fs::metadata(&file.path).with_context(|| format!("cannot read {}", file.path.display()))?;
            let kept = Kept { hash: file.hash, bytes: about.len() };
            files.push(kept.clone());
            contents.push(Contents::File(kept, file.path));
        }
        let text = if portable.text.len() <= most_here {
            Text::Here(portable.text)
        } else {
            let kept = Kept::of(portable.text.as_bytes());
            contents.push(Contents::Text(kept.clone(), portable.text));
            Text::Kept(kept)
        };
        let name = scenario.source.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let task = Task { build: build.to_owned(), name, text, files, seed: scenario.run.seed.0 };
        Ok(Self { task, contents })
    }
}

impl Contents {
    /// What it is called in the store.
    pub(super) fn kept(&self) -> &Kept {
        match self {
            Self::Text(kept, _) | Self::File(kept, _) => kept,
        }
    }

    /// The bytes.
    ///
    /// # Errors
    /// Where a file is not what the scenario was read with any more.
    pub(super) fn read(&self) -> anyhow::Result<Vec<u8>> {
        let (kept, path) = match self {
            Self::Text(_, text) => return Ok(text.clone().into_bytes()),
            Self::File(kept, path) => (kept, path),
        };
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        if Kept::of(&bytes) != *kept {
            bail!("{} changed since the scenario was read\n  hint: start again", path.display());
        }
        Ok(bytes)
    }
}

/// The SHA-256 of bytes, in lower-case hexadecimal.
pub(super) fn hash(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// Bytes in lower-case hexadecimal.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(text: &str, most_here: usize) -> Asked {
        let scenario = Scenario::parse("shop.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        Asked::new("abc", &scenario, most_here).expect("it names no files")
    }

    #[test]
    fn a_key_is_that_of_the_program_the_text_and_the_seed_alone() {
        let text = scenarios::library::QUICKSTART;
        let task = asked(text, 1 << 20).task;
        let own = task.key();
        assert_eq!(own, asked(text, 1 << 20).task.key());
        assert_eq!(own, asked(text, 10).task.key(), "wherever the text is kept");
        assert_eq!(own, Task { name: "other.toml".to_owned(), ..task.clone() }.key());
        let file = Kept::of(b"rows");
        for other in [
            Task { seed: task.seed + 1, ..task.clone() },
            Task { build: "abd".to_owned(), ..task.clone() },
            Task { files: vec![file], ..task.clone() },
            asked(&text.replace("300/s", "301/s"), 1 << 20).task,
        ] {
            assert_ne!(other.key(), own, "{other:?}");
        }
        assert!(fleet::is_token(&own), "{own}");
    }

    #[test]
    fn a_long_text_goes_into_the_store() {
        let text = scenarios::library::QUICKSTART;
        let long = asked(text, 10);
        assert!(matches!(&long.task.text, Text::Kept(kept) if kept.bytes == text.len() as u64));
        assert_eq!(long.contents.len(), 1);
        assert_eq!(long.contents[0].read().expect("it is here"), text.as_bytes());
        assert_eq!(long.task.bytes(), text.len() as u64);
        assert!(asked(text, 1 << 20).contents.is_empty());
    }

    #[test]
    fn a_file_that_changed_is_not_sent() {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let path = directory.path().join("rows.csv");
        fs::write(&path, "rows").expect("it can be written");
        let file = Contents::File(Kept::of(b"rows"), path.clone());
        assert_eq!(file.read().expect("it is as it was"), b"rows");
        fs::write(&path, "rowz").expect("it can be written");
        let refused = file.read().expect_err("it changed").to_string();
        assert!(refused.contains("changed since the scenario was read"), "{refused}");
    }

    #[test]
    fn what_a_worker_must_not_make_it_refuses() {
        let task = asked(scenarios::library::QUICKSTART, 1 << 20).task;
        let (key, bytes) = (task.key(), task.bytes());
        assert!(task.check("abc", &key, bytes).is_ok());
        let refused = |build, key: &str, most| task.check(build, key, most).expect_err("refused").to_string();
        assert!(refused("abd", &key, bytes).contains("for the program abc, the worker is abd"));
        assert!(refused("abc", &key[1..], bytes).contains("not what its key says"));
        let large = refused("abc", &key, bytes - 1);
        assert!(large.starts_with("shop.toml: found "), "{large}");
        assert!(large.contains("--max-scenario"), "{large}");
    }
}
