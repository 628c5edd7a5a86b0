//! HTTP/1.1 as a client needs it to measure: requests composed once, answers read without keeping their bodies.
//!
//! Nothing here touches a socket.

mod body;
mod cookies;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
#[cfg(any(feature = "http2", feature = "goose"))]
mod http2;
mod judge;
mod request;
mod response;
mod room;

pub(crate) use cookies::{JARS_BYTES, Jar, LACKED, Site, tells_of_loss};
#[cfg(any(feature = "http2", feature = "goose"))]
pub(crate) use http2::{head_of, request_of};
pub use judge::Wanted;
#[cfg(any(test, fuzzing))]
pub(crate) use judge::fields;
pub(crate) use judge::{Answer, Judge, UNDONE, cookies};
pub(crate) use request::{Composer, host_field, path_of};
pub(crate) use response::ROOM_BYTES;
pub use response::{Limits, Progress, Reader, Violation};
pub(crate) use room::Room;
