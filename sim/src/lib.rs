//! A discrete-event simulator of web stacks: plays a scenario without sockets.
//!
//! Start at [`Simulation`]. Time is in integer nanoseconds; events at the same time happen in the order in which they were
//! scheduled; all randomness follows from the scenario's seed, so equal runs are equal byte for byte.
//!
//! What is not in the model: what `docs/network.md` says of the network, which costs nothing where a file does not
//! describe it; the time that stores take where no calibration says so; what a client's leaving does to a service (it works to
//! the end, as Apache does); what an unplugged machine does while nobody hears of it, for it stands still; the pauses of up to
//! half a second in which the load generator's clients open lost connections again.
//!
//! - [`event`]: the event list
//! - `simulation`: a run from outside; `supports`: what of a file it implements; `companion`: planning (`front`) and recording beside the events; `topology`: from scenario to world; `world`: dispatch
//! - `client`, `user`, `session`, `balancer`, `cdn`, [`http_cache`], `service`, `host`, [`kv_store`] (`eviction`), `sql_store`: a state machine each
//! - `sweep`: stations without events, one after the other
//! - `call`: one request of one party to one instance; `instance`: what all instances share; `connect`: the way there and back
//! - `network`: ways between machines; `fault`: what breaks; `restarting`: what is started again; `sample`: what is observed; `timeout`, `gauge`, `program`, `prefetch`: shared parts
//! - `conservation`: laws that every run is held against; [`trace`]: single requests, followed
//! - [`mod@replicate`]: runs that differ in their seed
//! - [`mod@verify`]: the simulator held against closed formulas

mod balancer;
mod call;
mod cdn;
mod client;
mod companion;
mod connect;
mod conservation;
pub mod event;
mod eviction;
mod fault;
mod front;
mod gauge;
mod guard;
mod host;
pub mod http_cache;
mod ids;
mod instance;
mod job;
pub mod kv_store;
#[cfg(test)]
mod leaks;
mod model;
mod network;
mod policy;
mod prefetch;
mod program;
mod queue;
pub mod replicate;
mod restarting;
mod sample;
mod service;
mod session;
mod simulation;
pub mod sql_store;
mod supports;
mod sweep;
mod timeout;
mod topology;
pub mod trace;
mod user;
pub mod verify;
mod world;

pub use replicate::replicate;
pub use simulation::{Progress, SimOutcome, Simulation};
pub use trace::Follow;
pub use world::Counts;
