//! The program as its users meet it. One binary, a file per behaviour.

#[cfg(feature = "nats")]
mod agents;
mod bodies;
mod capacity;
mod configuration;
mod ends;
mod http2;
mod runs;
mod support;
mod target;
#[cfg(feature = "tls")]
mod tls;
mod users;
mod watching;
