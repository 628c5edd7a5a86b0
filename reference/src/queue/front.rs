//! A queue before a RabbitMQ that this process has started and keeps: publishers and consumers speak to it as to any queue of the
//! stack, and it speaks AMQP.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use scenarios::scenario::ComponentKind;

use super::Server;
use super::broker::Broker;
use crate::component::{self, Context};
use crate::engines::USER;
use crate::message::Setup;

/// Such a queue.
#[derive(Debug)]
pub(crate) struct Front(Rc<Server>);

impl Front {
    /// Looks for the RabbitMQ that is about to listen there, from now on.
    ///
    /// # Errors
    /// Where the setup is not that of a queue.
    pub(crate) fn new(setup: Setup, rabbitmq: SocketAddr) -> Result<Self, String> {
        let context = Rc::new(Context::new(setup)?);
        let ComponentKind::Queue(settings) = &context.scenario.component(context.component).kind else {
            return Err("is no queue".to_owned());
        };
        let url = format!("amqp://{USER}:{USER}@{rabbitmq}/");
        let server = Rc::new(Server::new(&context, settings, Broker::new(settings), None, Some(url)));
        tokio::task::spawn_local(Rc::clone(&server).pull(true));
        Ok(Self(server))
    }

    /// Whether RabbitMQ was reached, and is still.
    pub(crate) fn is_linked(&self) -> bool {
        self.0.elsewhere.as_ref().is_some_and(|elsewhere| elsewhere.link().is_some())
    }

    /// Lets publishers and consumers in from now on.
    ///
    /// # Errors
    /// Where its address cannot be listened on.
    pub(crate) fn listen(&self) -> io::Result<()> {
        self.0.listen()
    }

    /// What it tells.
    pub(crate) fn figures(&self) -> BTreeMap<String, f64> {
        component::figures(|figures| self.0.tell(figures))
    }
}
