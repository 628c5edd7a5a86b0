//! One run by many machines, over NATS: agents dial out and wait for orders; a coordinator gives each its segment of the plan and all
//! of them one start, and gathers what they tell.
//!
//! NATS only carries messages here, at most once and in order; what is lost on the way shows in the counts, and nothing is ever
//! played again. What the messages mean for a run is [`loadgen::gather`]'s; this is how they travel.
//!
//! - `words`: what is said, and on which subjects
//! - `agent`: the side that plays; `part`: its segment, on a thread of its own
//! - `coordinator`: the side that asks; `relay`: while the run goes on
//! - `allowed`: what an agent may be asked for; `offset`: how far two clocks are apart

mod agent;
mod allowed;
mod coordinator;
mod offset;
mod part;
mod relay;
mod words;

pub(crate) use agent::agent;
pub(crate) use coordinator::conduct;

use std::time::Duration;

use programs::Problem;

/// Who has not been heard of for this long is gone.
const SILENCE: Duration = loadgen::gather::SILENCE;
/// How often each side says that it is there, where it has said nothing else: who tells of every second needs no more.
const BEAT: Duration = Duration::from_millis(1_500);
/// How often is looked at what does not come by itself.
const LOOK: Duration = Duration::from_millis(100);

/// What a failed connection means for the program: where the server is, and who we are to it, is the command's.
fn of_fleet(error: fleet::Error) -> Problem {
    match error {
        fleet::Error::Lost { .. } | fleet::Error::Silent { .. } | fleet::Error::Server { .. } => {
            Problem::Failure(error.into())
        }
        _ => Problem::configuration(error),
    }
}
