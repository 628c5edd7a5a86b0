//! From an access log to a scenario: a curve, a mix, popularities, sizes, sessions, each with how good the fit is.
//!
//! Reads the log once, in memory that does not grow with it. Owns the estimates; refuses to know what serves the requests:
//! the stack in the fragment is a stand-in.

pub(crate) mod line;
mod paths;
mod popularity;
mod sizes;
mod visits;
mod write;

use std::collections::BTreeMap;
use std::io::{self, BufRead};

use line::Line;
use paths::Paths;
use visits::Visits;

/// No line is longer, in bytes; what is over is taken for broken.
const LINE_LIMIT: usize = 64 << 10;
/// So many broken lines are shown.
const SHOWN: usize = 5;
/// Minutes that are told apart: twenty years of them.
const MINUTES_LIMIT: usize = 10_000_000;

/// What a log says.
#[derive(Debug, Default)]
pub struct Fit {
    lines: u64,
    requests: u64,
    broken: u64,
    shown: Vec<(u64, String)>,
    /// Requests by the minute of the log's own clock.
    minutes: BTreeMap<i64, u32>,
    /// Requests whose minute was one too many.
    untimed: u64,
    /// The first and the last second.
    span: Option<(i64, i64)>,
    errors: u64,
    refusals: u64,
    paths: Paths,
    visits: Visits,
}

impl Fit {
    /// Reads a log.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(mut log: impl BufRead) -> io::Result<Self> {
        let mut fit = Self::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = io::Read::take(&mut log, LINE_LIMIT as u64).read_until(b'\n', &mut line)?;
            if read == 0 {
                return Ok(fit);
            }
            fit.lines += 1;
            let whole = line.last() == Some(&b'\n') || read < LINE_LIMIT;
            if !whole {
                skip_line(&mut log)?;
            }
            let text = line.trim_ascii_end();
            match Line::read(text).filter(|_| whole) {
                Some(found) => fit.add(&found),
                None if text.is_empty() => {}
                None => fit.add_broken(text),
            }
        }
    }

    fn add(&mut self, line: &Line<'_>) {
        self.requests += 1;
        let at = line.local_seconds;
        let minute = at.div_euclid(60);
        if self.minutes.len() < MINUTES_LIMIT || self.minutes.contains_key(&minute) {
            *self.minutes.entry(minute).or_default() += 1;
        } else {
            self.untimed += 1;
        }
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));
        self.errors += u64::from(line.status >= 500);
        self.refusals += u64::from((400..500).contains(&line.status));
        self.paths.add(line.method, line.path, line.status, line.bytes);
        self.visits.add(line.address, line.agent, at - line.zone_seconds);
    }

    fn add_broken(&mut self, text: &[u8]) {
        self.broken += 1;
        if self.shown.len() < SHOWN {
            let text: String =
                String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(120).collect();
            self.shown.push((self.lines, text));
        }
    }

    /// How many requests were read.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// How many lines were of another format, and the first few of them with their numbers.
    pub fn broken(&self) -> (u64, &[(u64, String)]) {
        (self.broken, &self.shown)
    }

    /// A scenario with what was found; `name` is what the log is called in it. None where there was no request.
    pub fn scenario(&self, name: &str) -> Option<String> {
        write::scenario(self, name)
    }

    /// Requests by the hour of the log's clock, and the share of each hour that the log covers.
    fn hours(&self) -> BTreeMap<i64, (u64, f64)> {
        let Some((first, last)) = self.span else { return BTreeMap::new() };
        let mut hours = BTreeMap::new();
        for hour in first.div_euclid(3600)..=last.div_euclid(3600) {
            let (from, to) = (first.max(hour * 3600), (last + 1).min((hour + 1) * 3600));
            hours.insert(hour, (0, (to - from) as f64 / 3600.0));
        }
        for (minute, count) in &self.minutes {
            if let Some((requests, _)) = hours.get_mut(&minute.div_euclid(60)) {
                *requests += u64::from(*count);
            }
        }
        hours
    }

    /// The variance of the counts of minutes within their hours over its mean: 1 for Poisson arrivals, more for bursts.
    /// None where there are too few whole hours.
    fn dispersion(&self) -> Option<f64> {
        let (mut deviations, mut means, mut hours) = (0.0, 0.0, 0);
        for (hour, (requests, covered)) in self.hours() {
            if covered < 1.0 || requests < 600 {
                continue;
            }
            let counts: Vec<f64> = (hour * 60..(hour + 1) * 60)
                .map(|minute| self.minutes.get(&minute).map_or(0.0, |c| f64::from(*c)))
                .collect();
            // The rate changes within an hour: a straight line through it is taken off, which takes two degrees of freedom.
            let mean = counts.iter().sum::<f64>() / 60.0;
            let slope = (0..60).map(|i| (f64::from(i) - 29.5) * counts[i as usize]).sum::<f64>() / 17_995.0;
            let off = |(i, c): (usize, &f64)| (c - mean - slope * (i as f64 - 29.5)).powi(2);
            deviations += counts.iter().enumerate().map(off).sum::<f64>() / 58.0;
            means += mean;
            hours += 1;
        }
        (hours > 0).then(|| deviations / means)
    }
}

fn skip_line(log: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = log.fill_buf()?;
        let (used, done) = match buffer.iter().position(|b| *b == b'\n') {
            Some(end) => (end + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        log.consume(used);
        if done {
            return Ok(());
        }
    }
}
