//! The reference stack: a reverse proxy, a service, a key-value store and an SQL tier that really run, as processes on
//! loopback addresses, and break on purpose. A scenario file says which, and how.
//!
//! Start at [`client::Stack`], which starts and stops them.
//!
//! - [`client`]: the stack as its users see it; [`process`]: how one executable holds all of its processes
//! - [`support`]: what of a scenario it can run; [`cli`]: the binary `reference`, with `status`
//! - `supervisor`: starts, breaks, mends and stops the components; `message`: what they say to each other
//! - `child`: a process that it started; `component`: what all components share; `log`: what they write down; `trouble`: what ails them; `proxy`, `cache`, `service`, `store`, `sql`,
//!   `queue`: the components
//! - `engines`: servers of other makes in the components' places
//! - `relay`: the network between their machines; `vrrp`: who holds an address that several share
//! - `emulated`: processors that are not there; `http`, `resp`: protocols; `edge`: how clients' connections come in; `socket`,
//!   `addresses`: who listens where
//! - `fuzzed`: parsers as the fuzz targets call them, only there and in tests

mod addresses;
mod cache;
mod child;
pub mod cli;
pub mod client;
mod component;
mod edge;
mod emulated;
mod engines;
#[cfg(any(test, fuzzing))]
pub mod fuzzed;
mod http;
mod log;
mod message;
pub mod process;
mod proxy;
mod queue;
mod relay;
mod resp;
mod service;
mod socket;
mod sql;
mod status;
mod store;
mod supervisor;
pub mod support;
mod trouble;
mod vrrp;
