//! MariaDB in the place of an SQL store: `my.cnf`, and the schema as the file that the server reads when it starts.

use scenarios::scenario::{ComponentKind, Keyspace};

use super::plan::Plan;
use super::site::Site;

/// The database.
pub(crate) const DATABASE: &str = "rehearsal";
/// Connections beside those of services: whoever fills it and asks for its figures.
const MORE_CONNECTIONS: u32 = 8;

/// Its plan; none for another kind of component.
pub(super) fn plan(site: &Site<'_>) -> Option<Plan> {
    let ComponentKind::SqlStore(store) = &site.description().kind else { return None };
    let mut lines = vec![
        "[mariadbd]".to_owned(),
        format!("bind-address = {}", site.listen.host),
        format!("port = {}", site.listen.port),
        format!("datadir = {}", site.path("data")),
        format!("socket = {}", site.path("mariadb.sock")),
        format!("pid-file = {}", site.path("mariadb.pid")),
        format!("init-file = {}", site.path("init.sql")),
        "skip-name-resolve".to_owned(),
        "# Whoever reaches it may do everything: only for a network of its own.".to_owned(),
        "skip-grant-tables".to_owned(),
        format!("max_connections = {}", store.connections.saturating_add(MORE_CONNECTIONS).min(100_000)),
        "max_allowed_packet = 64M".to_owned(),
    ];
    if let Some(wait) = store.lock_wait {
        lines.push(format!("innodb_lock_wait_timeout = {}", wait.as_nanos() / 1_000_000_000));
    }
    if let Some(limit) = store.statement_timeout {
        lines.push(format!("max_statement_time = {}", limit.as_secs_f64()));
    }
    let text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let mut schema = format!("CREATE DATABASE IF NOT EXISTS {DATABASE};\n");
    for keyspace in &site.scenario.keyspaces {
        schema += &format!(
            "CREATE TABLE IF NOT EXISTS {DATABASE}.{} (id BIGINT UNSIGNED PRIMARY KEY, value LONGBLOB NOT NULL, \
             version BIGINT NOT NULL) ENGINE=InnoDB;\n",
            table_name(keyspace)
        );
    }
    let before = [
        "mariadb-install-db",
        "--no-defaults",
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        &format!("--datadir={}", site.path("data")),
    ];
    let file = "my.cnf";
    let command = ["mariadbd", &format!("--defaults-file={}", site.path(file))];
    let plan = Plan::of_file(file, text, &command);
    Some(Plan {
        files: [plan.files, vec![("init.sql", schema)]].concat(),
        before: Some(before.map(str::to_owned).to_vec()),
        ..plan
    })
}

/// The table of a keyspace, quoted.
pub(crate) fn table_name(keyspace: &Keyspace) -> String {
    format!("`{}`", keyspace.name.replace('`', "``"))
}
