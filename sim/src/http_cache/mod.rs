//! The HTTP cache, in Varnish's role: what it holds, for how long, and who fetches what is not there.
//!
//! - [`contents`]: what a request meets when it looks an object up, and what a fetch leaves behind
//! - `settings`: what it is told; `counts`: what it counts
//! - `store`: the objects by key, in bytes, with the list by which they are evicted
//! - `expiry`: when objects go of themselves; `tags`: what a purge by tag reaches
//! - `threads`: who has one and who waits for one; `probe`: which back ends are healthy; `purge`: what services throw out
//! - `prefill`: what is there at the run's start
//! - `rules`: which requests ask for which object; `instance`: the cache at work in the simulated world; `page`: what is
//!   put together from parts; `foresight`: memory that is asked for ahead
//!
//! All but `instance`, `foresight`, `page`, `threads`, `purge` and the choice of a back end is data and rules, and knows neither events nor
//! back ends. The rules are those of Varnish 7.1 with its `malloc` storage; each file names its sources.

pub mod contents;
#[cfg(test)]
mod contents_tests;
mod counts;
mod expiry;
mod foresight;
pub(crate) mod instance;
mod page;
mod prefill;
pub(crate) mod probe;
pub(crate) mod purge;
pub(crate) mod rules;
mod settings;
mod store;
mod tags;
pub(crate) mod threads;

pub use contents::{Contents, Counts, Lookup, Settings};
pub use store::ObjectId;
