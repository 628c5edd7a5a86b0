//! What stands before a server with which the stack's own components have no language in common: the queue's protocol before RabbitMQ,
//! whose own is AMQP. Builds without the feature `rabbitmq` have none.

use std::net::SocketAddr;

use scenarios::scenario::Server;

use crate::message::Setup;
#[cfg(feature = "rabbitmq")]
pub(super) use crate::queue::Front;

/// Nothing can be one.
#[cfg(not(feature = "rabbitmq"))]
#[derive(Debug)]
pub(super) enum Front {}

#[cfg(not(feature = "rabbitmq"))]
impl Front {
    pub(super) fn is_linked(&self) -> bool {
        match *self {}
    }

    pub(super) fn listen(&self) -> std::io::Result<()> {
        match *self {}
    }

    pub(super) fn figures(&self) -> super::figures::Figures {
        match *self {}
    }
}

/// What stands before a server that is about to listen there, if anything has to.
///
/// # Errors
/// Where this build has not what it would need.
pub(super) fn before(server: Server, setup: Setup, listens: SocketAddr) -> Result<Option<Front>, String> {
    match server {
        #[cfg(feature = "rabbitmq")]
        Server::Rabbitmq => Front::new(setup, listens).map(Some),
        #[cfg(not(feature = "rabbitmq"))]
        Server::Rabbitmq => {
            let _unused = (setup, listens);
            Err(format!("this build speaks no AMQP: {}", crate::support::WITH_AMQP))
        }
        _ => Ok(None),
    }
}
