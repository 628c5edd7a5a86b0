//! Runs made on other machines: a coordinator puts tasks into a work queue of NATS JetStream, workers take them from it and keep what
//! came out in its stores, under the task's key, where the coordinator, or one that came after it, finds it.
//!
//! A task is a pure function of its key: whoever makes it, and however often, the same comes out. So whatever dies costs time and
//! nothing else, and nothing has to be counted.
//!
//! - `task`: what is sent, and the key of it; `identity`: which program may take it; `parcel`: what comes back, as bytes
//! - `store`: the queue, the answers and the large things, on the server
//! - `coordinator`: who asks; `worker`: who makes

mod coordinator;
mod identity;
mod parcel;
mod store;
mod task;
mod worker;

use programs::Problem;
use scenarios::exit;

pub(crate) use coordinator::Coordinator;
pub(crate) use worker::{WorkerArguments, run};

/// What is wrong with the connection, as a program's end.
fn unconnected(error: fleet::Error) -> Problem {
    match error {
        fleet::Error::Nowhere | fleet::Error::File { .. } => Problem::configuration(error),
        other => Problem::Failure(other.into()),
    }
}

/// The exit code of a worker that was asked to end, or had nothing to do for as long as it was to wait.
const ENDED: u8 = exit::GOOD;
