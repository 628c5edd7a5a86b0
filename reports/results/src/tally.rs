//! Counts of outcomes, per interval and class and per window and class.

use crate::buckets::{Buckets, Coarse, Counter, Fine};
use crate::frame::Frame;
use crate::outcome::Failure;
use crate::wire::nanos;
use scenarios::units::SimTime;
use serde::{Deserialize, Serialize};

/// What became of the requests of one cell. Requests belong where they were *due*.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally<B> {
    /// Requests that were sent.
    pub sent: u64,
    /// Good answers.
    pub ok: u64,
    /// Failed requests by kind, in the order of [`Failure::ALL`].
    pub failures: [u64; Failure::ALL.len()],
    /// From due to done, of good answers.
    pub response: B,
    /// From due to done, of failed requests other than dropped ones.
    pub failed_response: B,
    /// From sent to done, of all requests that were sent.
    pub service: B,
    /// From due to done, of good answers to requests that were sent when they were due, until [`Tally::settle`] counts them
    /// both as response and as service.
    pub(crate) direct: B,
    pub(crate) direct_sum_nanos: u64,
    /// The sum of all response times counted, in nanoseconds.
    pub response_sum_nanos: u64,
    /// The sum of all service times counted, in nanoseconds.
    pub service_sum_nanos: u64,
}

impl<B> Tally<B> {
    /// Requests that failed, dropped ones included.
    pub fn failed(&self) -> u64 {
        self.failures.iter().sum()
    }

    /// Requests that were due.
    pub fn due(&self) -> u64 {
        self.ok + self.failed()
    }

    /// Requests that were never sent because too many were under way.
    pub fn dropped(&self) -> u64 {
        self.failures[Failure::Dropped.index()]
    }
}

impl<C: Counter, const BITS: u32> Tally<Buckets<C, BITS>> {
    /// Counts what was answered directly where it belongs.
    pub(crate) fn settle(&mut self) {
        let direct = std::mem::take(&mut self.direct);
        let sum = std::mem::take(&mut self.direct_sum_nanos);
        self.response.merge(&direct);
        self.service.merge(&direct);
        self.response_sum_nanos = self.response_sum_nanos.saturating_add(sum);
        self.service_sum_nanos = self.service_sum_nanos.saturating_add(sum);
    }

    /// Takes less memory, where nothing more is counted soon.
    fn pack(&mut self) {
        for times in [&mut self.response, &mut self.failed_response, &mut self.service] {
            times.pack();
        }
    }

    /// Adds what another tally counted.
    pub fn merge(&mut self, other: &Self) {
        debug_assert!(
            self.direct.is_empty() && other.direct.is_empty(),
            "tallies are settled before they meet"
        );
        self.sent += other.sent;
        self.ok += other.ok;
        for (mine, theirs) in self.failures.iter_mut().zip(other.failures) {
            *mine += theirs;
        }
        self.response.merge(&other.response);
        self.failed_response.merge(&other.failed_response);
        self.service.merge(&other.service);
        self.response_sum_nanos = self.response_sum_nanos.saturating_add(other.response_sum_nanos);
        self.service_sum_nanos = self.service_sum_nanos.saturating_add(other.service_sum_nanos);
    }

    /// The response times of all requests; dropped ones are infinitely late.
    pub fn response_times(&self) -> Distribution {
        let mut all = self.response.clone();
        all.merge(&self.failed_response);
        Distribution::new(&all, self.dropped(), self.response_sum_nanos)
    }

    /// The service times of all requests that were sent.
    pub fn service_times(&self) -> Distribution {
        Distribution::new(&self.service, 0, self.service_sum_nanos)
    }
}

/// Durations in ascending order, some of which may be infinite.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Distribution {
    /// The greatest value of each occupied bucket in nanoseconds, and how many values are in that or an earlier one.
    cumulative: Vec<(u64, u64)>,
    least_nanos: u64,
    infinite: u64,
    sum_nanos: f64,
    squares: f64,
}

impl Distribution {
    /// The distribution of a histogram and of `infinite` values beyond all.
    pub fn new<C: Counter, const BITS: u32>(
        buckets: &Buckets<C, BITS>,
        infinite: u64,
        sum_nanos: u64,
    ) -> Self {
        let mut so_far = 0;
        let mut squares = 0.0;
        let mut least_nanos = None;
        let mut cumulative = Vec::new();
        for (low, high, n) in buckets.iter() {
            so_far += n;
            least_nanos.get_or_insert(low);
            squares += n as f64 * ((low as f64 + high as f64) / 2.0).powi(2);
            cumulative.push((high, so_far));
        }
        let least_nanos = least_nanos.unwrap_or(0);
        Self { cumulative, least_nanos, infinite, sum_nanos: sum_nanos as f64, squares }
    }

    fn finite(&self) -> u64 {
        self.cumulative.last().map_or(0, |c| c.1)
    }

    /// How many values there are.
    pub fn len(&self) -> u64 {
        self.finite() + self.infinite
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of rank `rank`, counted from 1, in seconds: zero below the first, infinite past the last.
    pub fn at_rank(&self, rank: u64) -> f64 {
        if rank == 0 {
            return 0.0;
        }
        let found = self.cumulative.partition_point(|&(_, so_far)| so_far < rank);
        self.cumulative.get(found).map_or(f64::INFINITY, |&(high, _)| high as f64 / 1e9)
    }

    /// The least value with at least `percent` of all values at or below it, in seconds. None if there is no value.
    pub fn percentile(&self, percent: f64) -> Option<f64> {
        let n = self.len();
        (n > 0).then(|| self.at_rank(rank(n, percent)))
    }

    /// How many values are at most so many seconds, as exactly as their buckets are: of the one in which that lies none count.
    pub fn at_most(&self, seconds: f64) -> u64 {
        let limit_nanos = (seconds * 1e9) as u64;
        let above = self.cumulative.partition_point(|&(high, _)| high <= limit_nanos);
        above.checked_sub(1).map_or(0, |last| self.cumulative[last].1)
    }

    /// The least value, in seconds.
    pub fn minimum(&self) -> Option<f64> {
        (!self.is_empty())
            .then(|| if self.finite() > 0 { self.least_nanos as f64 / 1e9 } else { f64::INFINITY })
    }

    /// The mean, in seconds; infinite as soon as one value is.
    pub fn mean(&self) -> Option<f64> {
        let n = self.len();
        (n > 0).then(|| if self.infinite > 0 { f64::INFINITY } else { self.sum_nanos / 1e9 / n as f64 })
    }

    /// The standard deviation of the finite values, in seconds, as exactly as their buckets are.
    pub fn deviation(&self) -> f64 {
        let n = self.finite() as f64;
        if n < 2.0 {
            return 0.0;
        }
        let mean = self.sum_nanos / n;
        (self.squares / n - mean * mean).max(0.0).sqrt() / 1e9
    }
}

/// The rank, from 1, of a percentile among `n` values.
pub(crate) fn rank(n: u64, percent: f64) -> u64 {
    // 99.9% of 1,000 is 999, although in binary it comes out a little above.
    ((percent / 100.0 * n as f64 - 1e-6).ceil() as u64).clamp(1, n)
}

/// All counts of a run, or of a part of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Tallies {
    pub(crate) classes: usize,
    /// By interval × classes + class; made at the first request.
    pub(crate) cells: Vec<Option<Box<Tally<Coarse>>>>,
    /// By window × classes + class.
    pub(crate) windows: Vec<Option<Box<Tally<Fine>>>>,
    /// By window: how late the generator was, where it was late at all.
    pub(crate) window_lags: Vec<Fine>,
    /// By interval: the same.
    pub(crate) interval_lags: Vec<Coarse>,
    /// By interval: good answers, by the time of the answer.
    pub(crate) answered: Vec<u64>,
    /// The latest time at which anything is known to have happened.
    #[serde(with = "nanos")]
    pub(crate) latest: SimTime,
}

impl Tallies {
    /// Nothing counted yet.
    pub fn new(frame: &Frame) -> Self {
        let (intervals, windows) = (frame.intervals(), frame.windows.len());
        Self {
            classes: frame.classes,
            cells: vec![None; intervals * frame.classes],
            windows: vec![None; windows * frame.classes],
            window_lags: vec![Fine::default(); windows],
            interval_lags: vec![Coarse::default(); intervals],
            answered: vec![0; intervals],
            latest: SimTime::ZERO,
        }
    }

    /// Counts what was answered directly where it belongs, before anybody reads.
    pub(crate) fn settle(&mut self) {
        self.cells.iter_mut().flatten().for_each(|cell| cell.settle());
        self.windows.iter_mut().flatten().for_each(|window| window.settle());
    }

    /// Whether another part of the same run may be added: it has as many places to count.
    pub(crate) fn fits(&self, other: &Self) -> bool {
        let places = |of: &Self| {
            let lags = (of.window_lags.len(), of.interval_lags.len());
            (of.classes, of.cells.len(), of.windows.len(), lags, of.answered.len())
        };
        places(self) == places(other)
    }

    /// Adds what another part of the same run counted.
    ///
    /// # Panics
    /// If the frames differ.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(
            (self.cells.len(), self.windows.len()),
            (other.cells.len(), other.windows.len()),
            "tallies of different frames cannot be merged"
        );
        merge_cells(&mut self.cells, &other.cells);
        // Of the intervals before the newest only late answers are still to come.
        let newest = other.cells.iter().rposition(Option::is_some).map_or(0, |at| at / self.classes);
        let before = newest.saturating_sub(1);
        for (mine, theirs) in self.cells[..before * self.classes].iter_mut().zip(&other.cells) {
            if let (Some(mine), None) = (mine, theirs) {
                mine.pack();
            }
        }
        self.interval_lags[..before].iter_mut().for_each(Buckets::pack);
        merge_cells(&mut self.windows, &other.windows);
        for (mine, theirs) in self.window_lags.iter_mut().zip(&other.window_lags) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.interval_lags.iter_mut().zip(&other.interval_lags) {
            mine.merge(theirs);
        }
        for (mine, theirs) in self.answered.iter_mut().zip(&other.answered) {
            *mine += theirs;
        }
        self.latest = self.latest.max(other.latest);
    }

    /// Adds what another part of the same run counted in windows, and nothing of intervals, which take memory as they pass.
    ///
    /// # Panics
    /// If the frames differ.
    pub fn merge_windows(&mut self, other: &Self) {
        assert_eq!(self.windows.len(), other.windows.len(), "tallies of different frames cannot be merged");
        merge_cells(&mut self.windows, &other.windows);
    }

    /// The newest interval in which anything was due.
    pub(crate) fn newest(&self) -> usize {
        self.cells.iter().rposition(Option::is_some).map_or(0, |at| at / self.classes)
    }

    /// Takes out the cells of the intervals before one.
    pub(crate) fn take_before(&mut self, interval: usize, frame: &Frame) -> Self {
        let mut old = Self::new(frame);
        let cells = &mut self.cells[..interval * self.classes];
        cells.iter_mut().zip(&mut old.cells).for_each(|(mine, old)| *old = mine.take());
        old
    }

    /// Adds cells that were taken out.
    pub(crate) fn put_back(&mut self, old: &Self) {
        merge_cells(&mut self.cells, &old.cells);
    }

    /// What was due in an interval: of one class, or of all.
    pub fn interval(&self, interval: usize, class: Option<usize>) -> Tally<Coarse> {
        sum(&self.cells, self.classes, interval, class)
    }

    /// What was due in a window: of one class, or of all.
    pub fn window(&self, window: usize, class: Option<usize>) -> Tally<Fine> {
        sum(&self.windows, self.classes, window, class)
    }

    /// Requests of all classes that were due in an interval.
    pub fn due(&self, interval: usize) -> u64 {
        let cells = &self.cells[interval * self.classes..][..self.classes];
        cells.iter().flatten().map(|tally| tally.due()).sum()
    }

    /// Requests of all classes that were due at any time.
    pub fn all_due(&self) -> u64 {
        self.cells.iter().flatten().map(|tally| tally.due()).sum()
    }

    /// Good answers in an interval, by the time of the answer.
    pub fn answered(&self, interval: usize) -> u64 {
        self.answered[interval]
    }

    /// How late the generator sent what was due in an interval.
    pub fn send_lag(&self, interval: usize) -> Distribution {
        let sent = self.interval(interval, None).sent;
        with_punctual(&self.interval_lags[interval], sent)
    }

    /// How late the generator sent what was due in a window.
    pub fn window_send_lag(&self, window: usize) -> Distribution {
        let sent = self.window(window, None).sent;
        with_punctual(&self.window_lags[window], sent)
    }

    /// The latest time at which anything is known to have happened.
    pub fn latest(&self) -> SimTime {
        self.latest
    }
}

/// Requests without lag are not counted one by one, so that a simulation pays nothing for them.
fn with_punctual<C: Counter, const BITS: u32>(lags: &Buckets<C, BITS>, sent: u64) -> Distribution {
    let late = lags.total();
    let mut all = Distribution::new(lags, 0, 0);
    let punctual = sent.saturating_sub(late);
    if punctual > 0 {
        for entry in &mut all.cumulative {
            entry.1 += punctual;
        }
        all.cumulative.insert(0, (0, punctual));
        all.least_nanos = 0;
    }
    all
}

fn merge_cells<C: Counter, const BITS: u32>(
    mine: &mut [Option<Box<Tally<Buckets<C, BITS>>>>],
    theirs: &[Option<Box<Tally<Buckets<C, BITS>>>>],
) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        match (mine, theirs) {
            (_, None) => {}
            (Some(mine), Some(theirs)) => mine.merge(theirs),
            (mine @ None, Some(_)) => mine.clone_from(theirs),
        }
    }
}

fn sum<C: Counter, const BITS: u32>(
    cells: &[Option<Box<Tally<Buckets<C, BITS>>>>],
    classes: usize,
    row: usize,
    class: Option<usize>,
) -> Tally<Buckets<C, BITS>> {
    let range = class.map_or(0..classes, |c| c..c + 1);
    let mut total: Tally<Buckets<C, BITS>> = Tally::default();
    for tally in cells[row * classes..][range].iter().flatten() {
        total.merge(tally);
    }
    total
}

/// Equal where the counts are: a cell without any is the same as none.
impl PartialEq for Tallies {
    fn eq(&self, other: &Self) -> bool {
        fn same<B: PartialEq + Default>(a: &[Option<Box<Tally<B>>>], b: &[Option<Box<Tally<B>>>]) -> bool {
            let empty = Tally::default();
            a.len() == b.len()
                && a.iter()
                    .zip(b)
                    .all(|(a, b)| a.as_deref().unwrap_or(&empty) == b.as_deref().unwrap_or(&empty))
        }
        self.classes == other.classes
            && same(&self.cells, &other.cells)
            && same(&self.windows, &other.windows)
            && self.window_lags == other.window_lags
            && self.interval_lags == other.interval_lags
            && self.answered == other.answered
            && self.latest == other.latest
    }
}
