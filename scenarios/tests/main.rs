//! The scenario crate from outside, a file per behaviour.

mod messages;
