//! All counts as JSON: the same in a record and in a line of a journal.

use scenarios::units::SimTime;
use serde::{Deserialize, Serialize};

use crate::buckets::{Buckets, Counter};
use crate::frame::Frame;
use crate::outcome::Failure;
use crate::tally::{Tallies, Tally};
use crate::wire::seconds;

/// All counts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TalliesDocument {
    #[serde(rename = "latest_s", with = "seconds")]
    latest: SimTime,
    windows: Vec<CellDocument>,
    intervals: Vec<CellDocument>,
    timeline: Vec<MomentDocument>,
    send_lag: Vec<LagDocument>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CellDocument {
    /// The position of the window or interval.
    at: usize,
    class: String,
    sent: u64,
    ok: u64,
    failures: std::collections::BTreeMap<String, u64>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    response_time: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    failed_response_time: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    service_time: String,
    response_time_sum_ns: u64,
    service_time_sum_ns: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MomentDocument {
    interval: usize,
    answered: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    send_lag: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LagDocument {
    window: usize,
    send_lag: String,
}

impl TalliesDocument {
    pub(crate) fn new(tallies: &Tallies, classes: &[String]) -> Self {
        let timeline = tallies.answered.iter().zip(&tallies.interval_lags).enumerate();
        let lags = tallies.window_lags.iter().enumerate().filter(|(_, lag)| !lag.is_empty());
        Self {
            latest: tallies.latest,
            windows: cells(&tallies.windows, classes),
            intervals: cells(&tallies.cells, classes),
            timeline: timeline
                .filter(|(_, (answered, lag))| **answered > 0 || !lag.is_empty())
                .map(|(interval, (&answered, lag))| MomentDocument {
                    interval,
                    answered,
                    send_lag: lag.encode(),
                })
                .collect(),
            send_lag: lags.map(|(window, lag)| LagDocument { window, send_lag: lag.encode() }).collect(),
        }
    }

    pub(crate) fn into_tallies(self, frame: &Frame, classes: &[String]) -> Result<Tallies, String> {
        let mut tallies = Tallies::new(frame);
        tallies.latest = self.latest;
        fill(&mut tallies.windows, self.windows, classes)?;
        fill(&mut tallies.cells, self.intervals, classes)?;
        let past = |what, at| format!("{what} {at} lies past the end of the frame");
        for moment in self.timeline {
            let i = moment.interval;
            *tallies.answered.get_mut(i).ok_or_else(|| past("interval", i))? = moment.answered;
            tallies.interval_lags[i] = Buckets::decode(&moment.send_lag)?;
        }
        for lag in self.send_lag {
            let slot = tallies.window_lags.get_mut(lag.window);
            *slot.ok_or_else(|| past("window", lag.window))? = Buckets::decode(&lag.send_lag)?;
        }
        Ok(tallies)
    }
}

fn cells<C: Counter, const BITS: u32>(
    cells: &[Option<Box<Tally<Buckets<C, BITS>>>>],
    classes: &[String],
) -> Vec<CellDocument> {
    let counted = cells.iter().enumerate().filter_map(|(i, cell)| Some((i, cell.as_deref()?)));
    let document = |(i, tally): (usize, &Tally<Buckets<C, BITS>>)| CellDocument {
        at: i / classes.len(),
        class: classes[i % classes.len()].clone(),
        sent: tally.sent,
        ok: tally.ok,
        failures: Failure::ALL
            .iter()
            .zip(tally.failures)
            .filter(|(_, n)| *n > 0)
            .map(|(kind, n)| (kind.name().to_owned(), n))
            .collect(),
        response_time: tally.response.encode(),
        failed_response_time: tally.failed_response.encode(),
        service_time: tally.service.encode(),
        response_time_sum_ns: tally.response_sum_nanos,
        service_time_sum_ns: tally.service_sum_nanos,
    };
    counted.map(document).collect()
}

fn fill<C: Counter, const BITS: u32>(
    cells: &mut [Option<Box<Tally<Buckets<C, BITS>>>>],
    documents: Vec<CellDocument>,
    classes: &[String],
) -> Result<(), String> {
    for d in documents {
        let class = classes.iter().position(|c| *c == d.class);
        let class = class.ok_or_else(|| format!("class {:?} is not one of the scenario's", d.class))?;
        let mut failures = [0; Failure::ALL.len()];
        for (name, n) in d.failures {
            let kind = Failure::ALL.into_iter().find(|f| f.name() == name);
            failures[kind.ok_or_else(|| format!("{name:?} is no kind of failure"))?.index()] = n;
        }
        let slot = cells.get_mut(d.at * classes.len() + class);
        *slot.ok_or_else(|| format!("cell {} lies past the end of the frame", d.at))? =
            Some(Box::new(Tally {
                sent: d.sent,
                ok: d.ok,
                failures,
                response: Buckets::decode(&d.response_time)?,
                failed_response: Buckets::decode(&d.failed_response_time)?,
                service: Buckets::decode(&d.service_time)?,
                response_sum_nanos: d.response_time_sum_ns,
                service_sum_nanos: d.service_time_sum_ns,
                ..Tally::default()
            }));
    }
    Ok(())
}
