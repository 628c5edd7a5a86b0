//! How far a run has come: a bar on a terminal, a line every few seconds elsewhere.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::Progress;

const LINE_PERIOD: Duration = Duration::from_secs(5);

pub(super) enum Bar {
    Quiet,
    Terminal(ProgressBar),
    Lines { started: Instant, last: Instant },
}

impl Bar {
    pub(super) fn new(quiet: bool) -> Self {
        if quiet {
            return Self::Quiet;
        }
        if !std::io::stderr().is_terminal() {
            return Self::Lines { started: Instant::now(), last: Instant::now() };
        }
        let bar = ProgressBar::new(1_000);
        let style = ProgressStyle::with_template("{bar:30} {percent:>3}%  {msg}  [{elapsed} < {eta}]");
        bar.set_style(style.expect("the template is a constant that a test has seen"));
        Self::Terminal(bar)
    }

    pub(super) fn message(&self, message: &'static str) {
        if let Self::Terminal(bar) = self {
            bar.set_message(message);
            bar.tick();
        }
    }

    pub(super) fn update(&mut self, progress: &Progress) {
        let share = progress.reached.as_secs_f64() / progress.total.as_secs_f64().max(1e-9);
        match self {
            Self::Quiet => {}
            Self::Terminal(bar) => {
                let rate = progress.counts.due as f64 / bar.elapsed().as_secs_f64().max(1e-3);
                bar.set_position((share * 1_000.0) as u64);
                bar.set_message(text(progress, rate));
            }
            Self::Lines { started, last } => {
                if last.elapsed() >= LINE_PERIOD {
                    *last = Instant::now();
                    let rate = progress.counts.due as f64 / started.elapsed().as_secs_f64();
                    let line = format!("{:3.0}%  {}", share * 100.0, text(progress, rate));
                    // Progress that nobody can read stops nothing.
                    let _ = writeln!(std::io::stderr().lock(), "{line}");
                }
            }
        }
    }

    pub(super) fn finish(&self) {
        if let Self::Terminal(bar) = self {
            bar.finish_and_clear();
        }
    }
}

fn text(progress: &Progress, rate: f64) -> String {
    let counts = progress.counts;
    format!(
        "{:.0} of {:.0} s simulated, {} requests ({:.2} million/s), {} failed",
        progress.reached.as_secs_f64(),
        progress.total.as_secs_f64(),
        counts.due,
        rate / 1e6,
        counts.failed
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bars_template_is_good() {
        assert!(ProgressStyle::with_template("{bar:30} {percent:>3}%  {msg}  [{elapsed} < {eta}]").is_ok());
    }
}
