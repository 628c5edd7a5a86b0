//! What a part of a run has recorded since it told of it last, as a message: what a line of a journal holds, and the seconds around
//! faults, which no journal has.

use serde::{Deserialize, Serialize};

use crate::buckets::Buckets;
use crate::frame::Frame;
use crate::recorder::Delta;
use crate::recovery::{self, Slot};
use crate::sample::Sample;
use crate::writer::counts::TalliesDocument;

/// Such a message. Whoever reads it must have the same scenario as who wrote it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piece {
    counts: TalliesDocument,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    slots: Vec<SlotDocument>,
    samples: Vec<Sample>,
}

impl std::fmt::Debug for Piece {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Piece").field("samples", &self.samples.len()).finish_non_exhaustive()
    }
}

/// One of the seconds around faults.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SlotDocument {
    at: usize,
    due: u64,
    failed: u64,
    dropped: u64,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    response_time: String,
}

impl Piece {
    /// What was recorded of these classes of request.
    pub fn new(delta: &Delta, samples: &[Sample], classes: &[String]) -> Self {
        let slots = delta.slots.iter().enumerate().filter(|(_, slot)| slot.due > 0);
        Self {
            counts: TalliesDocument::new(&delta.tallies, classes),
            slots: slots
                .map(|(at, slot)| SlotDocument {
                    at,
                    due: slot.due,
                    failed: slot.failed,
                    dropped: slot.dropped,
                    response_time: slot.response.encode(),
                })
                .collect(),
            samples: samples.to_vec(),
        }
    }

    /// The counts and the samples again.
    ///
    /// # Errors
    /// Where it does not fit the frame or the classes: it is of another run.
    pub fn read(self, frame: &Frame, classes: &[String]) -> Result<(Delta, Vec<Sample>), String> {
        let tallies = self.counts.into_tallies(frame, classes)?;
        let mut slots = vec![Slot::default(); recovery::slots(&recovery::watches(frame))];
        for document in self.slots {
            let slot = slots.get_mut(document.at);
            *slot.ok_or_else(|| format!("second {} lies in no stretch around a fault", document.at))? =
                Slot {
                    due: document.due,
                    failed: document.failed,
                    dropped: document.dropped,
                    response: Buckets::decode(&document.response_time)?,
                };
        }
        Ok((Delta { tallies, slots }, self.samples))
    }
}

#[cfg(test)]
mod tests {
    use scenarios::units::SimTime;

    use super::*;
    use crate::recorder::Recorder;

    #[test]
    fn what_is_told_is_what_was_recorded() {
        let secs = SimTime::from_secs;
        let frame = Frame::cut(secs(1), secs(30), 2, &[("a", secs(10), secs(15))]);
        let mut recorder = Recorder::new(&frame);
        for i in 0..30_000u64 {
            let due = SimTime::from_millis(i);
            let done = due + SimTime::from_nanos(i * i % 900_000_000);
            let lag = SimTime::from_nanos(i % 7);
            recorder.count((i % 2) as usize, due, Some(due), done, lag, Ok(()));
        }
        let delta = recorder.take();
        let sample = Sample {
            interval: 3,
            component: "generator".to_owned(),
            instance: 0,
            metric: "cpu".into(),
            value: 0.5,
        };
        let classes = ["page".to_owned(), "order".to_owned()];
        let text =
            serde_json::to_vec(&Piece::new(&delta, std::slice::from_ref(&sample), &classes)).expect("JSON");
        let piece: Piece = serde_json::from_slice(&text).expect("what was written");
        let (read, samples) = piece.read(&frame, &classes).expect("of the same run");
        assert_eq!(read.tallies, delta.tallies);
        assert_eq!(read.slots, delta.slots);
        assert!(read.slots.iter().any(|slot| slot.due > 0), "there is a fault");
        assert_eq!(samples, [sample]);
        let other = Frame::cut(secs(1), secs(5), 2, &[]);
        let piece: Piece = serde_json::from_slice(&text).expect("what was written");
        piece.read(&other, &classes).expect_err("of another run");
    }
}
