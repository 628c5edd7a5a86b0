//! Where a record comes from: all that may differ between two equal runs.

use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::agents::Agent;
use crate::segments::Segment;
use crate::wire::{duration, timestamp};

/// Where a record comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The program and its version.
    pub tool: String,
    /// The command with its arguments, which repeats the run.
    pub command: Vec<String>,
    /// Which part of a file was run, in words; none where it was all of it, or nobody said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The segments of the plan that the record holds, by their numbers; none of a run that is whole by itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub segments: Vec<Segment>,
    /// The machines that played it together, by segment; none of a run that one machine played.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<Agent>,
    /// When the run was started.
    #[serde(with = "timestamp")]
    pub started: Timestamp,
    /// How long it took by the clock on the wall.
    #[serde(rename = "took_s", with = "duration")]
    pub took: Duration,
    /// What it ran on.
    pub machine: Machine,
}

/// A machine, as far as it says what it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Machine {
    /// The processor's model.
    pub processor: String,
    /// Cores that the process may use.
    pub cores: usize,
    /// Main memory in bytes.
    pub memory_bytes: u64,
    /// The operating system's name.
    pub system: String,
    /// The kernel's version.
    pub kernel: String,
}

impl Provenance {
    /// A run of this process that starts now: `tool` names the program and its version, as in `sim 0.1.0`.
    pub fn here(tool: impl Into<String>) -> Self {
        Self {
            tool: tool.into(),
            command: std::env::args().collect(),
            part: None,
            segments: Vec::new(),
            agents: Vec::new(),
            started: Timestamp::now(),
            took: Duration::ZERO,
            machine: Machine::this(),
        }
    }

    /// The same of a part of a file.
    pub fn of_part(self, part: Option<String>) -> Self {
        Self { part, ..self }
    }

    /// Of a record that only exists to compute figures.
    pub(crate) fn nowhere() -> Self {
        let started = Timestamp::UNIX_EPOCH;
        Self {
            tool: String::new(),
            command: Vec::new(),
            part: None,
            segments: Vec::new(),
            agents: Vec::new(),
            started,
            took: Duration::ZERO,
            machine: Machine::default(),
        }
    }
}

impl Machine {
    /// The machine of this process, as Linux's /proc describes it; what cannot be found out stays empty.
    pub fn this() -> Self {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, key: &str, separator: char| {
            let line = text.lines().find(|l| l.starts_with(key));
            let value = line.and_then(|l| l.split_once(separator)).map(|(_, v)| v.trim());
            value.unwrap_or_default().trim_matches('"').to_owned()
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal", ':');
        let kibibytes: u64 = memory.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        Self {
            processor: value(&read("/proc/cpuinfo"), "model name", ':'),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kibibytes * 1024,
            system: value(&read("/etc/os-release"), "PRETTY_NAME", '='),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}
