//! The stack as it really runs: processes on loopback addresses.

mod abuse;
mod admin;
mod balance;
mod cache;
mod cache_fetches;
mod cache_origin;
mod conformance;
mod edge;
mod engines;
mod faults;
mod framing;
#[cfg(feature = "tls")]
mod http2;
mod jobs;
mod kill;
mod lifetime;
mod network;
mod origin;
mod pair;
mod policies;
mod proxy;
mod queue;
mod room;
mod schedules;
mod service;
mod sessions;
mod sql;
mod store;
mod store_abuse;
mod store_clients;
mod store_conformance;
mod store_copies;
mod store_files;
mod trouble;
