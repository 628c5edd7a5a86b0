//! Interval logs of HdrHistogram, of any tool and any length, read in one pass.
//!
//! What is held does not grow with the log: intervals gather into at most a thousand steps, merged in pairs where there would be more,
//! and are dropped. The lines are decoded by all cores.

mod blocks;
mod gather;
mod line;
pub(crate) mod payload;

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

pub use gather::Shape;

use crate::buckets::Fine;
use crate::error::Error;
use blocks::{Block, Blocks, each};
use gather::{Gathered, Grid};
use line::{Interval, Line, parse};

/// An interval log, with its intervals merged into steps.
#[derive(Clone, Debug, PartialEq)]
pub struct IntervalLog {
    /// The file.
    pub path: PathBuf,
    /// How long it is, in bytes.
    pub bytes: u64,
    /// When its times begin, in seconds since 1970; none where it does not say.
    pub epoch_s: Option<f64>,
    /// How many histograms it has.
    pub intervals: u64,
    /// The length of a usual interval, in seconds.
    pub interval_s: f64,
    /// From the first interval's start to the latest end, in seconds.
    pub length_s: f64,
    /// Each series that the log has, by its tag, which is empty where there is none; in the order of their names.
    pub tags: Vec<TagTimes>,
    /// In order; stretches without an interval are left out.
    pub steps: Vec<Step>,
}

/// All values of one tag.
#[derive(Clone, Debug, PartialEq)]
pub struct TagTimes {
    /// The tag.
    pub name: String,
    /// How many histograms it has.
    pub intervals: u64,
    /// All of them together, in nanoseconds.
    pub times: Fine,
}

/// Neighbouring intervals of all tags together.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// In seconds since the first interval's start.
    pub from_s: f64,
    /// Its end.
    pub until_s: f64,
    /// How long its intervals last, in seconds: those of the tag that has most. What a count is divided by for a rate.
    pub covered_s: f64,
    /// How many histograms there are.
    pub intervals: u64,
    /// All of them together, in nanoseconds.
    pub times: Shape,
}

/// What the numbers in a log's histograms count. A log does not say so itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// As most tools write them.
    #[default]
    Nanoseconds,
    /// As wrk2 does, and cassandra-stress.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
}

impl TimeUnit {
    const fn nanos(self) -> u64 {
        match self {
            Self::Nanoseconds => 1,
            Self::Microseconds => 1_000,
            Self::Milliseconds => 1_000_000,
        }
    }
}

/// Why a block could not be read: by the place of the line in the file, in bytes.
enum Fault {
    Io(io::Error),
    Line(u64, String),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// So many intervals of the first block tell how long a usual one is.
const LOOKED_AT: usize = 64;
/// A log without comments counts from 1970 where its times are as great as this: the year 2001.
const ABSOLUTE: f64 = 1e9;

impl IntervalLog {
    /// Whether a file begins as an interval log does, rather than as a record or a journal.
    pub fn is_one(path: &Path) -> bool {
        let mut start = [0; 256];
        let read = File::open(path).and_then(|mut file| file.read(&mut start)).unwrap_or(0);
        let first = start[..read].iter().find(|b| !b.is_ascii_whitespace());
        path.is_file() && first.is_some_and(|b| b"#\"T".contains(b) || b.is_ascii_digit())
    }

    /// Reads a log.
    ///
    /// # Errors
    /// If it cannot be read, has no interval, or a line of it is none of an interval log.
    pub fn read(path: &Path, unit: TimeUnit) -> Result<Self, Error> {
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(failed)?;
        let bytes = file.metadata().map_err(failed)?.len();
        let mut blocks = Blocks::of(file);
        let told = |fault: Fault| match fault {
            Fault::Io(source) => failed(source),
            Fault::Line(at, problem) => {
                Error::Log { path: path.to_owned(), line: line_at(path, at), problem }
            }
        };
        let first = blocks.next().map_err(failed)?;
        let nothing =
            || Error::Log { path: path.to_owned(), line: 1, problem: "found no interval".to_owned() };
        let head = Head::of(first.as_ref().ok_or_else(nothing)?).map_err(told)?;
        let (origin, length) = (head.origin.ok_or_else(nothing)?, head.length);
        let grid = Grid { origin, length, nanos: unit.nanos() };
        let gathered = each(
            first,
            &mut blocks,
            || Gathered::new(grid),
            |state, block| {
                lines(block, |at, line| {
                    let Line::Interval(interval) = line else { return Ok(()) };
                    state.add(&interval).map_err(|problem| Fault::Line(at, problem))
                })
            },
        );
        let mut all = Gathered::new(grid);
        for mut one in gathered.map_err(told)? {
            one.settle();
            all.merge(one).map_err(|problem| told(Fault::Line(0, problem)))?;
        }
        Ok(Self::of(all, path, bytes, &head, origin))
    }

    fn of(gathered: Gathered, path: &Path, bytes: u64, head: &Head, origin: f64) -> Self {
        let length = gathered.length();
        let length_s = gathered.until - origin;
        let step = |(at, step): (usize, Option<Box<gather::Step>>)| {
            let step = *step?;
            let covered = step.covered.iter().copied().max().unwrap_or(0);
            Some(Step {
                from_s: at as f64 * length,
                until_s: ((at + 1) as f64 * length).min(length_s.max(at as f64 * length)),
                covered_s: covered as f64 / 1e6,
                intervals: step.intervals,
                times: step.times,
            })
        };
        let tag = |tag: gather::Tag| TagTimes { name: tag.name, intervals: tag.intervals, times: tag.times };
        let mut tags: Vec<TagTimes> = gathered.tags.into_iter().map(tag).collect();
        tags.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            path: path.to_owned(),
            bytes,
            epoch_s: head.epoch(origin),
            intervals: tags.iter().map(|tag| tag.intervals).sum(),
            interval_s: head.length,
            length_s,
            tags,
            steps: gathered.steps.into_iter().enumerate().filter_map(step).collect(),
        }
    }
}

/// What the first block says of the whole.
#[derive(Debug, Default)]
struct Head {
    base: Option<f64>,
    start: Option<f64>,
    origin: Option<f64>,
    length: f64,
}

impl Head {
    fn of(block: &Block) -> Result<Self, Fault> {
        let mut head = Self::default();
        let mut lengths = Vec::new();
        lines(block, |_, line| {
            match line {
                Line::Base(at) => head.base = Some(at),
                Line::Start(at) => head.start = Some(at),
                Line::Interval(Interval { start, length, .. }) if lengths.len() < LOOKED_AT => {
                    head.origin.get_or_insert(start);
                    lengths.push(length);
                }
                Line::Interval(_) | Line::Other => {}
            }
            Ok(())
        })?;
        lengths.sort_by(f64::total_cmp);
        head.length = lengths.get(lengths.len() / 2).copied().filter(|s| *s > 1e-6).unwrap_or(1.0);
        Ok(head)
    }

    /// When the first interval began. The log's times count from the base; without one from the start, where they are much
    /// smaller; else they are absolute, or nothing is known.
    fn epoch(&self, origin: f64) -> Option<f64> {
        match (self.base, self.start) {
            (Some(base), _) if base + origin > ABSOLUTE => Some(base + origin),
            (None, Some(start)) if origin < ABSOLUTE && start > ABSOLUTE => Some(start + origin),
            (None, _) if origin > ABSOLUTE => Some(origin),
            _ => None,
        }
    }
}

/// Hands on each line of a block, with its place in the file. A last line without an end may have been cut off when the tool was
/// stopped, so that it counts only if it is whole.
fn lines(block: &Block, mut take: impl FnMut(u64, Line<'_>) -> Result<(), Fault>) -> Result<(), Fault> {
    let mut at = block.at;
    for line in block.lines.split_inclusive(|b| *b == b'\n') {
        let (text, ended) = line.strip_suffix(b"\n").map_or((line, false), |text| (text, true));
        let taken = parse(text).map_err(|problem| Fault::Line(at, problem)).and_then(|line| take(at, line));
        if ended {
            taken?;
        }
        at += line.len() as u64;
    }
    Ok(())
}

/// Which line begins at a place, from 1. Only errors ask, so nobody counts lines before.
fn line_at(path: &Path, at: u64) -> usize {
    let mut before = File::open(path).map(|file| file.take(at)).ok();
    let (mut block, mut count) = (vec![0; 1 << 16], 1);
    while let Some(read) = before.as_mut().and_then(|file| file.read(&mut block).ok()).filter(|n| *n > 0) {
        count += block[..read].iter().filter(|b| **b == b'\n').count();
    }
    count
}
