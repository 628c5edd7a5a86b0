//! Processors that are not there: time passes precisely, and a host's cores are held, without burning this machine's.
//!
//! - [`clock`]: monotonic nanoseconds
//! - [`timer`]: sleeping to a moment, tens of microseconds late at worst where tokio's timer has a millisecond's grain
//! - [`cores`]: the cores of a host, first come first served; [`burn`]: threads in their place, where the scenario asks for it
//! - [`level`]: a number over time and its integral

mod burn;
pub(crate) mod clock;
pub(crate) mod cores;
pub(crate) mod level;
pub(crate) mod timer;

use burn::Burner;
pub(crate) use cores::Cores;
pub(crate) use level::Level;
pub(crate) use timer::Timer;
