//! The scenario: one file that says what runs where, who asks for what, what breaks and what counts as good.
//!
//! Start at [`scenario::Scenario`], the file as meant, and [`plan::Plan`], the requests that it stands for.
//!
//! - [`units`], [`law`], [`rate`], [`curve`]: quantities, probability laws, rates over time
//! - [`quantity`]: all of these as text, both ways
//! - [`rng`]: named random streams from one seed
//! - `wire`: the file as written; `validate`: from there to the file as meant; [`diagnostic`]: what is wrong with it
//! - [`scenario`], [`threshold`]: the file as meant
//! - [`supports`]: what of the file a world implements, and the refusal of the rest
//! - [`plan`]: requests with due times, keys and sizes, the same for every world
//! - [`mod@derive`]: a window of a scenario at a reduced rate, as a scenario of its own
//! - [`schema`]: the JSON Schema of the file; [`explain`]: the scenario in words and numbers
//! - [`memory`]: what a record takes of a store's memory
//! - [`fit`]: a scenario from an access log
//! - [`trace`]: recorded requests, from CSV; `logs`: from other formats
//! - `overlay`: what a scenario includes, written out in its text
//! - [`library`]: scenarios that are compiled in; [`exit`]: exit codes of all programs

pub mod curve;
pub mod derive;
pub mod diagnostic;
pub mod exit;
pub mod explain;
pub mod fit;
pub mod law;
pub mod library;
mod logs;
pub mod memory;
mod overlay;
pub mod plan;
pub mod quantity;
pub mod rate;
pub mod rng;
pub mod scenario;
pub mod schema;
pub mod supports;
#[cfg(test)]
mod testing;
pub mod threshold;
pub mod trace;
pub mod units;
mod validate;
mod wire;

pub use diagnostic::{Diagnostic, Diagnostics};
pub use scenario::Scenario;
