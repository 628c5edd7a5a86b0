//! The `sim` program from outside: a file per kind of behaviour.

mod changes;
mod replications;
mod runs;
mod scorecard;
mod steady;
mod support;
mod tracing;
