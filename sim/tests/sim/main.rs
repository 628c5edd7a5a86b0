//! The simulator's behaviour: a file per kind.

mod support;

mod balancers;
mod breakdowns;
mod cache_trouble;
mod caches;
mod cdn;
mod churn;
mod clients;
mod connections;
mod coverage;
mod degradation;
mod faults;
mod hosts;
mod jobs;
mod load;
mod memory;
mod messages;
mod metastable;
mod network;
mod queues;
mod reloads;
mod repeatable;
mod scaling;
mod services;
mod sessions;
mod shards;
mod sql;
mod store_policies;
mod stores;
mod users;
mod verify;
