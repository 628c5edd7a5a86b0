//! Intervals as they gather into steps, which grow with the log so that there are never more than so many.

use super::line::Interval;
use super::payload::{self, Decoder, Layout};
use crate::buckets::{Buckets, Fine};

/// The greatest number of steps. They are merged in pairs where there would be more.
pub(super) const STEPS: usize = 1_024;
/// The greatest number of tags.
const TAGS: usize = 64;

/// The log's own buckets that each of the threads that read it holds at a time, of all tags together: 128 MiB of them.
const HELD: usize = 1 << 24;

/// Two significant digits, and counts of any size.
pub type Shape = Buckets<u64, 7>;

/// A stretch of a log: whole intervals.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) times: Shape,
    pub(super) intervals: u64,
    /// How long each tag's intervals are together, in microseconds.
    pub(super) covered: [u64; TAGS],
}

impl Default for Step {
    fn default() -> Self {
        Self { times: Shape::default(), intervals: 0, covered: [0; TAGS] }
    }
}

/// What is known of a tag.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tag {
    pub(super) name: String,
    pub(super) intervals: u64,
    pub(super) times: Fine,
}

/// Where steps begin, how long the first ones are, and how many nanoseconds a value is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grid {
    pub(super) origin: f64,
    pub(super) length: f64,
    pub(super) nanos: u64,
}

/// Counts of one tag in one step, by the log's own buckets: they are sorted into ours once, rather than with each interval.
#[derive(Debug, Default)]
struct Raw {
    layout: Layout,
    step: usize,
    counts: Vec<u64>,
    /// Beyond the last bucket in use.
    end: usize,
}

/// What was read so far.
#[derive(Debug)]
pub(super) struct Gathered {
    grid: Grid,
    /// A step is so many times doubled.
    doubled: u32,
    pub(super) steps: Vec<Option<Box<Step>>>,
    pub(super) tags: Vec<Tag>,
    raw: Vec<Raw>,
    decoder: Decoder,
    pub(super) until: f64,
}

impl Gathered {
    pub(super) fn new(grid: Grid) -> Self {
        Self {
            grid,
            doubled: 0,
            steps: Vec::new(),
            tags: Vec::new(),
            raw: Vec::new(),
            decoder: Decoder::default(),
            until: grid.origin,
        }
    }

    /// Adds an interval.
    ///
    /// # Errors
    /// The problem with its histogram.
    pub(super) fn add(&mut self, interval: &Interval<'_>) -> Result<(), String> {
        let step = self.step(interval);
        let tag = self.tag(interval.tag)?;
        if self.raw.iter().map(|raw| raw.counts.len()).sum::<usize>() > HELD {
            self.settle();
            self.raw.iter_mut().for_each(|raw| raw.counts = Vec::new());
        }
        let (layout, encoded) = self.decoder.open(interval.histogram)?;
        let raw = &mut self.raw[tag];
        if raw.end > 0 && (raw.layout != layout || raw.step != step) {
            settle(raw, self.grid.nanos, &mut self.steps, &mut self.tags[tag]);
        }
        (raw.layout, raw.step) = (layout, step);
        let (counts, end) = (&mut raw.counts, &mut raw.end);
        payload::counts(encoded, |index, n| {
            if index >= counts.len() {
                counts.resize((index + 1).next_power_of_two(), 0);
            }
            counts[index] = counts[index].saturating_add(n);
            *end = (*end).max(index + 1);
        })?;
        let place = self.place(step);
        place.intervals += 1;
        place.covered[tag] += (interval.length * 1e6) as u64;
        self.tags[tag].intervals += 1;
        self.until = self.until.max(interval.start + interval.length);
        Ok(())
    }

    /// In which step it lies, by its middle; steps are merged until it lies in one of those that there may be.
    fn step(&mut self, interval: &Interval<'_>) -> usize {
        let middle = interval.start + 0.5 * interval.length;
        let first = ((middle - self.grid.origin) / self.grid.length).max(0.0) as u64;
        while first >> self.doubled >= STEPS as u64 {
            self.double();
        }
        (first >> self.doubled) as usize
    }

    fn tag(&mut self, name: &str) -> Result<usize, String> {
        if let Some(known) = self.tags.iter().position(|tag| tag.name == name) {
            return Ok(known);
        }
        if self.tags.len() == TAGS {
            return Err(format!("found the tag {name:?}, expected no more than {TAGS} different ones"));
        }
        self.tags.push(Tag { name: name.to_owned(), intervals: 0, times: Fine::default() });
        self.raw.push(Raw::default());
        Ok(self.tags.len() - 1)
    }

    fn place(&mut self, step: usize) -> &mut Step {
        if self.steps.len() <= step {
            self.steps.resize(step + 1, None);
        }
        self.steps[step].get_or_insert_default()
    }

    /// Makes steps twice as long.
    fn double(&mut self) {
        self.settle();
        self.doubled += 1;
        let mut steps = std::mem::take(&mut self.steps).into_iter();
        while let Some(mut even) = steps.next() {
            if let Some(odd) = steps.next().flatten() {
                even.get_or_insert_default().merge(&odd);
            }
            self.steps.push(even);
        }
    }

    /// Sorts what is still in the log's own buckets into ours.
    pub(super) fn settle(&mut self) {
        for (raw, tag) in self.raw.iter_mut().zip(&mut self.tags) {
            settle(raw, self.grid.nanos, &mut self.steps, tag);
        }
    }

    /// Adds what another thread gathered from the same log. Both are settled.
    ///
    /// # Errors
    /// If there are too many tags in all.
    pub(super) fn merge(&mut self, mut other: Self) -> Result<(), String> {
        while self.doubled < other.doubled {
            self.double();
        }
        while other.doubled < self.doubled {
            other.double();
        }
        // Threads meet tags in an order of their own.
        let places = other.tags.iter().map(|tag| self.tag(&tag.name)).collect::<Result<Vec<_>, _>>()?;
        for (tag, place) in other.tags.iter().zip(&places) {
            self.tags[*place].intervals += tag.intervals;
            self.tags[*place].times.merge(&tag.times);
        }
        for (at, step) in other.steps.into_iter().enumerate() {
            if let Some(mut step) = step {
                let mut covered = [0; TAGS];
                places.iter().enumerate().for_each(|(theirs, mine)| covered[*mine] += step.covered[theirs]);
                step.covered = covered;
                self.place(at).merge(&step);
            }
        }
        self.until = self.until.max(other.until);
        Ok(())
    }

    /// How long a step is, in seconds.
    pub(super) fn length(&self) -> f64 {
        self.grid.length * f64::powi(2.0, self.doubled as i32)
    }
}

impl Step {
    pub(super) fn merge(&mut self, other: &Self) {
        self.times.merge(&other.times);
        self.intervals += other.intervals;
        self.covered.iter_mut().zip(other.covered).for_each(|(mine, theirs)| *mine += theirs);
    }
}

fn settle(raw: &mut Raw, nanos: u64, steps: &mut Vec<Option<Box<Step>>>, tag: &mut Tag) {
    if raw.end == 0 {
        return;
    }
    if steps.len() <= raw.step {
        steps.resize(raw.step + 1, None);
    }
    let step = steps[raw.step].get_or_insert_default();
    for (index, count) in raw.counts[..raw.end].iter_mut().enumerate().filter(|(_, count)| **count > 0) {
        let value = raw.layout.greatest(index).saturating_mul(nanos);
        let n = std::mem::take(count);
        step.times.add_n(value, n);
        tag.times.add_n(value, n);
    }
    raw.end = 0;
}
