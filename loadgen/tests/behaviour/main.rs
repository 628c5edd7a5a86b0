//! How the generator behaves against servers that do all sorts of things. One binary, a file per behaviour.

mod accounting;
mod bad_servers;
mod connections;
mod overload;
mod pacing;
mod stall;
mod support;
mod users;
