//! What the outcome is held against: thresholds and published figures.

use super::Validator;
use crate::diagnostic::one_of;
use crate::quantity::Misread;
use crate::quantity::selector::{self, Condition, Selector};
use crate::scenario::{Claim, ClassId, Observed, Published, Role, Variant};
use crate::threshold::{Aggregate, During, Figure, Metric, Threshold};
use crate::wire;

impl Validator<'_> {
    /// Which part of the run is meant.
    ///
    /// # Errors
    /// What is expected, with a hint, where the file has no such fault.
    fn during(&self, selector: &Selector) -> Result<During, (String, Option<String>)> {
        let Some(number) = selector.fault else { return Ok(selector.during) };
        let written = self.file.faults.0.len();
        if number > written {
            let expected = match written {
                0 => "no fault after during: as the file has none".to_owned(),
                _ => format!("a fault of the file: faults[1] to faults[{written}]"),
            };
            return Err((expected, (written > 0).then(|| "write during:faults[1]".to_owned())));
        }
        let place = format!("faults[{number}]");
        Ok(During::OneFault(self.faults_of_run.iter().position(|of_run| *of_run == place)))
    }

    /// Reads a selector and resolves its class and its fault.
    fn selector(&mut self, at: &str, text: &str) -> Option<(Selector, Option<ClassId>)> {
        let mut selector = self.d.read(text, at, Selector::read)?;
        match self.during(&selector) {
            Ok(during) => selector.during = during,
            Err((expected, hint)) => {
                self.problem(at, expected, hint);
                return None;
            }
        }
        let class = match &selector.class {
            None => None,
            Some(name) => Some(ClassId(self.resolve(|v| &v.classes, at, name)?)),
        };
        Some((selector, class))
    }

    /// The thresholds under a key of the file.
    pub(super) fn thresholds(
        &mut self,
        key: &str,
        files: &[(String, wire::decode::List<wire::Limit>)],
    ) -> Vec<Threshold> {
        let mut thresholds = Vec::new();
        for (text, conditions) in files {
            let at = wire::decode::join(key, text);
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
            let during = match self.during(&selector) {
                Ok(during) => during,
                Err((expected, hint)) => {
                    self.d.key_problem(&at, text, expected, hint);
                    continue;
                }
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
                let figure =
                    Figure { metric: selector.metric, class, during, aggregate: condition.aggregate };
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

    pub(super) fn published(&mut self, variants: &[Variant]) -> Vec<Published> {
        let files = self.file.published.0.clone();
        let mut all = Vec::new();
        for (i, file) in files {
            let place = format!("published[{i}]");
            if let Some(name) = &file.variant
                && !variants.iter().any(|v| v.name == *name)
            {
                let names = variants.iter().map(|v| v.name.as_str());
                let expected = format!("a variant of the file: {}", one_of(names));
                self.problem(&format!("{place}.variant"), expected, None);
            }
            let held = matches!(file.role, Role::Predicted | Role::Derived | Role::Fitted);
            let claim = if held { self.claim(&place, &file) } else { self.stated_only(&place, &file) };
            let (Some(what), Some(claim)) = (file.what, claim) else { continue };
            all.push(Published {
                what,
                role: file.role,
                variant: file.variant,
                of: file.of,
                contradicts: file.contradicts,
                claim,
                metric: file.metric.unwrap_or_default(),
                stated: file.value.or(file.holds).unwrap_or_default(),
                source: file.source,
                assumed: file.assumed,
                place,
            });
        }
        all
    }

    /// What is not held against a run has a value and nothing that would be compared.
    fn stated_only(&mut self, place: &str, file: &wire::Published) -> Option<Option<(Observed, Claim)>> {
        if file.value.is_none() {
            self.d.problem(
                place,
                "no value",
                "the value that was published",
                Some("add value = \"3\"".into()),
            );
        }
        let compared = [
            ("metric", file.metric.is_some()),
            ("tolerance", file.tolerance.is_some()),
            ("holds", file.holds.is_some()),
        ];
        for (key, _) in compared.into_iter().filter(|(_, there)| *there) {
            let at = format!("{place}.{key}");
            self.problem(&at, format!("no {key} where the role is \"input\" or \"outside\""), None);
        }
        Some(None)
    }

    fn claim(&mut self, place: &str, file: &wire::Published) -> Option<Option<(Observed, Claim)>> {
        let at = format!("{place}.metric");
        let Some(text) = &file.metric else {
            let hint = Some("add metric = \"response_time{avg}\", or role = \"input\"".to_owned());
            self.d.problem(place, "no metric", "the metric that it is held against", hint);
            return None;
        };
        let observed = match text.split_once('{').map_or(text.as_str(), |(name, _)| name).rsplit_once('.') {
            Some((of, _)) => self.series(&at, of, text)?,
            None => {
                let (selector, class) = self.selector(&at, text)?;
                let Some(aggregate) = selector.aggregate else {
                    let name = selector.metric.name();
                    let example = if matches!(name, "failed" | "rate") { "rate" } else { "avg" };
                    let hint = Some(format!("write \"{name}{{{example}}}\""));
                    self.problem(&at, "a metric with an aggregate", hint);
                    return None;
                };
                let during = selector.during;
                Observed::Requests(Figure { metric: selector.metric, class, during, aggregate })
            }
        };
        let read = |text: &str| match &observed {
            Observed::Requests(figure) => selector::limit(figure.metric, figure.aggregate, text),
            Observed::Series { .. } => selector::amount(text),
        };
        let claim = match (&file.value, &file.holds) {
            (Some(value), None) => {
                let value = self.d.read(value, &format!("{place}.value"), read);
                if file.tolerance.is_none() {
                    let hint = Some("add tolerance = \"10%\"".to_owned());
                    self.d.problem(place, "no tolerance", "how far off is still a reproduction", hint);
                }
                Claim::Near { value: value?, tolerance: file.tolerance? }
            }
            (None, Some(holds)) => {
                let at = format!("{place}.holds");
                let holds = self.d.read(holds, &at, |text| {
                    let (comparison, limit) = selector::comparison(text)?;
                    Ok(Claim::Holds(comparison, read(limit)?))
                });
                holds?
            }
            _ => {
                let hint = Some("write value = \"30ms\" with a tolerance, or holds = \"<50ms\"".to_owned());
                self.d.problem(place, "neither or both", "either a value or what holds", hint);
                return None;
            }
        };
        Some(Some((observed, claim)))
    }

    /// Reads what is observed of something that has a name.
    fn series(&mut self, at: &str, of: &str, text: &str) -> Option<Observed> {
        let known = match of.split_once(':') {
            Some(("host", name)) => self.hosts.find(name).is_some(),
            Some(("job", name)) => self.file.jobs.0.iter().any(|(n, _)| n == name),
            Some(_) => false,
            None => matches!(of, "failures" | "cost") || self.components.find(of).is_some(),
        };
        if !known {
            let expected = "a component, \"host:\" and a machine, \"job:\" and a job, \"failures\" or \"cost\" before the point";
            self.problem(at, expected, None);
            return None;
        }
        // What is counted of the whole run, or has a price, changes at no moment.
        let has_moments = !matches!(of, "failures" | "cost");
        let (form, example) = match of {
            "cost" => ("a currency with its aggregate, avg", "cost.USD{avg}"),
            "failures" => ("a kind of failure with its aggregate: count or rate", "failures.timeout{count}"),
            _ => (
                "an observation with its aggregate: avg, min, max, count, rate, below(N) or above(N)",
                "varnish.hit_ratio{rate}",
            ),
        };
        let read = |text: &str| {
            let name_and_rest = text[of.len() + 1..].split_once('{');
            let parts = name_and_rest.and_then(|(name, rest)| Some((name, rest.strip_suffix('}')?)));
            let parts = parts.and_then(|(name, word)| Some((name, Aggregate::read(word.trim())?)));
            let (metric, aggregate) = parts
                .filter(|(_, a)| !matches!(a, Aggregate::Percentile(_)) && (has_moments || !a.is_moment()))
                .ok_or_else(|| Misread::new(form).hint(format!("write \"{example}\"")))?;
            Ok(Observed::Series { of: of.to_owned(), metric: metric.to_owned(), aggregate })
        };
        self.d.read(text, at, read)
    }
}
