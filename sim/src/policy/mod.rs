//! What a caller does about calls that are slow or fail, as state machines that know nothing of the world.
//!
//! Each machine is told the time and what happened, and says what is allowed; who calls whom, and what is made of a
//! refusal, is the caller's business. Services and clients share them.
//!
//! - [`backoff`]: the pause before a retry; [`budget`]: how many retries the load allows
//! - [`breaker`]: stops calling what fails; [`gate`]: so many calls at once, the others wait or are refused
//! - [`window`]: counts of what happened lately

pub(crate) mod backoff;
pub(crate) mod breaker;
pub(crate) mod budget;
pub(crate) mod gate;
pub(crate) mod window;
