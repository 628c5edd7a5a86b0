//! What the outcome is held against: thresholds and published figures.

use super::Validator;
use crate::quantity::selector::{self, Condition, Selector};
use crate::scenario::{ClassId, Published};
use crate::threshold::{Figure, Metric, Threshold};
use crate::wire;

impl Validator<'_> {
    /// Reads a selector and resolves its class.
    fn selector(&mut self, at: &str, text: &str) -> Option<(Selector, Option<ClassId>)> {
        let selector = self.d.read(text, at, Selector::read)?;
        let class = match &selector.class {
            None => None,
            Some(name) => Some(ClassId(self.resolve(|v| &v.classes, at, name)?)),
        };
        Some((selector, class))
    }

    pub(super) fn thresholds(&mut self) -> Vec<Threshold> {
        let files = self.file.thresholds.0.clone();
        let mut thresholds = Vec::new();
        for (text, conditions) in &files {
            let at = wire::decode::join("thresholds", text);
            let selector = match Selector::read(text) {
                Ok(selector) => selector,
                Err(misread) => {
                    self.d.key_problem(&at, text, misread.expected, misread.hint);
                    continue;
                }
            };
            let class = match &selector.class {
                None => None,
                Some(name) => match self.classes.find(name) {
                    Some(class) => Some(ClassId(class)),
                    None => {
                        let (expected, hint) = self.classes.unknown(name);
                        self.d.key_problem(&at, text, expected, hint);
                        continue;
                    }
                },
            };
            if selector.aggregate.is_some() {
                let hint = Some(format!("{} = [\"p(99)<250ms\"]", selector.metric.name()));
                self.d.key_problem(&at, text, "the aggregate in the condition", hint);
                continue;
            }
            for (i, limit) in &conditions.0 {
                let own = format!("{at}[{i}]");
                let at = format!("{own}{}", limit.key);
                let Some(condition_text) = &limit.condition else { continue };
                let judged_late = selector.metric.is_of_recovery() || selector.metric == Metric::Rate;
                if limit.abort.is_some() && judged_late {
                    let expected = "no abort_on_fail: only response_time, service_time and failed are known before the end";
                    self.problem(&format!("{own}.abort_on_fail"), expected, None);
                }
                let read = |t: &str| Condition::read(selector.metric, t);
                let Some(condition) = self.d.read(condition_text, &at, read) else { continue };
                let figure = Figure {
                    metric: selector.metric,
                    class,
                    during: selector.during,
                    aggregate: condition.aggregate,
                };
                thresholds.push(Threshold {
                    figure,
                    comparison: condition.comparison,
                    limit: condition.limit,
                    selector: text.clone(),
                    condition: condition_text.clone(),
                    abort: limit.abort,
                });
            }
        }
        thresholds
    }

    pub(super) fn published(&mut self) -> Vec<Published> {
        let files = self.file.published.0.clone();
        let mut all = Vec::new();
        for (i, file) in &files {
            let at = format!("published[{i}]");
            let metric_at = format!("{at}.metric");
            let selected = file.metric.as_ref().and_then(|m| self.selector(&metric_at, m));
            let Some((selector, class)) = selected else { continue };
            let Some(aggregate) = selector.aggregate else {
                let example =
                    if matches!(selector.metric.name(), "failed" | "rate") { "rate" } else { "avg" };
                let hint = Some(format!("write \"{}{{{example}}}\"", selector.metric.name()));
                self.problem(&metric_at, "a metric with an aggregate", hint);
                continue;
            };
            let read = |t: &str| selector::limit(selector.metric, aggregate, t);
            let value = file.value.as_ref().and_then(|v| self.d.read(v, &format!("{at}.value"), read));
            let (Some(what), Some(value), Some(tolerance)) = (file.what.clone(), value, file.tolerance)
            else {
                continue;
            };
            let metric = Figure { metric: selector.metric, class, during: selector.during, aggregate };
            all.push(Published { what, metric, value, tolerance });
        }
        all
    }
}
