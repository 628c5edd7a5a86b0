//! How a run stands, while it runs: a bar on a terminal, a plain line every few seconds elsewhere.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Between two plain lines.
const PAUSE: Duration = Duration::from_secs(5);
/// Steps of the bar.
const STEPS: u64 = 10_000;
const TEMPLATE: &str = "{bar:20} {percent:>3}%  {wide_msg}  [{elapsed} < {eta}]";

/// Shows how far a run has come, on standard error.
#[derive(Debug)]
pub struct Progress {
    view: View,
    started: Instant,
}

#[derive(Debug)]
enum View {
    Nothing,
    Bar(ProgressBar),
    Lines { last: Option<Instant> },
}

impl Progress {
    /// Shows something only where it is `wanted`.
    pub fn new(wanted: bool) -> Self {
        let view = if !wanted {
            View::Nothing
        } else if io::stderr().is_terminal() {
            let bar = ProgressBar::new(STEPS);
            let style = ProgressStyle::with_template(TEMPLATE);
            bar.set_style(style.expect("the template is a constant that a test has seen"));
            View::Bar(bar)
        } else {
            View::Lines { last: None }
        };
        Self { view, started: Instant::now() }
    }

    /// Since it was made.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Says what is being done before there is a share to show. Only a terminal shows it.
    pub fn message(&self, message: &'static str) {
        if let View::Bar(bar) = &self.view {
            bar.set_message(message);
            bar.tick();
        }
    }

    /// Shows that `share` of the run is done, from 0 to 1, and a text that is made only where it is seen.
    pub fn show(&mut self, share: f64, text: impl FnOnce() -> String) {
        match &mut self.view {
            View::Nothing => {}
            View::Bar(bar) => {
                if bar.is_finished() {
                    // One that was taken away would stay so.
                    bar.reset();
                    bar.set_elapsed(self.started.elapsed());
                }
                bar.set_position((share.clamp(0.0, 1.0) * STEPS as f64) as u64);
                bar.set_message(text());
            }
            View::Lines { last } => {
                if last.is_none_or(|last| last.elapsed() >= PAUSE) {
                    *last = Some(Instant::now());
                    // Progress that nobody can read is no reason to stop.
                    let _ = writeln!(io::stderr().lock(), "{:3.0}%  {}", share * 100.0, text());
                }
            }
        }
    }

    /// Takes the bar away, until something is shown again.
    pub fn end(&self) {
        if let View::Bar(bar) = &self.view {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_template_is_good() {
        assert!(ProgressStyle::with_template(TEMPLATE).is_ok());
    }

    #[test]
    fn a_bar_that_was_taken_away_comes_back_with_what_is_shown_next() {
        let mut progress = Progress { view: View::Bar(ProgressBar::hidden()), started: Instant::now() };
        for _ in 0..2 {
            progress.show(0.5, String::new);
            let View::Bar(bar) = &progress.view else { unreachable!("it was made as a bar") };
            assert!(!bar.is_finished() && bar.position() == STEPS / 2);
            progress.end();
        }
    }

    #[test]
    fn nobodys_progress_makes_no_text() {
        Progress::new(false).show(0.5, || panic!("nobody sees it"));
    }
}
