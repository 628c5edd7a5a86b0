//! Which part of a scenario is simulated, so that an answer takes about a second: around its first fault, at its peak, or all of it.

use scenarios::scenario::Traffic;
use scenarios::units::SimTime;
use scenarios::{Scenario, explain};

/// So many requests take about a second: 0.7 µs each for the largest files of the library, several for a few.
const REQUESTS: f64 = 200_000.0;
/// A part with this many times as many may be asked for.
const PATIENCE: f64 = 5.0;
/// The lengths that are offered, in seconds.
const LENGTHS: [u64; 18] =
    [1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1_200, 1_800, 3_600, 7_200, 14_400, 43_200, 86_400, 604_800];
/// The peak is looked for at so many places.
const PLACES: u64 = 500;
/// Of more faults, only the first are offered as places to look at.
const FAULTS: usize = 6;

/// Where a part may start, and how long it may be.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moments {
    /// Names and places on the timeline; the first is the one to begin with.
    pub(super) places: Vec<(String, SimTime)>,
    /// The shortest first.
    pub(super) lengths: Vec<SimTime>,
    /// The length to begin with.
    pub(super) length: SimTime,
}

impl Moments {
    /// Those of a scenario. They follow from its file alone.
    pub(super) fn of(scenario: &Scenario) -> Self {
        let run = &scenario.run;
        let (start, end) = (run.from, run.from + run.duration);
        // The load lasts through the warm-up as well, which a part keeps as much of as half its length.
        let expected = |from: SimTime, length: SimTime| explain::expected(scenario, from, from + length);
        let densest = |length: SimTime| {
            let from = peak(scenario, length);
            (from, expected(from, length))
        };
        let warmup = |length: SimTime| run.warmup.min(SimTime::from_nanos(length.as_nanos() / 2));
        let parts = parts_of_a_request(scenario);
        let takes = |length: SimTime| {
            let (_, most) = densest(length);
            parts * most * (1.0 + warmup(length).as_secs_f64() / length.as_secs_f64().max(1e-9))
        };
        let shorter = LENGTHS.map(SimTime::from_secs).into_iter().filter(|length| *length < run.duration);
        let mut lengths: Vec<SimTime> = shorter.chain([run.duration]).collect();
        let quick = lengths.iter().rfind(|length| takes(**length) <= REQUESTS);
        let length = quick.copied().unwrap_or(lengths[0]);
        lengths.retain(|l| *l == length || (takes(*l) <= PATIENCE * REQUESTS && *l >= SimTime::from_secs(1)));
        let latest = end.saturating_sub(length);
        let mut places = Vec::new();
        if length < run.duration {
            for fault in scenario.faults.iter().take(FAULTS) {
                let at = (fault.from + run.from).saturating_sub(run.warmup);
                // A fifth of the part shows how it was before.
                let lead = SimTime::from_nanos(length.as_nanos() / 5);
                let from = whole_seconds(at.saturating_sub(lead)).max(start).min(latest);
                if fault.from >= run.warmup {
                    places.push((format!("before {}", fault.name), from));
                }
            }
            places.push(("at the peak".to_owned(), densest(length).0));
        }
        places.push(("from the start".to_owned(), start));
        let mut seen: Vec<SimTime> = Vec::new();
        places.retain(|(_, from)| {
            let new = !seen.contains(from);
            seen.push(*from);
            new
        });
        Self { places, lengths, length }
    }
}

/// How many requests one stands for where caches put pages together of others: the most of any traffic.
fn parts_of_a_request(scenario: &Scenario) -> f64 {
    let of_class = |class| scenario.class(class).esi.map_or(1.0, |esi| 1.0 + f64::from(esi.count));
    let of = |traffic: &Traffic| -> f64 {
        traffic.mix.iter().map(|(class, share)| share.get() * of_class(*class)).sum()
    };
    scenario.traffic.iter().map(of).fold(1.0, f64::max)
}

fn whole_seconds(time: SimTime) -> SimTime {
    SimTime::from_secs(time.as_nanos() / 1_000_000_000)
}

/// Where a part of this length has the most requests; where several have as many, the first.
fn peak(scenario: &Scenario, length: SimTime) -> SimTime {
    let run = &scenario.run;
    let room = run.duration.saturating_sub(length).as_nanos() / 1_000_000_000;
    let step = room.div_ceil(PLACES).max(1);
    let mut best = (run.from, 0.0);
    for second in (0..=room).step_by(step as usize) {
        let from = run.from + SimTime::from_secs(second);
        let expected = explain::expected(scenario, from, from + length);
        // What differs by rounding alone is no peak.
        if expected > best.1 * 1.000_1 {
            best = (from, expected);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The quickstart for ten hours, with a peak after eight, and without its fault.
    fn shop() -> String {
        let ramp = "executor = \"ramping-arrival-rate\"\nstart_rate = \"100/s\"\nstages = [\
                    { for = \"8h\", to = \"1000/s\" }, { for = \"2h\", to = \"100/s\" }]";
        let whole = scenarios::library::QUICKSTART;
        let fault = whole.find("[[faults]]").expect("it has one");
        let end = whole.find("[thresholds]").expect("it has some");
        let text = format!("{}{}", &whole[..fault], &whole[end..]);
        let text = text.replace("executor = \"constant-arrival-rate\"\nrate = \"300/s\"", ramp);
        text.replace("duration = \"30s\"", "duration = \"10h\"")
    }

    fn moments(text: &str) -> Moments {
        Moments::of(&Scenario::parse("shop.toml", text).unwrap_or_else(|e| panic!("{e}")))
    }

    #[test]
    fn a_long_run_is_looked_at_where_the_most_is_asked() {
        let found = moments(&shop());
        let (name, from) = &found.places[0];
        assert_eq!(name, "at the peak");
        let hours = from.as_secs_f64() / 3600.0;
        assert!((7.8..8.1).contains(&hours), "{hours}");
        let seconds = found.length.as_secs_f64();
        assert!((60.0..=200.0).contains(&seconds), "a thousand requests a second: {seconds} s");
        assert!(found.lengths.contains(&found.length) && found.lengths.is_sorted(), "{found:?}");
        assert_eq!(found.places.last(), Some(&("from the start".to_owned(), SimTime::ZERO)));
    }

    #[test]
    fn a_short_run_is_simulated_whole() {
        let found = moments(&shop().replace("10h", "60s").replace("8h", "30s").replace("2h", "30s"));
        assert_eq!(found.length, SimTime::from_secs(60));
        assert_eq!(found.places, [("from the start".to_owned(), SimTime::ZERO)]);
    }

    #[test]
    fn a_run_with_faults_is_looked_at_where_the_first_strikes() {
        let fault = "[[faults]]\nat = \"2h\"\nfor = \"10m\"\nkill = \"host:app[1]\"\n";
        let found = moments(&format!("{}{fault}", shop()));
        let (name, from) = &found.places[0];
        assert_eq!(name, "before kill host:app[1]");
        let before = 7_200.0 - from.as_secs_f64();
        assert!(before > 0.0 && before < found.length.as_secs_f64(), "{before} s before it");
    }
}
