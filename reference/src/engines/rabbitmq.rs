//! RabbitMQ in the place of a queue: `rabbitmq.conf` and the variables that its start reads. The queue itself, with its length,
//! overflow and deliveries, is declared by whoever publishes.

use super::plan::Plan;
use super::site::Site;

/// Its plan.
pub(super) fn plan(site: &Site<'_>) -> Plan {
    let text = format!(
        "listeners.tcp.default = {}\nloopback_users = none\nlog.console = true\nlog.file = false\n",
        site.listen
    );
    let environment = vec![
        ("RABBITMQ_NODENAME", format!("rehearsal-{}@localhost", site.listen.port)),
        ("RABBITMQ_CONFIG_FILE", site.path("rabbitmq.conf")),
        ("RABBITMQ_MNESIA_BASE", site.path("data")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", site.path("plugins")),
        ("RABBITMQ_PID_FILE", site.path("pid")),
        ("HOME", site.directory.display().to_string()),
    ];
    Plan { environment, ..Plan::of_file("rabbitmq.conf", text, &["rabbitmq-server"]) }
}
