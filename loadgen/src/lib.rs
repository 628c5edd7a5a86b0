//! An open-loop load generator: plays a scenario's plan over sockets, every request on time whatever became of those
//! before it.
//!
//! - [`mod@run`]: a whole run, from open connections to the record; start reading here
//! - [`gather`]: a run that several machines play, from what they tell
//! - [`engine`]: pacing, connections, queues
//! - [`http`]: composing requests, reading answers
//! - [`control`], [`system`]: faults at their time, and what the components say of themselves
//! - [`evidence`], [`validity`]: whether the run may be believed
//! - [`supports`]: what of a scenario is implemented
//! - [`capacity`]: the search for the greatest load; [`doctor`]: what this machine can do
//! - [`target`], [`named`], [`limits`]: where load may go, and how much
//! - [`error`]: why a run could not be made

mod abort;
pub mod capacity;
mod clock;
pub mod control;
pub mod doctor;
pub mod engine;
pub mod error;
pub mod evidence;
#[cfg(fuzzing)]
pub mod fuzzed;
pub mod gather;
pub mod http;
mod journal;
pub mod limits;
pub mod named;
pub mod run;
mod standing;
pub mod supports;
pub mod system;
pub mod target;
#[cfg(feature = "tls")]
pub mod trust;
pub mod validity;

pub use clock::Clock;
pub use engine::{Address, Client, Clients, Entries, Entry, Options, Pulse, Request, Share, Tls};
pub use error::Error;
pub use gather::{Gathering, gather};
pub use run::{Job, Snapshot, run, run_over, run_told};
