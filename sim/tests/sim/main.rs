//! The simulator's behaviour: a file per kind.

mod support;

mod balancers;
mod clients;
mod faults;
mod hosts;
mod load;
mod queues;
mod repeatable;
mod stores;
mod verify;
