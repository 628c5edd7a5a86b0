//! What the programs that run scenarios share, so that it is written once and reads the same in both.
//!
//! - [`part`]: which part of which scenario is run
//! - [`interrupt`]: signals end a run early
//! - [`progress`]: how a run stands, on standard error
//! - [`problem`]: what ends a program without a run

pub mod interrupt;
pub mod part;
pub mod problem;
pub mod progress;

pub use part::Part;
pub use problem::Problem;
pub use progress::Progress;
