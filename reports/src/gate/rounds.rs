//! What a session measured: rounds of blocks, as they are kept in a file and read again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::quantity::Quantity;

/// Whose server a block loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// What is there.
    Base,
    /// The same again.
    Control,
    /// What is to come.
    Candidate,
}

impl Arm {
    /// All of them, in the order of [`Round::values`].
    pub const ALL: [Self; 3] = [Self::Base, Self::Control, Self::Candidate];

    /// All orders in which a round can play them.
    pub const ORDERS: [[Self; 3]; 6] = {
        use Arm::{Base as B, Candidate as C, Control as K};
        [[B, K, C], [C, K, B], [K, C, B], [B, C, K], [C, B, K], [K, B, C]]
    };
}

/// One block of each arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// In which order they were played.
    pub order: [Arm; 3],
    /// What each arm came to, in the order of [`Arm::ALL`], by quantity.
    pub values: [Vec<f64>; 3],
    /// How long it took, in seconds.
    pub seconds: f64,
}

/// The rounds of a session.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rounds {
    /// The quantities, in the order of the values.
    pub quantities: Vec<Quantity>,
    /// In order of time.
    pub rounds: Vec<Round>,
}

/// The name of the file's format.
const FORMAT: &str = "rehearsal gate rounds";
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct File {
    format: String,
    version: u32,
    #[serde(flatten)]
    rounds: Rounds,
}

/// Why rounds cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system says no.
    #[error("{path}: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error(
        "{path}: found {found}, expected rounds of a gate's session, as `report gate --save` writes them"
    )]
    Other {
        /// Which file.
        path: PathBuf,
        /// What was found.
        found: String,
    },
}

impl Rounds {
    /// How much worse the candidate was in each round, against the centre of base and control.
    pub fn of_candidate(&self, quantity: usize) -> Vec<f64> {
        let metric = self.quantities[quantity].metric;
        let worsening = |round: &Round| {
            let [base, control, candidate] = round.values.each_ref().map(|arm| arm[quantity]);
            metric.worsening(metric.centre(base, control), candidate)
        };
        self.rounds.iter().map(worsening).collect()
    }

    /// How much worse the control was than the base: nothing, but for noise.
    pub fn of_control(&self, quantity: usize) -> Vec<f64> {
        let metric = self.quantities[quantity].metric;
        let worsening =
            |round: &Round| metric.worsening(round.values[0][quantity], round.values[1][quantity]);
        self.rounds.iter().map(worsening).collect()
    }

    /// Writes them down.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let file = File { format: FORMAT.to_owned(), version: VERSION, rounds: self.clone() };
        let text = serde_json::to_string(&file)
            .expect("rounds have no keys but text, and no numbers but finite ones");
        std::fs::write(path, text + "\n").map_err(|source| Error::Io { path: path.to_owned(), source })
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let other = |found: String| Error::Other { path: path.to_owned(), found };
        let file: File = serde_json::from_str(&text).map_err(|e| other(e.to_string()))?;
        if file.format != FORMAT || file.version != VERSION {
            return Err(other(format!("{:?}, version {}", file.format, file.version)));
        }
        let rounds = file.rounds;
        let width = rounds.quantities.len();
        if rounds.rounds.iter().flat_map(|r| &r.values).any(|arm| arm.len() != width) {
            return Err(other(format!("a round without {width} values an arm")));
        }
        Ok(rounds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::quantity::Metric;

    fn rounds() -> Rounds {
        let quantity = Quantity { scenario: "steady".to_owned(), metric: Metric::P50 };
        let round =
            Round { order: Arm::ORDERS[2], values: [vec![0.004], vec![0.009], vec![0.012]], seconds: 3.0 };
        Rounds { quantities: vec![quantity], rounds: vec![round] }
    }

    #[test]
    fn the_candidate_is_held_against_base_and_control_together() {
        // The geometric mean of 4 and 9 is 6.
        assert!((rounds().of_candidate(0)[0] - 2.0_f64.ln()).abs() < 1e-12);
        assert!((rounds().of_control(0)[0] - 2.25_f64.ln()).abs() < 1e-12);
    }

    #[test]
    fn rounds_are_read_as_they_were_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("rounds.json");
        rounds().save(&path).expect("it can be written");
        assert_eq!(Rounds::read(&path).expect("it can be read"), rounds());
        std::fs::write(&path, "{\"format\":\"else\",\"version\":1,\"quantities\":[],\"rounds\":[]}")
            .expect("written");
        let error = Rounds::read(&path).expect_err("it is something else").to_string();
        assert!(error.contains("found \"else\"") && error.contains("--save"), "{error}");
    }

    #[test]
    fn orders_are_balanced() {
        for arm in Arm::ALL {
            for place in 0..3 {
                assert_eq!(Arm::ORDERS.iter().filter(|order| order[place] == arm).count(), 2);
            }
        }
    }
}
