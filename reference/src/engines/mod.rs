//! Servers of other makes in the places of this stack's own: what of a scenario they can do, how they are configured for it, and
//! the process that starts one, fills it, asks it for its figures and ends with it.
//!
//! - [`site`]: where a server and those around it are; [`plan`]: its files and its command, as pure functions of that
//! - `haproxy`, `nginx`, `varnish`, `redis`, `mariadb`, `rabbitmq`: what each is written, a file for each
//! - [`support`]: what each cannot do of what a scenario asks; [`bundle`]: all files of a scenario, to be taken home
//! - [`keeper`]: the process that keeps one; [`place`]: where that listens; [`front`]: what stands before it; [`fill`]: what is in it at
//!   the start; [`figures`]: what it tells

pub(crate) mod bundle;
mod figures;
mod fill;
mod front;
mod haproxy;
pub(crate) mod keeper;
mod mariadb;
mod nginx;
mod place;
pub(crate) mod plan;
mod rabbitmq;
mod redis;
pub(crate) mod site;
pub(crate) mod support;
#[cfg(test)]
mod tests;
mod varnish;

pub(crate) use mariadb::{DATABASE, table_name};
#[cfg(feature = "rabbitmq")]
pub(crate) use rabbitmq::{USER, overflow, queue_name};
