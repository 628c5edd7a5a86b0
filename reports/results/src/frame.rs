//! How a run's time is cut: equal intervals for charts, and windows between the edges of faults for figures.

use scenarios::Scenario;
use scenarios::units::SimTime;

/// What a window is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// Before the measured part.
    Warmup,
    /// Measured, and nothing is broken.
    Quiet,
    /// Measured, while these faults last: positions in the scenario's list.
    Fault(Vec<usize>),
}

/// Where a window stands to all faults of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stands {
    /// Measured, and before the first of them.
    Before,
    /// Measured, and after the last of them.
    After,
    /// In the warm-up, during one, between two, or in a run without any.
    Elsewhere,
}

/// A stretch of the run in which nothing starts or stops being broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Unique in the run: `before`, `during kill host:app[1]`, `after`.
    pub name: String,
    /// What it is.
    pub kind: WindowKind,
    /// Where it stands to all faults.
    pub stands: Stands,
    /// Its start.
    pub from: SimTime,
    /// Its end, the next one's start.
    pub until: SimTime,
}

impl Window {
    /// Whether it belongs to the measured part.
    pub fn is_measured(&self) -> bool {
        self.kind != WindowKind::Warmup
    }
}

/// How a run is cut. Windows partition the axis in order; intervals are equal but for the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The end of the run.
    pub total: SimTime,
    /// The end of the warm-up.
    pub warmup: SimTime,
    /// The length of an interval.
    pub interval: SimTime,
    /// How many classes of request there are.
    pub classes: usize,
    /// The windows.
    pub windows: Vec<Window>,
}

/// The greatest number of intervals.
const MOST_INTERVALS: u64 = 1_000;
/// Lengths that a reader of a time axis likes, in seconds.
const NICE_SECS: [u64; 18] =
    [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200];

fn nice_interval(total: SimTime) -> SimTime {
    let secs = NICE_SECS.into_iter().find(|s| SimTime::from_secs(s * MOST_INTERVALS) >= total);
    let days = || total.as_nanos().div_ceil(SimTime::from_secs(86_400 * MOST_INTERVALS).as_nanos());
    SimTime::from_secs(secs.unwrap_or_else(|| 86_400 * days()))
}

impl Frame {
    /// The frame of a scenario's run.
    pub fn new(scenario: &Scenario) -> Self {
        let faults: Vec<_> = scenario.faults.iter().map(|f| (f.name.as_str(), f.from, f.until)).collect();
        Self::cut(scenario.run.warmup, scenario.run.total(), scenario.requests.len(), &faults)
    }

    /// The frame of a run with these faults: name, start, end.
    pub fn cut(warmup: SimTime, total: SimTime, classes: usize, faults: &[(&str, SimTime, SimTime)]) -> Self {
        let mut edges = vec![warmup, total];
        for &(_, from, until) in faults {
            edges.extend([from.clamp(warmup, total), until.clamp(warmup, total)]);
        }
        edges.sort_unstable();
        edges.dedup();
        let mut windows = Vec::new();
        if warmup > SimTime::ZERO {
            windows.push(window("warm-up".to_owned(), WindowKind::Warmup, SimTime::ZERO, warmup));
        }
        for edge in edges.windows(2) {
            let lasting: Vec<usize> = (0..faults.len())
                .filter(|&i| faults[i].1 <= edge[0] && faults[i].2 >= edge[1] && faults[i].1 < faults[i].2)
                .collect();
            let kind = if lasting.is_empty() { WindowKind::Quiet } else { WindowKind::Fault(lasting) };
            windows.push(window(String::new(), kind, edge[0], edge[1]));
        }
        // Those that are over before anything is measured are none of the run's.
        let seen = || faults.iter().filter(|f| (f.1 >= warmup || f.2 > warmup) && f.1 < total);
        if let (Some(first), Some(last)) = (seen().map(|f| f.1).min(), seen().map(|f| f.2).max()) {
            for window in windows.iter_mut().filter(|window| window.kind == WindowKind::Quiet) {
                window.stands = match () {
                    () if window.until <= first => Stands::Before,
                    () if window.from >= last => Stands::After,
                    () => Stands::Elsewhere,
                };
            }
        }
        if windows.is_empty() {
            // A run without length still needs a place for what is recorded.
            windows.push(window(String::new(), WindowKind::Quiet, SimTime::ZERO, total));
        }
        name(&mut windows, faults);
        Self { total, warmup, interval: nice_interval(total), classes, windows }
    }

    /// How many intervals there are; at least one.
    pub fn intervals(&self) -> usize {
        (self.total.as_nanos().div_ceil(self.interval.as_nanos()) as usize).max(1)
    }

    /// Start and end of an interval.
    pub fn bounds(&self, interval: usize) -> (SimTime, SimTime) {
        let from = SimTime::from_nanos(self.interval.as_nanos() * interval as u64);
        (from, (from + self.interval).min(self.total))
    }

    /// The interval in which a time lies; the last for times past the end.
    pub fn interval_of(&self, at: SimTime) -> usize {
        ((at.as_nanos() / self.interval.as_nanos()) as usize).min(self.intervals() - 1)
    }

    /// The window in which a time lies; the last for times past the end.
    pub fn window_of(&self, at: SimTime) -> usize {
        self.windows.partition_point(|w| w.until <= at).min(self.windows.len().saturating_sub(1))
    }
}

fn window(name: String, kind: WindowKind, from: SimTime, until: SimTime) -> Window {
    Window { name, kind, stands: Stands::Elsewhere, from, until }
}

/// Gives every measured window a name that is unique in the run.
fn name(windows: &mut [Window], faults: &[(&str, SimTime, SimTime)]) {
    let first_fault = windows.iter().position(|w| matches!(w.kind, WindowKind::Fault(_)));
    let last_fault = windows.iter().rposition(|w| matches!(w.kind, WindowKind::Fault(_)));
    let mut taken: Vec<String> = Vec::new();
    for (i, window) in windows.iter_mut().enumerate() {
        let name = match (&window.kind, first_fault, last_fault) {
            (WindowKind::Warmup, ..) => "warm-up".to_owned(),
            (WindowKind::Fault(lasting), ..) => {
                let names: Vec<_> = lasting.iter().map(|&f| faults[f].0).collect();
                format!("during {}", names.join(" and "))
            }
            (WindowKind::Quiet, Some(first), _) if i < first => "before".to_owned(),
            (WindowKind::Quiet, _, Some(last)) if i > last => "after".to_owned(),
            (WindowKind::Quiet, Some(_), _) => "between".to_owned(),
            (WindowKind::Quiet, None, _) => "run".to_owned(),
        };
        let same = taken.iter().filter(|t| **t == name).count();
        window.name = if same == 0 { name.clone() } else { format!("{name} ({})", same + 1) };
        taken.push(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(s: u64) -> SimTime {
        SimTime::from_secs(s)
    }

    fn names(frame: &Frame) -> Vec<&str> {
        frame.windows.iter().map(|w| w.name.as_str()).collect()
    }

    #[test]
    fn windows_partition_the_axis_between_fault_edges() {
        let faults = [("kill host:app[1]", secs(15), secs(23)), ("hang component:db[1]", secs(20), secs(25))];
        let frame = Frame::cut(secs(5), secs(35), 2, &faults);
        assert_eq!(
            names(&frame),
            [
                "warm-up",
                "before",
                "during kill host:app[1]",
                "during kill host:app[1] and hang component:db[1]",
                "during hang component:db[1]",
                "after"
            ]
        );
        assert_eq!(frame.windows[0].from, SimTime::ZERO);
        assert!(frame.windows.windows(2).all(|w| w[0].until == w[1].from));
        assert_eq!(frame.windows.last().map(|w| w.until), Some(secs(35)));
        assert_eq!(frame.window_of(secs(15)), 2);
        assert_eq!(frame.window_of(secs(99)), 5);
    }

    #[test]
    fn repeated_faults_have_names_of_their_own() {
        let faults =
            [("kill a", secs(1), secs(2)), ("kill a", secs(4), secs(5)), ("kill a", secs(7), secs(8))];
        let frame = Frame::cut(SimTime::ZERO, secs(9), 1, &faults);
        assert_eq!(
            names(&frame),
            [
                "before",
                "during kill a",
                "between",
                "during kill a (2)",
                "between (2)",
                "during kill a (3)",
                "after"
            ]
        );
    }

    #[test]
    fn windows_stand_before_the_first_fault_and_after_the_last() {
        let faults = [
            ("kill a", secs(1), secs(2)),
            ("flush b", secs(8), secs(8)),
            ("kill a", secs(10), secs(12)),
            ("kill c", secs(15), secs(16)),
        ];
        let frame = Frame::cut(secs(5), secs(20), 1, &faults);
        let stand: Vec<_> =
            frame.windows.iter().map(|w| (w.from.as_nanos() / 1_000_000_000, w.stands)).collect();
        use Stands::{After, Before, Elsewhere};
        let expected = [
            (0, Elsewhere),
            (5, Before),
            (8, Elsewhere),
            (10, Elsewhere),
            (12, Elsewhere),
            (15, Elsewhere),
            (16, After),
        ];
        assert_eq!(stand, expected);
        let quiet = Frame::cut(secs(5), secs(20), 1, &faults[..1]);
        assert!(quiet.windows.iter().all(|window| window.stands == Elsewhere));
    }

    #[test]
    fn faults_in_the_warm_up_leave_the_measured_part_whole() {
        let frame = Frame::cut(secs(5), secs(10), 1, &[("kill a", secs(1), secs(3))]);
        assert_eq!(names(&frame), ["warm-up", "run"]);
    }

    #[test]
    fn intervals_are_nice_and_at_most_a_thousand() {
        for total in [1, 5, 30, 999, 1_001, 3_600, 86_400, 608_400, 40_000_000, 400_000_000] {
            let frame = Frame::cut(SimTime::ZERO, secs(total), 1, &[]);
            assert!((1..=1_000).contains(&frame.intervals()), "{total}");
            assert!(frame.interval >= secs(1));
            assert_eq!(frame.bounds(frame.intervals() - 1).1, secs(total));
            assert_eq!(frame.interval_of(secs(total)), frame.intervals() - 1);
        }
        assert_eq!(Frame::cut(secs(3_600), secs(608_400), 1, &[]).interval, secs(900));
    }
}
