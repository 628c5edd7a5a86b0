//! How a run stands, while it runs: one live line on a terminal, a plain line every few seconds elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use loadgen::Snapshot;
use scenarios::Scenario;
use scenarios::units::SimTime;

use crate::summary::milliseconds;

/// Between two plain lines.
const PAUSE: Duration = Duration::from_secs(5);

/// Shows a run's progress on standard error.
#[derive(Debug)]
pub(crate) struct Progress {
    view: View,
    warmup: SimTime,
}

#[derive(Debug)]
enum View {
    Nothing,
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

impl Progress {
    pub(crate) fn new(wanted: bool, scenario: &Scenario) -> Self {
        let view = if !wanted {
            View::Nothing
        } else if io::stderr().is_terminal() {
            let bar = ProgressBar::new(scenario.run.total().as_nanos());
            let style = ProgressStyle::with_template("{bar:10} {wide_msg}");
            bar.set_style(style.expect("the template is a constant"));
            View::Bar(bar)
        } else {
            View::Lines { last: None }
        };
        Self { view, warmup: scenario.run.warmup }
    }

    pub(crate) fn show(&mut self, snapshot: &Snapshot) {
        match &mut self.view {
            View::Nothing => {}
            View::Bar(bar) => {
                bar.set_position(snapshot.at.min(snapshot.total).as_nanos());
                bar.set_message(line(snapshot, self.warmup));
            }
            View::Lines { last } => {
                if last.is_none_or(|last| last.elapsed() >= PAUSE) {
                    *last = Some(Instant::now());
                    // Progress that nobody can read is no reason to stop.
                    let _ = writeln!(io::stderr(), "{}", line(snapshot, self.warmup));
                }
            }
        }
    }

    pub(crate) fn end(&self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

fn line(snapshot: &Snapshot, warmup: SimTime) -> String {
    let pulse = &snapshot.pulse;
    let waiting = if pulse.queue > 0 { format!(" + {} waiting", pulse.queue) } else { String::new() };
    format!(
        "{:.0} of {:.0} s{}  {:.0}/s  in flight {}{waiting}  p50 {}  p99 {}  failed {}",
        snapshot.at.min(snapshot.total).as_secs_f64().floor(),
        snapshot.total.as_secs_f64(),
        if snapshot.at < warmup { " (warm-up)" } else { "" },
        snapshot.rate,
        pulse.under_way,
        milliseconds(snapshot.p50),
        milliseconds(snapshot.p99),
        pulse.failed,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_the_run_stands() {
        let mut snapshot = Snapshot {
            at: SimTime::from_millis(1_900),
            total: SimTime::from_secs(33),
            ..Snapshot::default()
        };
        snapshot.rate = 299.6;
        snapshot.p50 = Some(0.0051);
        snapshot.pulse.under_way = 3;
        snapshot.pulse.queue = 7;
        assert_eq!(
            line(&snapshot, SimTime::from_secs(3)),
            "1 of 33 s (warm-up)  300/s  in flight 3 + 7 waiting  p50 5.10 ms  p99 -  failed 0"
        );
    }
}
