//! HTTP/1.1 as a client needs it to measure: requests composed once, answers read without keeping their bodies.
//!
//! Nothing here touches a socket.

mod body;
mod cookies;
mod judge;
mod request;
mod response;

pub(crate) use cookies::{Jar, tells_of_loss};
pub use judge::Wanted;
pub(crate) use judge::{Judge, fields};
pub(crate) use request::{Composer, host_field, path_of};
pub use response::{Limits, Progress, Reader, Violation};
