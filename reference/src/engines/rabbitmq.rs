//! RabbitMQ in the place of a queue: `rabbitmq.conf`, the definitions that it loads when it starts (its user and the queue), and the
//! variables that its start script reads. What they mean stands in the guides "Configuration", "Schema Definition Export and Import" and
//! "Networking" of version 3.10, and in `epmd(1)` and `erl(1)`.
//!
//! Where it runs on this machine, its node has names, a cookie, ports and directories of its own, all of them on loopback, so that
//! several run at once beside whatever Erlang runs here already, and none finds another.

use scenarios::scenario::{ComponentKind, Overflow, Queue};
use serde_json::json;

use super::plan::{Beside, Plan};
use super::site::{OwnPorts, Site};

/// The file of what it is to have when it has started.
const DEFINITIONS: &str = "definitions.json";
/// Who may do everything, by this name and this password: only for a network of its own.
pub(crate) const USER: &str = "guest";

/// Its plan; none for another kind of component.
pub(super) fn plan(site: &Site<'_>) -> Option<Plan> {
    let ComponentKind::Queue(queue) = &site.description().kind else { return None };
    let lines = [
        format!("listeners.tcp.default = {}", site.listen),
        "loopback_users = none".to_owned(),
        format!("heartbeat = {}", queue.heartbeat.as_nanos() / 1_000_000_000),
        format!("load_definitions = {}", site.path(DEFINITIONS)),
        "log.console = true".to_owned(),
        "log.file = false".to_owned(),
    ];
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let plan = Plan::of_file("rabbitmq.conf", text, &["rabbitmq-server"]);
    Some(Plan {
        files: [plan.files, vec![(DEFINITIONS, definitions(site, queue))]].concat(),
        beside: site.own_ports.map(names),
        environment: environment(site),
        ..plan
    })
}

/// The name of a component's queue.
pub(crate) fn queue_name(component: &str) -> String {
    format!("rehearsal_{component}")
}

/// RabbitMQ's word for what happens to a message that finds the queue full.
pub(crate) fn overflow(queue: &Queue) -> &'static str {
    if queue.overflow == Overflow::RejectPublish { "reject-publish" } else { "drop-head" }
}

/// A node that loads definitions makes no user by itself.
fn definitions(site: &Site<'_>, queue: &Queue) -> String {
    let mut arguments = serde_json::Map::new();
    if let Some(most) = queue.max_length {
        arguments.insert("x-max-length".to_owned(), most.into());
        arguments.insert("x-overflow".to_owned(), overflow(queue).into());
    }
    let everything = json!({ "configure": ".*", "read": ".*", "user": USER, "vhost": "/", "write": ".*" });
    let queue = json!({
        "arguments": arguments,
        "auto_delete": false,
        "durable": queue.durable,
        "name": queue_name(&site.description().name),
        "vhost": "/",
    });
    let definitions = json!({
        "permissions": [everything],
        "queues": [queue],
        "users": [{ "name": USER, "password": USER, "tags": "administrator" }],
        "vhosts": [{ "name": "/" }],
    });
    format!("{definitions:#}\n")
}

fn environment(site: &Site<'_>) -> Vec<(&'static str, String)> {
    let mut all = vec![
        // Where its cookie is.
        ("HOME", site.directory.display().to_string()),
        // What it keeps stands under its node's name, so this one is the same after every start.
        ("RABBITMQ_NODENAME", format!("rehearsal-{}-{}@localhost", site.name(), site.instance + 1)),
        ("RABBITMQ_NODE_IP_ADDRESS", site.listen.host.clone()),
        ("RABBITMQ_NODE_PORT", site.listen.port.to_string()),
        ("RABBITMQ_CONFIG_FILE", site.path("rabbitmq.conf")),
        // None of these is there: nothing that is set up for all of a machine is read.
        ("RABBITMQ_CONF_ENV_FILE", site.path("none")),
        ("RABBITMQ_ADVANCED_CONFIG_FILE", site.path("none.config")),
        ("RABBITMQ_CONFIG_FILES", site.path("none.d")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", site.path("plugins")),
        ("RABBITMQ_MNESIA_BASE", site.path("data")),
        ("RABBITMQ_LOG_BASE", site.path("log")),
        ("RABBITMQ_PID_FILE", site.path("pid")),
    ];
    if let Some(ports) = site.own_ports {
        all.extend([
            ("RABBITMQ_DIST_PORT", ports.nodes.to_string()),
            ("ERL_EPMD_PORT", ports.names.to_string()),
            ("ERL_EPMD_ADDRESS", "127.0.0.1".to_owned()),
            // Also for the node that the start makes for a moment, to see whether somebody knows the nodes' names.
            ("ERL_AFLAGS", "-kernel inet_dist_use_interface {127,0,0,1}".to_owned()),
            ("XDG_CONFIG_HOME", site.path("none")),
        ]);
    }
    all
}

/// Who knows the nodes of a machine by their names. Without one of its own a node would start one that outlives it.
fn names(ports: OwnPorts) -> Beside {
    let command = ["epmd", "-address", "127.0.0.1", "-port", &ports.names.to_string()];
    Beside { command: command.map(str::to_owned).to_vec(), port: ports.names }
}
