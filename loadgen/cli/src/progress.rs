//! How a run over sockets stands, in a line.

use loadgen::Snapshot;
use scenarios::units::SimTime;

use crate::summary::milliseconds;

/// How much of the run is over, from 0 to 1.
pub(crate) fn share(snapshot: &Snapshot) -> f64 {
    snapshot.at.as_secs_f64() / snapshot.total.as_secs_f64().max(1e-9)
}

/// How it stands.
pub(crate) fn line(snapshot: &Snapshot, warmup: SimTime) -> String {
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
