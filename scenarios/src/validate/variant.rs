//! Variants of the file, and the parts that are played and scored.

use super::Validator;
use crate::scenario::{Run, Variant, Window};
use crate::units::{Ratio, SimTime};

impl Validator<'_> {
    /// What variants change is read when they are made.
    pub(super) fn variants(&mut self) -> Vec<Variant> {
        let files = std::mem::take(&mut self.file.variants.0);
        let mut all = Vec::new();
        for (name, file) in files {
            let removes: Vec<String> = file.remove.0.into_iter().map(|(_, path)| path).collect();
            if file.set.0.is_empty() && removes.is_empty() {
                let hint = Some("add set.\"hosts.app.count\" = 2".to_owned());
                self.d.problem(
                    &format!("variants.{name}"),
                    "no change",
                    "something that is set or removed",
                    hint,
                );
            }
            all.push(Variant { name, what: file.what.unwrap_or_default(), sets: file.set.0, removes });
        }
        all
    }

    /// The part that is played, and the one that is scored with its number of seeds.
    pub(super) fn windows(&mut self, run: &Run) -> (Option<Window>, (Window, u32)) {
        let play = self.file.play.take().map(|p| Window { from: p.from, length: p.length, rate: p.rate });
        if let Some(play) = play {
            self.window("play", run, play);
        }
        let score = self.file.score.take().map_or((Window::default(), 5), |s| {
            (Window { from: s.from, length: s.length, rate: s.rate }, s.replications.0 as u32)
        });
        self.window("score", run, score.0);
        (play, score)
    }

    pub(super) fn window(&mut self, at: &str, run: &Run, window: Window) {
        let from = window.from.unwrap_or(run.from);
        let end = run.from.saturating_add(run.duration);
        let length = window.length.unwrap_or(end.saturating_sub(from));
        if from < run.from || length == SimTime::ZERO || from.saturating_add(length) > end {
            let expected = format!("a part of the run, which lasts from {} to {end}", run.from);
            self.problem(at, expected, None);
        }
        if window.rate.is_some_and(|rate| rate.get() <= 0.0) {
            self.problem(&format!("{at}.rate"), format!("a share above {}", Ratio::new(0.0)), None);
        }
    }
}
