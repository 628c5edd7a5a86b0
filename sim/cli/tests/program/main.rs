//! The `sim` program from outside: a file per kind of behaviour.

#[path = "../../../../reports/tests/report/browser.rs"]
mod browser;
mod capacity;
mod changes;
mod plan;
mod playground;
mod replications;
mod runs;
mod scorecard;
#[path = "../../../../reports/tests/report/served.rs"]
mod served;
mod steady;
mod support;
mod tracing;
mod whatif;
#[cfg(feature = "nats")]
mod workers;
