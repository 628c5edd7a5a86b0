//! The statistics of simulation output; formulas and sources are told in `sim/docs/statistics.md`.
//!
//! - [`student`]: quantiles of Student's t distribution
//! - [`moments`]: mean, variance and the t interval of independent values
//! - [`difference`]: two configurations, with common random numbers or without
//! - [`batch`]: ratios over a single run, by batch means
//! - [`mser`]: where a steady run's warm-up ends
//! - [`signed_rank`]: the centre of paired differences, whatever their tails; several tests at once
//! - [`change_point`]: where the level of a series changes

pub mod batch;
pub mod change_point;
pub mod difference;
pub mod moments;
pub mod mser;
pub mod signed_rank;
pub mod student;

pub use difference::Difference;
pub use moments::Moments;
pub use signed_rank::SignedRank;
