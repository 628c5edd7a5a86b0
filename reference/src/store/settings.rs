//! What `CONFIG GET` shows and `CONFIG SET` changes.

use std::path::Path;

use scenarios::scenario::Eviction;

use super::data::{Data, Limits};
use super::output::{Class, OutputLimit, OutputLimits};
use super::save::Files;
use super::server::{MOST_HZ, Server};

/// Settings that are not about records.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) max_clients: usize,
    /// How often a second the store looks after itself, and clears away what is expired.
    pub(super) hz: u64,
    /// All clients' buffers together, in bytes. Redis has no limit here unless told one.
    pub(super) max_memory_clients: u64,
    /// Clients that say nothing for so long are closed; zero: never.
    pub(super) timeout_s: u64,
    pub(super) password: String,
    /// For the store that this one is a copy of.
    pub(super) original_password: String,
    /// Commands that take at least so long are remembered; negative: none.
    pub(super) slow_micros: i64,
    pub(super) slow_most: usize,
    /// Events that take at least so many milliseconds are remembered; zero: none.
    pub(super) latency_ms: u64,
    /// What may be pending for clients.
    pub(super) output_limits: OutputLimits,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_clients: 10_000,
            hz: 10,
            max_memory_clients: 512 << 20,
            timeout_s: 0,
            password: String::new(),
            original_password: String::new(),
            slow_micros: 10_000,
            slow_most: 128,
            latency_ms: 0,
            output_limits: OutputLimits::default(),
        }
    }
}

/// All names, in order.
pub(super) const NAMES: [&str; 22] = [
    "appendonly",
    "client-output-buffer-limit",
    "databases",
    "dbfilename",
    "dir",
    "hz",
    "latency-monitor-threshold",
    "lfu-decay-time",
    "lfu-log-factor",
    "masterauth",
    "maxclients",
    "maxmemory",
    "maxmemory-clients",
    "maxmemory-policy",
    "maxmemory-samples",
    "proto-max-bulk-len",
    "requirepass",
    "save",
    "slowlog-log-slower-than",
    "slowlog-max-len",
    "stop-writes-on-bgsave-error",
    "timeout",
];

impl Server {
    /// The value of a setting, as Redis writes it.
    pub(super) fn setting(&self, name: &str) -> String {
        let (limits, settings) = (&self.data.limits, &self.settings);
        match name {
            "appendonly" => "no".to_owned(),
            "databases" => "1".to_owned(),
            "hz" => settings.hz.to_string(),
            "maxmemory" => limits.max_memory.unwrap_or(0).to_string(),
            "maxmemory-policy" => limits.eviction.name().to_owned(),
            "maxmemory-samples" => limits.samples.to_string(),
            "lfu-log-factor" => limits.lfu_log_factor.to_string(),
            "lfu-decay-time" => limits.lfu_decay_minutes.to_string(),
            "maxclients" => settings.max_clients.to_string(),
            "maxmemory-clients" => settings.max_memory_clients.to_string(),
            "timeout" => settings.timeout_s.to_string(),
            "masterauth" => settings.original_password.clone(),
            "requirepass" => settings.password.clone(),
            "slowlog-log-slower-than" => settings.slow_micros.to_string(),
            "latency-monitor-threshold" => settings.latency_ms.to_string(),
            "dir" => {
                let directory = self.saves.files.path().and_then(Path::parent);
                directory.map_or_else(String::new, |directory| directory.display().to_string())
            }
            "dbfilename" => {
                let name = self.saves.files.path().and_then(Path::file_name);
                name.map_or_else(String::new, |name| name.to_string_lossy().into_owned())
            }
            "save" => {
                let rules =
                    self.saves.files.rules.iter().map(|(seconds, changes)| format!("{seconds} {changes}"));
                rules.collect::<Vec<_>>().join(" ")
            }
            "stop-writes-on-bgsave-error" => {
                if self.saves.files.stops_writes { "yes" } else { "no" }.to_owned()
            }
            "slowlog-max-len" => settings.slow_most.to_string(),
            "proto-max-bulk-len" => crate::resp::BULK_LIMIT.to_string(),
            "client-output-buffer-limit" => settings.output_limits.to_string(),
            _ => String::new(),
        }
    }

    /// Changes several settings at once, or none; the name of the first that cannot be.
    pub(super) fn change_settings<'n>(&mut self, changes: &[(&'n [u8], &[u8])]) -> Result<(), &'n [u8]> {
        let (mut limits, mut settings) = (self.data.limits, self.settings.clone());
        let mut files = self.saves.files.clone();
        for (name, value) in changes {
            let lower = name.to_ascii_lowercase();
            change_file(&mut files, &lower, value)
                .or_else(|| change(&mut limits, &mut settings, &lower, value))
                .ok_or(*name)?;
        }
        self.settings = settings;
        self.saves.files = files;
        if self.data.limits.eviction != limits.eviction {
            self.data.forget_candidates();
        }
        self.data.limits = limits;
        Ok(())
    }
}

impl Data {
    /// What was known of candidates for eviction is worth nothing to another policy.
    fn forget_candidates(&mut self) {
        self.pool = super::eviction::Pool::default();
    }
}

fn change(limits: &mut Limits, settings: &mut Settings, name: &[u8], value: &[u8]) -> Option<()> {
    let text = std::str::from_utf8(value).ok()?;
    match name {
        b"maxmemory" => limits.max_memory = Some(memory(text)?).filter(|bytes| *bytes > 0),
        b"maxmemory-policy" => {
            limits.eviction = Eviction::ALL.into_iter().find(|p| text.eq_ignore_ascii_case(p.name()))?;
        }
        b"maxmemory-samples" => limits.samples = text.parse().ok().filter(|n| (1..=64).contains(n))?,
        b"lfu-log-factor" => limits.lfu_log_factor = text.parse().ok()?,
        b"lfu-decay-time" => limits.lfu_decay_minutes = text.parse().ok()?,
        b"maxclients" => settings.max_clients = text.parse().ok().filter(|n| *n > 0)?,
        // Redis takes the nearest of what it can.
        b"hz" => settings.hz = text.parse::<u64>().ok()?.clamp(1, MOST_HZ),
        b"maxmemory-clients" => settings.max_memory_clients = memory(text).filter(|bytes| *bytes > 0)?,
        b"timeout" => settings.timeout_s = text.parse().ok()?,
        b"masterauth" => settings.original_password = text.to_owned(),
        b"requirepass" => settings.password = text.to_owned(),
        b"slowlog-log-slower-than" => settings.slow_micros = text.parse().ok()?,
        b"latency-monitor-threshold" => settings.latency_ms = text.parse().ok()?,
        b"slowlog-max-len" => settings.slow_most = text.parse().ok()?,
        b"client-output-buffer-limit" => {
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            for class in words.chunks(4) {
                let [name, hard, soft, seconds] = class else { return None };
                let (hard_bytes, soft_bytes) = (memory(hard)?, memory(soft)?);
                let soft_s = seconds.parse().ok()?;
                settings
                    .output_limits
                    .set(Class::named(name)?, OutputLimit { hard_bytes, soft_bytes, soft_s });
            }
        }
        // There is no log of commands.
        b"appendonly" if text == "no" => {}
        _ => return None,
    }
    Some(())
}

/// What is about files of what the store holds. Where they are no client may say, as in Redis (`enable-protected-configs`).
fn change_file(files: &mut Files, name: &[u8], value: &[u8]) -> Option<()> {
    let text = std::str::from_utf8(value).ok()?;
    match name {
        b"stop-writes-on-bgsave-error" => {
            files.stops_writes = match text {
                "yes" => true,
                "no" => false,
                _ => return None,
            };
        }
        b"save" => {
            let numbers: Option<Vec<u64>> =
                text.split_ascii_whitespace().map(|word| word.parse().ok()).collect();
            let (rules, rest) = numbers.as_ref()?.as_chunks::<2>();
            let are_rules =
                rest.is_empty() && rules.iter().all(|[seconds, changes]| *seconds > 0 && *changes > 0);
            files.rules =
                are_rules.then(|| rules.iter().map(|[seconds, changes]| (*seconds, *changes)).collect())?;
        }
        _ => return None,
    }
    Some(())
}

/// Redis's notation: `100mb` is binary, `100m` decimal.
fn memory(text: &str) -> Option<u64> {
    let text = text.to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let factor = match &text[digits..] {
        "" | "b" => 1,
        "k" => 1000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    text[..digits].parse::<u64>().ok()?.checked_mul(factor)
}
