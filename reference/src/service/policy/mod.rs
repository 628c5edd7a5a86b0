//! The rules of calls that are slow or fail. They know no sockets; times are nanoseconds of the monotonic clock.
//!
//! - [`window`]: counts of the last while; [`budget`]: how many retries the load allows; [`backoff`]: the pause before each
//! - [`breaker`]: when calls are refused at once; [`gate`]: how many there may be at once

pub(super) mod backoff;
pub(super) mod breaker;
pub(super) mod budget;
pub(super) mod gate;
pub(super) mod window;
