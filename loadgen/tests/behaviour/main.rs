//! How the generator behaves against servers that do all sorts of things. One binary, a file per behaviour.

mod accounting;
mod addresses;
mod bad_servers;
mod clients;
mod connections;
mod gather;
#[cfg(feature = "goose")]
mod goose;
#[cfg(feature = "http2")]
mod http2;
#[cfg(feature = "http2")]
mod http2_server;
mod overload;
mod pacing;
mod retries;
mod segments;
mod stall;
mod support;
#[cfg(feature = "tls")]
mod tls;
mod users;
