//! The program as its users meet it. One binary, a file per behaviour.

mod configuration;
mod ends;
mod http2;
mod runs;
mod support;
mod users;
