//! The stack as it really runs: processes on loopback addresses.

mod cache;
mod faults;
mod lifetime;
mod proxy;
mod room;
mod service;
mod store;
