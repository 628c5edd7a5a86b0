//! What stands behind a component where it really runs.

use super::{Component, Scenario};
use crate::diagnostic::{Diagnostic, Diagnostics, one_of};

/// What does a component's work in the real world. A simulator has its model, whatever this says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Engine {
    /// The reference stack's own.
    #[default]
    Embedded,
    /// A server that runs already, by its URL: `mysql://`, `mariadb://` or `amqp://`.
    Url(String),
    /// A server of another make, which the stack configures, starts and stops.
    Server(Server),
}

/// A server of another make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Server {
    /// HAProxy, a load balancer.
    Haproxy,
    /// nginx, a load balancer or an HTTP cache.
    Nginx,
    /// Varnish, an HTTP cache.
    Varnish,
    /// Redis, a key-value store.
    Redis,
    /// MariaDB, an SQL store.
    Mariadb,
    /// RabbitMQ, a queue.
    Rabbitmq,
}

impl Server {
    /// Its word in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Haproxy => "haproxy",
            Self::Nginx => "nginx",
            Self::Varnish => "varnish",
            Self::Redis => "redis",
            Self::Mariadb => "mariadb",
            Self::Rabbitmq => "rabbitmq",
        }
    }
}

/// What can stand behind the components of a kind: servers, the most usual first, and the schemes of URLs.
fn choices(kind: &str) -> (&'static [Server], &'static [&'static str]) {
    match kind {
        "load-balancer" => (&[Server::Haproxy, Server::Nginx], &[]),
        "http-cache" => (&[Server::Varnish, Server::Nginx], &[]),
        "kv-store" => (&[Server::Redis], &[]),
        "sql-store" => (&[Server::Mariadb], &["mysql", "mariadb"]),
        "queue" => (&[Server::Rabbitmq], &["amqp"]),
        _ => (&[], &[]),
    }
}

impl Engine {
    /// From a choice on a command line: `varnish=varnish` is the component and its engine.
    ///
    /// # Errors
    /// With what was expected.
    pub fn choice(text: &str) -> Result<(String, String), String> {
        match text.split_once('=') {
            Some((component, engine)) if !component.is_empty() && !engine.is_empty() => {
                Ok((component.to_owned(), engine.to_owned()))
            }
            _ => Err("expected COMPONENT=ENGINE, such as varnish=varnish".to_owned()),
        }
    }

    /// From a word or a URL, for a component of this kind; what was expected where it is none.
    pub(crate) fn read(kind: &str, written: &str) -> Result<Self, String> {
        let (servers, schemes) = choices(kind);
        if written == "embedded" {
            return Ok(Self::Embedded);
        }
        if let Some(server) = servers.iter().find(|server| server.name() == written) {
            return Ok(Self::Server(*server));
        }
        let is_url = |scheme: &&str| {
            let rest = written.strip_prefix(*scheme).and_then(|rest| rest.strip_prefix("://"));
            rest.is_some_and(|rest| !rest.is_empty())
        };
        if schemes.iter().any(is_url) {
            return Ok(Self::Url(written.to_owned()));
        }
        let words = one_of(std::iter::once("embedded").chain(servers.iter().map(|server| server.name())));
        Err(match schemes {
            [] => words,
            _ => format!("{words}, or a URL that begins with {}://", schemes.join(":// or ")),
        })
    }
}

impl Component {
    /// The server that runs in this component's place, if one of another make does.
    pub const fn server(&self) -> Option<Server> {
        match self.engine {
            Engine::Server(server) => Some(server),
            _ => None,
        }
    }

    /// The server that most would take for a component of this kind.
    pub fn usual_server(&self) -> Option<Server> {
        choices(self.kind.name()).0.first().copied()
    }
}

impl Scenario {
    /// Takes other engines than the file says, by component: `("varnish", "varnish")`. The file and its hash stay as they
    /// are, as a simulator does not tell engines apart.
    ///
    /// # Errors
    /// Where there is no such component, or it cannot have such an engine.
    pub fn choose_engines(&mut self, engines: &[(String, String)]) -> Result<(), Diagnostics> {
        let mut problems = Vec::new();
        for (name, written) in engines {
            let found = self.components.iter().position(|component| component.name == *name);
            let read = found.map(|place| (place, Engine::read(self.components[place].kind.name(), written)));
            match read {
                Some((place, Ok(engine))) => {
                    self.components[place].engine = engine;
                    self.source.engines.push((name.clone(), written.clone()));
                }
                Some((_, Err(expected))) => problems.push(self.no_engine(name, written, expected)),
                None => {
                    let names = one_of(self.components.iter().map(|component| component.name.as_str()));
                    problems.push(self.no_engine(name, name, format!("a component of the file: {names}")));
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Diagnostics::new(problems)) }
    }

    fn no_engine(&self, name: &str, found: &str, expected: String) -> Diagnostic {
        let hint = "engines are chosen as COMPONENT=ENGINE, such as varnish=varnish";
        self.problem_at(&format!("components.{name}"), format!("{found:?}"), expected, Some(hint))
    }
}
