//! A server's files and its command, as a pure function of its site.

use scenarios::scenario::Server;

use super::site::Site;
use super::{haproxy, mariadb, nginx, rabbitmq, redis, varnish};

/// What is written and run for a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Files in its directory, by name.
    pub(crate) files: Vec<(&'static str, String)>,
    /// What is run once before the server first starts, if anything is.
    pub(crate) before: Option<Vec<String>>,
    /// What runs beside it as long as it does, if anything does.
    pub(crate) beside: Option<Beside>,
    /// The program, in the foreground, and its arguments.
    pub(crate) command: Vec<String>,
    /// Of its environment.
    pub(crate) environment: Vec<(&'static str, String)>,
}

/// A program without which a server does not start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Beside {
    /// The program, in the foreground, and its arguments.
    pub(crate) command: Vec<String>,
    /// Where it listens on 127.0.0.1 once it is there.
    pub(crate) port: u16,
}

impl Plan {
    /// A server that is configured by one file and by nothing else.
    pub(super) fn of_file(name: &'static str, text: String, command: &[&str]) -> Self {
        Self {
            files: vec![(name, text)],
            before: None,
            beside: None,
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            environment: Vec::new(),
        }
    }
}

/// The plan of a server at a site whose component it can stand for.
pub(crate) fn plan(server: Server, site: &Site<'_>) -> Option<Plan> {
    match server {
        Server::Haproxy => haproxy::plan(site),
        Server::Nginx => nginx::plan(site),
        Server::Varnish => varnish::plan(site),
        Server::Redis => redis::plan(site),
        Server::Mariadb => mariadb::plan(site),
        Server::Rabbitmq => rabbitmq::plan(site),
        _ => None,
    }
}
