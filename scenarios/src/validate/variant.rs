//! Variants of the file, and the parts that are played and scored.

use super::Validator;
use crate::diagnostic::one_of;
use crate::scenario::{Play, Run, Variant, Window};
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

    /// What is played, and the part that is scored with its number of seeds.
    pub(super) fn windows(&mut self, run: &Run, variants: &[Variant]) -> (Option<Play>, (Window, u32)) {
        let play = self.file.play.take().map(|p| Play {
            window: Window { from: p.from, length: p.length, rate: p.rate },
            variant: p.variant,
            sets: p.set.0,
            removes: p.remove.0.into_iter().map(|(_, path)| path).collect(),
            impossible: p.impossible,
        });
        if let Some(play) = &play {
            self.play(run, variants, play);
        }
        let score = self.file.score.take().map_or((Window::default(), 5), |s| {
            (Window { from: s.from, length: s.length, rate: s.rate }, s.replications.0 as u32)
        });
        self.window("score", run, score.0);
        (play, score)
    }

    fn play(&mut self, run: &Run, variants: &[Variant], play: &Play) {
        self.window("play", run, play.window);
        if let Some(name) = &play.variant
            && !variants.iter().any(|v| v.name == *name)
        {
            let expected =
                format!("a variant of the file: {}", one_of(variants.iter().map(|v| v.name.as_str())));
            self.problem("play.variant", expected, None);
        }
        if play.impossible.is_some()
            && *play != (Play { impossible: play.impossible.clone(), ..Play::default() })
        {
            self.problem("play.impossible", "no part beside it, as it says that there is none", None);
        }
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

#[cfg(test)]
mod tests {
    use crate::Scenario;

    fn told(play: &str) -> String {
        let text = format!("{}\n[play]\n{play}\n", crate::library::QUICKSTART);
        Scenario::parse("shop.toml", text).err().map_or_else(String::new, |problems| problems.to_string())
    }

    #[test]
    fn what_cannot_be_played_names_no_part_and_what_is_played_a_variant_that_there_is() {
        assert_eq!(told("impossible = \"nobody has such machines\""), "");
        assert_eq!(told("for = \"5s\"\nremove = [\"components.balancer.retries\"]"), "");
        let both = told("impossible = \"nobody has such machines\"\nfor = \"5s\"");
        assert!(both.contains("play.impossible") && both.contains("no part beside it"), "{both}");
        assert!(told("variant = \"larger\"").contains("play.variant: found \"larger\", expected a variant"));
    }
}
