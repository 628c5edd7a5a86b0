//! The twin: cases of a scenario in both worlds, with the same seeds, and how far prediction and measurement are apart.
//!
//! Cases are played and simulated in turn as processes; what each run says are numbers, compared pair by pair, as the runs
//! of a pair have the same requests. An error is told with its noise, and judged only where the noise and the machine allow it.
//! The definitions stand in `docs/twin.md`.
//!
//! - [`measure`], `process`, `files`: the runs, as processes; what is there already is not run again
//! - [`reading`]: the numbers of a run; [`dip`]: how deep and how long goodput falls
//! - [`equal`]: the load at which the simulator has the 99th percentile that was measured
//! - `compare`, [`judge`]: from pairs of numbers to cells and their verdicts
//! - [`result`]: what came of it, as it is kept; [`words`]: the same for terminals and Markdown

mod compare;
pub mod dip;
pub mod equal;
mod files;
pub mod judge;
pub mod measure;
mod process;
pub mod reading;
pub mod result;
pub mod words;

pub use measure::{Bench, Error, Options, Progress, Session};
pub use result::{CaseResult, Cell, Results, Verdict};
