//! All files of the servers of a scenario, and a compose file that runs them: to be taken home.

use std::fmt::Write as _;
use std::path::PathBuf;

use scenarios::Scenario;
use scenarios::scenario::{ComponentId, ComponentKind, Server};

use super::plan::{Plan, plan};
use super::site::{Address, Site, elsewhere, plain};

/// Gives a server to every component of which the file does not say what does its work.
pub(crate) fn usual_servers(scenario: &Scenario) -> Vec<(String, String)> {
    let said =
        |name: &str| scenario.keys_written_in(&format!("components.{name}")).iter().any(|k| k == "engine");
    let chosen = |name: &str| scenario.source.engines.iter().any(|(other, _)| other == name);
    let open = scenario.components.iter().filter(|c| !said(&c.name) && !chosen(&c.name));
    let usual = open.filter_map(|c| Some((c.name.clone(), c.usual_server()?.name().to_owned())));
    usual.collect()
}

/// The files by their paths.
pub(crate) fn files(scenario: &Scenario) -> Vec<(PathBuf, String)> {
    let addresses: Vec<Vec<Address>> = scenario
        .component_ids()
        .map(|id| (0..scenario.instances(id)).map(|number| address(scenario, id, number)).collect())
        .collect();
    let mut files = Vec::new();
    let mut services = String::new();
    for id in scenario.component_ids() {
        let component = scenario.component(id);
        for instance in 0..scenario.instances(id) {
            let name = container(scenario, id, instance);
            let port = port(&component.kind);
            let site = Site {
                scenario,
                component: id,
                instance,
                listen: Address { host: "0.0.0.0".to_owned(), port },
                addresses: addresses.clone(),
                directory: elsewhere().to_owned(),
                own_ports: None,
            };
            let Some((server, plan)) = component.server().and_then(|s| Some((s, plan(s, &site)?))) else {
                writeln!(
                    services,
                    "  # {name}, port {port}: a {}, which is yours to add.",
                    component.kind.name()
                )
                .expect("writing to a string cannot fail");
                continue;
            };
            services += &service(&name, server, &plan);
            if instance == 0 && scenario.traffic.iter().any(|traffic| traffic.to == id) {
                writeln!(services, "    ports: [\"8080:{port}\"]").expect("writing to a string cannot fail");
            }
            let own = PathBuf::from(&name);
            files.extend(plan.files.into_iter().map(|(file, text)| (own.join(file), text)));
        }
    }
    let compose = format!("# The servers of: {}\nservices:\n{services}", scenario.title);
    files.push((PathBuf::from("compose.yml"), compose));
    files
}

fn container(scenario: &Scenario, id: ComponentId, instance: u32) -> String {
    format!("{}-{}", plain(&scenario.component(id).name), instance + 1)
}

fn address(scenario: &Scenario, id: ComponentId, instance: u32) -> Address {
    let port = port(&scenario.component(id).kind);
    Address { host: container(scenario, id, instance), port }
}

fn port(kind: &ComponentKind) -> u16 {
    match kind {
        ComponentKind::KvStore(_) => 6379,
        ComponentKind::SqlStore(_) => 3306,
        ComponentKind::Queue(_) => 5672,
        _ => 80,
    }
}

/// The versions that the tests here run against.
fn image(server: Server) -> &'static str {
    match server {
        Server::Haproxy => "haproxy:2.6",
        Server::Nginx => "nginx:1.22",
        Server::Varnish => "varnish:7.1",
        Server::Redis => "redis:7.0",
        Server::Mariadb => "mariadb:10.11",
        Server::Rabbitmq => "rabbitmq:3.10",
        _ => "scratch",
    }
}

fn service(name: &str, server: Server, plan: &Plan) -> String {
    let words = |words: &[String]| {
        let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
        quoted.join(", ")
    };
    let mut text = format!(
        "  {name}:\n    image: {}\n    user: root\n    volumes: [\"./{name}:{}\"]\n",
        image(server),
        elsewhere().display()
    );
    if !plan.environment.is_empty() {
        text += "    environment:\n";
        for (variable, value) in &plan.environment {
            writeln!(text, "      {variable}: {value:?}").expect("writing to a string cannot fail");
        }
    }
    match server {
        // Its image makes the data directory.
        Server::Mariadb => {
            text += "    environment: { MARIADB_ALLOW_EMPTY_ROOT_PASSWORD: \"1\" }\n";
            writeln!(text, "    command: [{}, \"--user=root\"]", words(&plan.command))
        }
        _ => writeln!(text, "    entrypoint: [{}]", words(&plan.command)),
    }
    .expect("writing to a string cannot fail");
    text
}
