//! The answer of a plan: a sentence, a table of alternatives, a page, JSON. Nothing in it depends on when or where it was made.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use reports::{Sheet, Table};
use scenarios::Scenario;
use scenarios::derive::Circumstances;
use scenarios::scenario::{Observed, Planning};
use serde_json::{Value, json};

use super::tries::{CONFIRMED, Outcome, overall};
use super::{LONG_QUEUES, Screened};
use crate::breaking::Breaks;
use crate::{trials, twin};

/// A month is a twelfth of a year of 365 days, as growth counts.
const SECONDS_PER_MONTH: f64 = 2_628_000.0;
const SECONDS_PER_DAY: f64 = 86_400.0;
/// So many alternatives are told on either side of the answer.
const BESIDE: usize = 6;

/// A line's name, and its prices and seconds.
type Line = (String, Vec<(f64, f64)>);

/// How long a set-up lasts in a circumstance.
pub(super) struct Lasting {
    pub(super) candidate: usize,
    pub(super) circumstance: usize,
    /// At how many times that circumstance's load it breaks.
    pub(super) breaks: Breaks,
}

/// What came of a plan.
pub(super) struct Answer<'a> {
    pub(super) base: &'a Scenario,
    pub(super) planning: &'a Planning,
    /// The cheapest candidate that holds.
    pub(super) best: Option<usize>,
    /// What the file as it is costs.
    pub(super) today_cost: f64,
    /// What is known of candidates of which the whole part was measured: on which rung, and what came of each circumstance. The
    /// number after the last candidate's is that of the file as it is.
    pub(super) known: BTreeMap<usize, (usize, Vec<Outcome>)>,
    /// The names of the circumstances.
    pub(super) circumstances: Vec<String>,
    /// Which part was looked at.
    pub(super) at: Circumstances,
    /// How many candidates were simulated, and in how many runs.
    pub(super) tried: usize,
    pub(super) runs: u64,
    /// With how many seeds the answer was confirmed.
    pub(super) replications: u32,
    /// At how many times the load set-ups break: the file as it is first, each in the file's own circumstances first.
    pub(super) exhausted: Vec<Lasting>,
    pub(super) screened: Screened,
}

impl Answer<'_> {
    fn today(&self) -> usize {
        self.screened.space.len()
    }

    fn cost(&self, candidate: usize) -> f64 {
        if candidate == self.today() { self.today_cost } else { self.screened.space.cost(candidate) }
    }

    /// The choices that a candidate takes.
    fn name(&self, candidate: usize) -> String {
        if candidate == self.today() {
            return "the file as it is".to_owned();
        }
        let chosen = self.screened.space.choices(candidate).into_iter().zip(&self.planning.knobs);
        let words = chosen.map(|(choice, knob)| {
            let path = knob.path.split_once('.').map_or(knob.path.as_str(), |(_, rest)| rest);
            format!("{path} {}", knob.choices[choice].name)
        });
        words.collect::<Vec<_>>().join(", ")
    }

    fn money(&self, amount: f64) -> String {
        format!("{amount:.2} {}", self.screened.currency)
    }

    /// In which circumstance a candidate fails most, and by which threshold; none where it holds.
    fn broken(&self, outcomes: &[Outcome]) -> Option<String> {
        let failing = |outcome: &Outcome| {
            let i = outcome.circumstance;
            let failed = outcome.held.iter().enumerate().filter_map(|(j, held)| {
                let held = held.filter(|held| !held.holds)?;
                Some((held.margin, i, j, held.value))
            });
            failed.min_by(|a, b| a.0.total_cmp(&b.0))
        };
        let worst = outcomes.iter().filter_map(failing).min_by(|a, b| a.0.total_cmp(&b.0));
        worst.map(|(_, i, j, value)| {
            let threshold = &self.base.thresholds[j];
            let observed = Observed::Requests(threshold.figure.clone());
            let shown = reports::shown(&observed, value);
            format!("{}: {}, with {shown}", self.circumstances[i], trials::words(threshold))
        })
    }

    /// When a set-up breaks at so many times the load, with the interval; none without growth.
    fn when(&self, breaks: Breaks) -> Option<String> {
        let growth = self.planning.growth?;
        let date = |load: f64| {
            let seconds = growth.seconds_until(load);
            match self.planning.today {
                _ if seconds.is_infinite() => "never".to_owned(),
                Some(today) => today.plus((seconds / SECONDS_PER_DAY).floor() as i64).to_string(),
                None if seconds < 0.0 => format!("{:.1} months ago", -seconds / SECONDS_PER_MONTH),
                None => format!("{:.1} months on", seconds / SECONDS_PER_MONTH),
            }
        };
        Some(match breaks {
            Breaks::At { load, low, high } => format!("{} [{} … {}]", date(load), date(low), date(high)),
            Breaks::Beyond(most) => format!("later than {}", date(most)),
            Breaks::Below(least) => format!("earlier than {}", date(least)),
        })
    }

    /// When the file as it is and the answer are exhausted, in sentences: in the file's own circumstances, and in those in which
    /// that comes first.
    fn exhaustion(&self) -> String {
        let mut text = String::new();
        for candidate in [Some(self.today()), self.best].into_iter().flatten() {
            let of = || self.exhausted.iter().filter(|lasting| lasting.candidate == candidate);
            let Some(own) = of().next() else { continue };
            let Some(when) = self.when(own.breaks) else { continue };
            let name = if candidate == self.today() { "The file as it is" } else { "The answer" };
            let on = if self.planning.today.is_some() && matches!(own.breaks, Breaks::At { .. }) {
                "on "
            } else {
                ""
            };
            let _ = write!(text, " {name} is exhausted {on}{when}");
            let first = of().min_by(|a, b| a.breaks.order().total_cmp(&b.breaks.order()));
            let first = first.filter(|first| first.breaks.order() < own.breaks.order());
            if let Some((first, when)) = first.and_then(|first| Some((first, self.when(first.breaks)?))) {
                let _ = write!(text, ", in {} {on}{when}", self.circumstances[first.circumstance]);
            }
            text.push('.');
        }
        text
    }

    /// How long the file as it is and the answer last, in every circumstance that is more than a greater load.
    fn lasting(&self) -> Table {
        let mut table = Table::new(&["set-up", "circumstance", "holds up to, times the load", "exhausted"]);
        for lasting in &self.exhausted {
            table.rows.push(vec![
                self.name(lasting.candidate),
                self.circumstances[lasting.circumstance].clone(),
                lasting.breaks.words(),
                self.when(lasting.breaks).unwrap_or_else(|| "–".to_owned()),
            ]);
        }
        table
    }

    /// From which day the load grows how fast; empty where it does not.
    fn growth(&self) -> String {
        match (self.planning.growth, self.planning.today) {
            (Some(growth), Some(today)) => format!(", at {growth} of growth from {today} on"),
            (Some(growth), None) => format!(", at {growth} of growth"),
            (None, _) => String::new(),
        }
    }

    /// The answer in sentences.
    fn headline(&self) -> String {
        let today = match self.known.get(&self.today()).map(|(_, outcomes)| self.broken(outcomes)) {
            Some(Some(broken)) => format!("fails ({broken})"),
            _ => "holds as well".to_owned(),
        };
        let today = format!("The file as it is, at {} a month, {today}.", self.money(self.today_cost));
        let Some(best) = self.best else {
            let nearest = self.known.iter().filter(|(candidate, _)| **candidate != self.today());
            let nearest = nearest.max_by(|a, b| {
                let margin = |outcomes: &[Outcome]| overall(outcomes).margin;
                margin(&a.1.1).total_cmp(&margin(&b.1.1))
            });
            let nearest = nearest.map(|(candidate, (_, outcomes))| {
                let broken = self.broken(outcomes).unwrap_or_else(|| "not confirmed".to_owned());
                format!("; the nearest is {} ({broken})", self.name(*candidate))
            });
            let nearest = nearest.unwrap_or_default();
            return format!(
                "None of {} candidates holds{nearest}. {today}{}",
                self.today(),
                self.exhaustion()
            );
        };
        let outcomes = self.known.get(&best).map(|(_, outcomes)| outcomes.as_slice()).unwrap_or_default();
        let busiest = busiest(outcomes).map_or_else(String::new, |(i, b)| {
            let busy = 100.0 * b.busy.min(1.0);
            format!(
                " First to give is its {} ({}), {busy:.0}% busy in {}.",
                b.name, b.what, self.circumstances[i]
            )
        });
        format!(
            "The cheapest that holds costs {} a month: {}.{busiest} {today}{}",
            self.money(self.cost(best)),
            self.name(best),
            self.exhaustion(),
        )
    }

    /// What became of the candidates, in a line.
    fn course(&self) -> String {
        let Screened { overloaded, dominated, open, .. } = &self.screened;
        let mut text = format!("{} candidates", self.today());
        let mut kinds: Vec<_> = overloaded.iter().map(|(station, of)| (of.len(), station)).collect();
        kinds.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        for (count, station) in kinds {
            let _ = write!(text, ", {count} ask more of {station} than there is");
        }
        if !dominated.is_empty() {
            let _ = write!(text, ", {} cost no less than better ones", dominated.len());
        }
        let _ = write!(
            text,
            "; of the {} left, {} were simulated in {} runs, in {} circumstances each, over {} from {} on the timeline; the answer \
             was confirmed with {} seeds",
            open.len(),
            self.tried,
            self.runs,
            self.circumstances.len(),
            self.at.length,
            self.at.from,
            self.replications,
        );
        text
    }

    /// The file as it is, then what was tried around the answer, by cost.
    fn rows(&self) -> Vec<usize> {
        let mut order: Vec<usize> = self.known.keys().copied().filter(|c| *c != self.today()).collect();
        order.sort_by(|a, b| self.cost(*a).total_cmp(&self.cost(*b)).then(a.cmp(b)));
        let place = self.best.and_then(|best| order.iter().position(|c| *c == best)).unwrap_or(order.len());
        let from = place.saturating_sub(BESIDE);
        let until = (place + BESIDE + 1).min(order.len());
        [self.today()].into_iter().chain(order[from..until].iter().copied()).collect()
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["set-up", "a month", "p99", "headroom", "first to give", "breaks in"]);
        for candidate in self.rows() {
            let (rung, outcomes) = &self.known[&candidate];
            let mark = if self.best == Some(candidate) { "→ " } else { "" };
            let own = outcomes.first();
            let p99 = own.map_or(f64::NAN, |outcome| outcome.p99_s);
            let busy = own.and_then(|outcome| outcome.bottleneck.as_ref());
            let room = busy.map(|b| {
                if b.busy > 0.97 { "none".to_owned() } else { format!("{:.1} times", 1.0 / b.busy) }
            });
            let verdict = self.broken(outcomes).unwrap_or_else(|| {
                if *rung == CONFIRMED { "none, confirmed".to_owned() } else { "none".to_owned() }
            });
            table.rows.push(vec![
                format!("{mark}{}", self.name(candidate)),
                format!("{:.2}", self.cost(candidate)),
                milliseconds(p99),
                room.unwrap_or_else(|| "–".to_owned()),
                busy.map_or_else(|| "–".to_owned(), |b| format!("{} ({})", b.name, b.what)),
                verdict,
            ]);
        }
        table
    }

    pub(super) fn text(&self) -> String {
        format!(
            "{}\n\n{}\n\n{}\nHow long it lasts{}:\n\n{}\n{}.\n",
            self.base.title,
            self.headline(),
            self.table().text(),
            self.growth(),
            self.lasting().text(),
            self.course()
        )
    }

    /// Price and 99th percentile of what is known, held or not, and of those that nothing cheaper beats.
    fn frontier(&self) -> (Vec<Line>, Table) {
        let mut points: Vec<(usize, f64, f64, bool)> = self
            .known
            .iter()
            .filter(|(candidate, _)| **candidate != self.today())
            .filter_map(|(candidate, (_, outcomes))| {
                let p99 = outcomes.first()?.p99_s;
                p99.is_finite().then(|| (*candidate, self.cost(*candidate), p99, overall(outcomes).holds))
            })
            .collect();
        points.sort_by(|a, b| a.1.total_cmp(&b.1).then(a.2.total_cmp(&b.2)));
        let mut table = Table::new(&["set-up", "a month", "p99", "holds"]);
        let mut best_p99 = f64::INFINITY;
        let (mut frontier, mut holding, mut failing) = (Vec::new(), Vec::new(), Vec::new());
        for (candidate, cost, p99, holds) in points {
            if holds && p99 < best_p99 {
                best_p99 = p99;
                frontier.push((cost, p99));
            }
            // Each stands alone: a line through them would say that there is something between.
            let alone = [(cost, p99), (cost, f64::NAN)];
            if holds {
                holding.extend(alone)
            } else {
                failing.extend(alone)
            }
            let verdict = if holds { "yes" } else { "no" };
            let row = [self.name(candidate), format!("{cost:.2}"), milliseconds(p99), verdict.to_owned()];
            table.rows.push(row.to_vec());
        }
        let lines = vec![
            ("the frontier: no cheaper one that holds is faster".to_owned(), frontier),
            ("holds in all circumstances".to_owned(), holding),
            ("fails in some".to_owned(), failing),
        ];
        (lines, table)
    }

    pub(super) fn html(&self) -> String {
        let (lines, numbers) = self.frontier();
        let caption = "Headroom is by how much the load could grow until the busiest part is busy all the time: a bound, no promise. \
                       p99 and headroom are of the file's own circumstances.";
        let growth = format!("How much more load each takes in each circumstance{}.", self.growth());
        Sheet::new("Plan", &self.base.title, &self.headline())
            .table("Alternatives", caption, &self.table())
            .costs(&self.screened.currency, &lines, numbers)
            .table("How long it lasts", &growth, &self.lasting())
            .table("How it was found", &format!("{}. {}", self.course(), trust()), &self.choices())
            .html()
    }

    /// What there was to choose from.
    fn choices(&self) -> Table {
        let mut table = Table::new(&["knob", "choices"]);
        for knob in &self.planning.knobs {
            let names = knob.choices.iter().map(|choice| choice.name.as_str()).collect::<Vec<_>>();
            table.rows.push(vec![knob.path.clone(), names.join(", ")]);
        }
        table
    }

    pub(super) fn json(&self) -> Value {
        let finite = |v: f64| Some(v).filter(|v| v.is_finite());
        let of = |candidate: usize| {
            let (rung, outcomes) = &self.known[&candidate];
            let of_circumstance = |outcome: &Outcome| {
                let name = &self.circumstances[outcome.circumstance];
                let held = outcome.held.iter().zip(&self.base.thresholds).filter_map(|(held, threshold)| {
                    let held = (*held)?;
                    let (metric, condition) = (&threshold.selector, &threshold.condition);
                    let value = finite(held.value);
                    Some(json!({ "metric": metric, "condition": condition, "value": value, "holds": held.holds }))
                });
                let busiest = outcome.bottleneck.as_ref();
                json!({
                    "circumstance": name,
                    "holds": outcome.verdict().holds,
                    "response_time_p99_s": finite(outcome.p99_s),
                    "busiest": busiest.map(|b| json!({ "part": b.name, "what": b.what, "busy": b.busy })),
                    "thresholds": held.collect::<Vec<_>>(),
                })
            };
            let settings = super::tries::settings(self.planning, &self.screened.space, candidate);
            let set: serde_json::Map<String, Value> =
                settings.into_iter().map(|setting| (setting.path, setting.value.into())).collect();
            json!({
                "name": self.name(candidate),
                "set": set,
                "cost_per_month": self.cost(candidate),
                "holds": overall(outcomes).holds,
                "confirmed": *rung == CONFIRMED,
                "circumstances": outcomes.iter().map(of_circumstance).collect::<Vec<_>>(),
            })
        };
        let until = |lasting: &Lasting| {
            let (at, low, high) = match lasting.breaks {
                Breaks::At { load, low, high } => (Some(load), Some(low), Some(high)),
                Breaks::Beyond(most) => (None, Some(most), None),
                Breaks::Below(least) => (None, None, Some(least)),
            };
            json!({
                "set_up": self.name(lasting.candidate),
                "circumstance": self.circumstances[lasting.circumstance],
                "times_the_load": at,
                "low": low,
                "high": high,
                "when": self.when(lasting.breaks),
            })
        };
        let Screened { overloaded, dominated, currency, .. } = &self.screened;
        json!({
            "format": "rehearsal plan",
            "version": 1,
            "answer": self.headline(),
            "currency": currency,
            "best": self.best.map(of),
            "today": of(self.today()),
            "tried": self.rows().into_iter().skip(1).map(of).collect::<Vec<_>>(),
            "lasts": self.exhausted.iter().map(until).collect::<Vec<_>>(),
            "candidates": self.today(),
            "overloaded": overloaded.iter().map(|(name, of)| (name.clone(), of.len().into())).collect::<serde_json::Map<String, Value>>(),
            "dominated": dominated.len(),
            "simulated": self.tried,
            "runs": self.runs,
            "seeds": self.replications,
            "trust": trust(),
        })
    }
}

/// How far predictions were off where they were held against measurements.
pub(super) fn trust() -> String {
    twin::line(LONG_QUEUES).unwrap_or_default()
}

/// What is busiest over all circumstances, and in which.
fn busiest(outcomes: &[Outcome]) -> Option<(usize, &reports::Bottleneck)> {
    let all = outcomes.iter().filter_map(|o| Some((o.circumstance, o.bottleneck.as_ref()?)));
    all.max_by(|a, b| a.1.busy.total_cmp(&b.1.busy).then(b.0.cmp(&a.0)))
}

fn milliseconds(seconds: f64) -> String {
    match seconds {
        s if s.is_nan() => "–".to_owned(),
        s if s.is_infinite() => "∞".to_owned(),
        s => format!("{:.1} ms", s * 1e3),
    }
}
