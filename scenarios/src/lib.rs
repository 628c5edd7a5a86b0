//! The scenario: one file that says what runs where, who asks for what, what breaks and what counts as good.
//!
//! Start at [`scenario::Scenario`], the file as meant, and [`plan::Plan`], the requests that it stands for.
//!
//! - [`units`], [`law`], [`rate`]: quantities, probability laws, rates over time
//! - [`rng`]: named random streams from one seed
//! - [`scenario`], [`threshold`]: the file as meant
//! - [`plan`]: requests with due times, keys and sizes, the same for every world

pub mod law;
pub mod plan;
pub mod rate;
pub mod rng;
pub mod scenario;
pub mod threshold;
pub mod units;

pub use scenario::Scenario;
