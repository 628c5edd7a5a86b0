//! The scenario crate from outside, a file per behaviour.

mod derived;
mod good;
mod messages;
mod plan;
mod quantities;
mod schema;
