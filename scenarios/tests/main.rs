//! The scenario crate from outside, a file per behaviour.

mod arrivals;
mod calibration;
mod cli;
mod derived;
mod fit;
mod good;
mod messages;
mod plan;
mod quantities;
mod schema;
mod users;
