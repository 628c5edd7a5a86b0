//! What a run leaves, as bytes and back, without loss: floating-point numbers keep every bit that counts, histograms every bucket.

use std::io::{Read as _, Write as _};

use anyhow::{Context as _, bail};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use results::{Delta, Evidence, Frame, Sample};
use scenarios::Scenario;
use serde::{Deserialize, Serialize};
use sim::{Counts, SimOutcome};

/// No run leaves more bytes than this: what claims to is nobody's.
const MOST_BYTES: u64 = 2 << 30;

#[derive(Serialize)]
struct Packed<'a> {
    due: u64,
    ok: u64,
    failed: u64,
    delta: &'a Delta,
    samples: &'a [Sample],
    evidence: &'a Evidence,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Unpacked {
    due: u64,
    ok: u64,
    failed: u64,
    delta: Delta,
    samples: Vec<Sample>,
    evidence: Evidence,
}

/// Packs what a run left that came to its end.
pub(super) fn pack(outcome: &SimOutcome) -> anyhow::Result<Vec<u8>> {
    let SimOutcome { complete, counts, delta, samples, evidence } = outcome;
    assert!(*complete, "what was broken off is no answer");
    let Counts { due, ok, failed } = *counts;
    let mut bytes = Vec::new();
    let packed = Packed { due, ok, failed, delta, samples, evidence };
    ciborium::into_writer(&packed, &mut bytes).context("what a run left cannot be packed")?;
    let mut to = ZlibEncoder::new(Vec::new(), Compression::fast());
    to.write_all(&bytes)?;
    Ok(to.finish()?)
}

/// Unpacks it, and holds it against the scenario that it is to be of.
pub(super) fn unpack(bytes: &[u8], scenario: &Scenario) -> anyhow::Result<SimOutcome> {
    let mut unpacked = Vec::new();
    let read = ZlibDecoder::new(bytes).take(MOST_BYTES).read_to_end(&mut unpacked);
    read.context("what a worker sent cannot be unpacked")?;
    let Unpacked { due, ok, failed, delta, samples, evidence } =
        ciborium::from_reader(&*unpacked).context("what a worker sent cannot be read")?;
    if !delta.fits(&Frame::new(scenario)) {
        bail!("what a worker sent is not of {}", scenario.source.path.display());
    }
    Ok(SimOutcome { complete: true, counts: Counts { due, ok, failed }, delta, samples, evidence })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use results::{RunRecord, World};
    use sim::Simulation;

    use super::*;

    fn quickstart(text: &str) -> Scenario {
        Scenario::parse("quickstart.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn what_a_run_left_is_the_same_after_its_journey() {
        let scenario = quickstart(scenarios::library::QUICKSTART);
        assert!(!scenario.faults.is_empty(), "something breaks, so there are seconds around it");
        let mut simulation = Simulation::with_threads(&scenario, 1).expect("the simulator takes it");
        let own = simulation.run(&mut |_| {}, &AtomicBool::new(false));
        let packed = pack(&own).expect("it can be packed");
        let other = unpack(&packed, &scenario).expect("it can be unpacked");
        assert_eq!((&other.delta, &other.samples), (&own.delta, &own.samples));
        assert_eq!((&other.evidence, other.counts), (&own.evidence, own.counts));
        let record = |outcome: &SimOutcome| {
            RunRecord::in_memory(&scenario, World::Sim, &outcome.delta, &outcome.samples)
        };
        assert_eq!(record(&other), record(&own));
        assert_eq!(
            pack(&other).expect("it can be packed"),
            packed,
            "a second journey changes nothing either"
        );
    }

    #[test]
    fn what_is_of_another_scenario_or_no_answer_at_all_is_refused() {
        let scenario = quickstart(scenarios::library::QUICKSTART);
        let mut simulation = Simulation::with_threads(&scenario, 1).expect("the simulator takes it");
        let packed = pack(&simulation.run(&mut |_| {}, &AtomicBool::new(false))).expect("it can be packed");
        let shorter =
            scenarios::derive::window(&scenario, None, Some("10s".parse().expect("a time")), None, None);
        let refused = unpack(&packed, &shorter.expect("it is a part").scenario).expect_err("of another");
        assert!(refused.to_string().contains("is not of quickstart-derived.toml"), "{refused}");
        for cut in [0, 1, packed.len() / 2] {
            assert!(unpack(&packed[..cut], &scenario).is_err(), "{cut} bytes");
        }
        assert!(unpack(b"nobody's", &scenario).is_err());
    }
}
