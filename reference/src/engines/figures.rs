//! What a server tells of itself, under the names of the stack's own components. Processor time is the kernel's account.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use scenarios::scenario::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::process::Command;

use super::{haproxy, mariadb, nginx};
use crate::process;
use crate::resp::{Client, Element};
use crate::sql::wire;

/// Figures by name.
pub(super) type Figures = BTreeMap<String, f64>;

/// Asks a server.
///
/// # Errors
/// Where it cannot be asked, or says something else.
pub(super) async fn ask(server: Server, address: SocketAddr, directory: &Path) -> io::Result<Figures> {
    match server {
        Server::Haproxy => {
            Ok(of_haproxy(&ask_socket(&directory.join(haproxy::SOCKET), "show stat\n").await?))
        }
        Server::Nginx => {
            let request = "GET / HTTP/1.0\r\n\r\n";
            Ok(of_nginx(&ask_socket(&directory.join(nginx::SOCKET), request).await?))
        }
        Server::Varnish => {
            let output = Command::new("varnishstat")
                .args(["-j", "-n"])
                .arg(directory.join("work"))
                .args(["-f", "MAIN.*", "-f", "SMA.s0.*"])
                .kill_on_drop(true)
                .output()
                .await?;
            of_varnish(&output.stdout)
        }
        Server::Redis => {
            let mut client = Client::connect(address).await?;
            client.command(1);
            client.argument(b"INFO");
            client.send().await?;
            let text = |element: Element<'_>| match element {
                Element::Bulk(Some(text)) => Some(String::from_utf8_lossy(text).into_owned()),
                _ => None,
            };
            Ok(of_redis(&client.reply(text).await.map_err(io::Error::other)?))
        }
        Server::Mariadb => {
            let asked = async {
                let mut client = wire::Client::connect(address, mariadb::DATABASE).await?;
                client.query(b"SHOW GLOBAL STATUS").await
            };
            Ok(of_mariadb(&asked.await.map_err(io::Error::other)?.rows()))
        }
        _ => Ok(Figures::new()),
    }
}

/// Sends a line to a Unix socket; what comes until its end.
///
/// # Errors
/// The kernel's.
pub(super) async fn ask_socket(path: &Path, line: &str) -> io::Result<String> {
    let mut stream = UnixStream::connect(path).await?;
    stream.write_all(line.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// From its table, whose first line names the columns (management guide of version 2.6, section 9.1).
fn of_haproxy(table: &str) -> Figures {
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().trim_start_matches("# ").split(',').collect();
    let mut figures = Figures::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let cell = |name: &str| {
            let place = head.iter().position(|column| *column == name)?;
            cells.get(place)?.parse::<f64>().ok()
        };
        let row = cells.get(1).copied().unwrap_or_default();
        let mut take = |figure: &str, columns: &[&str]| {
            let sum = columns.iter().filter_map(|column| cell(column)).sum();
            figures.insert(figure.to_owned(), sum);
        };
        match row {
            "FRONTEND" => {
                take("connections", &["scur"]);
                take("requests", &["req_tot"]);
            }
            "BACKEND" => {
                take("in_service", &["scur"]);
                take("waiting", &["qcur"]);
                take("retries", &["wretr"]);
                take("failures", &["econ", "eresp"]);
                take("servers_up", &["act"]);
            }
            _ => {}
        }
    }
    figures
}

/// From the page of its module `stub_status`.
fn of_nginx(page: &str) -> Figures {
    let mut figures = Figures::new();
    let mut lines = page.lines().skip_while(|line| !line.starts_with("Active connections:"));
    let number = |text: Option<&str>| text.and_then(|text| text.trim().parse::<f64>().ok());
    let connections = number(lines.next().and_then(|line| line.split(':').nth(1)));
    let counters = lines.nth(1).unwrap_or_default();
    let requests = number(counters.split_whitespace().nth(2));
    for (name, value) in [("connections", connections), ("requests", requests)] {
        figures.extend(value.map(|value| (name.to_owned(), value)));
    }
    figures
}

/// What Varnish's counters are called here; see `varnish-counters(7)`. A pass is what was looked up and is known not to be kept, as
/// with the stack's own cache: `s_pass` counts requests too that are not looked up at all, such as every POST.
const OF_VARNISH: &[(&str, &[&str])] = &[
    ("requests", &["MAIN.client_req"]),
    ("grace_hits", &["MAIN.cache_hit_grace"]),
    ("passes", &["MAIN.cache_hitpass", "MAIN.cache_hitmiss"]),
    ("coalesced", &["MAIN.busy_sleep"]),
    ("failures", &["MAIN.fetch_failed"]),
    ("evictions", &["MAIN.n_lru_nuked"]),
    ("expired", &["MAIN.n_expired"]),
    ("purged", &["MAIN.n_obj_purged", "MAIN.bans_obj_killed"]),
    ("keys", &["MAIN.n_object"]),
    ("memory_bytes", &["SMA.s0.g_bytes"]),
    ("threads", &["MAIN.threads"]),
    ("waiting", &["MAIN.thread_queue_len"]),
    ("dropped", &["MAIN.sess_dropped", "MAIN.req_dropped"]),
];

fn of_varnish(json: &[u8]) -> io::Result<Figures> {
    let told: serde_json::Value = serde_json::from_slice(json)?;
    let counter = |name: &&str| told["counters"][*name]["value"].as_f64();
    let figures = OF_VARNISH.iter().map(|(name, counters)| {
        let sum: f64 = counters.iter().filter_map(counter).sum();
        ((*name).to_owned(), sum)
    });
    let mut figures: Figures = figures.collect();
    // What is known not to be kept is a miss to Varnish and passed on to us; a hit of an object in its grace is a hit to
    // Varnish, and counts beside hits here.
    let apart = [
        ("misses", ["MAIN.cache_miss", "MAIN.cache_hitmiss"]),
        ("hits", ["MAIN.cache_hit", "MAIN.cache_hit_grace"]),
    ];
    for (name, counters) in apart {
        let [all, part] = counters.map(|name| counter(&name).unwrap_or(0.0));
        figures.insert(name.to_owned(), (all - part).max(0.0));
    }
    Ok(figures)
}

/// What Redis's fields are called here.
const OF_REDIS: &[(&str, &str)] = &[
    ("hits", "keyspace_hits"),
    ("misses", "keyspace_misses"),
    ("evictions", "evicted_keys"),
    ("expired", "expired_keys"),
    ("memory_bytes", "used_memory"),
    ("connections", "connected_clients"),
    ("commands", "total_commands_processed"),
];

const BESIDE_RECORDS: [&str; 2] = ["used_memory_startup", "mem_clients_normal"];

fn of_redis(text: &str) -> Figures {
    let fields: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.trim_end().split_once(':')).collect();
    let number = |text: &str| text.parse::<f64>().unwrap_or(0.0);
    let mut figures: Figures = OF_REDIS
        .iter()
        .map(|(name, field)| ((*name).to_owned(), fields.get(field).map_or(0.0, |text| number(text))))
        .collect();
    // db0:keys=3,expires=1,avg_ttl=0
    let database = fields.get("db0").copied().unwrap_or_default();
    let part = |name: &str| {
        let found = database.split(',').filter_map(|part| part.split_once('=')).find(|(key, _)| *key == name);
        found.map_or(0.0, |(_, value)| number(value))
    };
    figures.insert("keys".to_owned(), part("keys"));
    figures.insert("keys_with_ttl".to_owned(), part("expires"));
    // What counts towards `maxmemory` beside records: of the server itself, and of its clients (redis.io, INFO memory).
    let beside: f64 =
        BESIDE_RECORDS.iter().map(|field| fields.get(field).map_or(0.0, |text| number(text))).sum();
    figures.insert("overhead_bytes".to_owned(), beside);
    figures
}

/// What MariaDB's status variables are called here.
const OF_MARIADB: &[(&str, &str)] = &[
    ("statements", "Questions"),
    ("connections", "Threads_connected"),
    ("in_service", "Threads_running"),
    ("lock_waits", "Innodb_row_lock_waits"),
    ("pages_read", "Innodb_buffer_pool_reads"),
];

fn of_mariadb(rows: &[Vec<Vec<u8>>]) -> Figures {
    let value = |wanted: &str| {
        let row = rows.iter().find(|row| row.first().is_some_and(|name| name == wanted.as_bytes()))?;
        std::str::from_utf8(row.get(1)?).ok()?.parse().ok()
    };
    let found = OF_MARIADB.iter().filter_map(|(name, variable)| Some(((*name).to_owned(), value(variable)?)));
    found.collect()
}

/// The processor time of a process and all that descend from it, in seconds.
pub(super) fn cpu_seconds(pid: u32) -> f64 {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    family(pid).into_iter().filter_map(ticks_of).sum::<u64>() as f64 / ticks
}

/// A process and all that descend from it.
pub(super) fn family(pid: u32) -> Vec<u32> {
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        next += 1;
        found.extend(process::children(parent));
    }
    found
}

/// Of a process that lives, and of its children that are gone (`proc(5)`, fields 14 to 17 of `stat`).
fn ticks_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    fields.get(11..15)?.iter().map(|field| field.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn haproxys_table_is_read_by_the_names_of_its_columns() {
        let table = "# pxname,svname,qcur,scur,req_tot,econ,eresp,wretr,act,\n\
                     front,FRONTEND,,3,40,,,,,\nservers,s1,0,1,,1,0,2,1,\nservers,BACKEND,2,1,,1,4,2,1,\n";
        let figures = of_haproxy(table);
        let figure = |name: &str| figures[name] as i64;
        assert_eq!([figure("connections"), figure("requests")], [3, 40]);
        assert_eq!([figure("waiting"), figure("failures"), figure("servers_up")], [2, 5, 1]);
    }

    #[test]
    fn the_texts_of_redis_and_nginx_are_read() {
        let redis = of_redis(
            "# Stats\r\nkeyspace_hits:7\r\nused_memory:1024\r\nused_memory_startup:900\r\nmem_clients_normal:50\r\ndb0:keys=3,expires=2,avg_ttl=0\r\n",
        );
        assert_eq!(redis["overhead_bytes"] as i64, 950);
        assert_eq!([redis["hits"], redis["keys"], redis["keys_with_ttl"]].map(|n| n as i64), [7, 3, 2]);
        let nginx = of_nginx(
            "HTTP/1.1 200 OK\r\n\r\nActive connections: 2 \nserver accepts handled requests\n 5 5 9 \nReading: 0",
        );
        assert_eq!([nginx["connections"], nginx["requests"]].map(|n| n as i64), [2, 9]);
    }

    #[test]
    fn varnishs_counters_are_told_apart_as_those_of_the_stacks_own_cache_are() {
        let counters = [
            ("client_req", 100),
            ("cache_hit", 40),
            ("cache_hit_grace", 5),
            ("cache_miss", 50),
            ("cache_hitmiss", 20),
            ("cache_hitpass", 3),
            ("s_pass", 10),
        ];
        let counters = counters.map(|(name, value)| format!("\"MAIN.{name}\": {{\"value\": {value}}}"));
        let json = format!("{{\"counters\": {{{}}}}}", counters.join(","));
        let figures = of_varnish(json.as_bytes()).expect("it is JSON");
        let figure = |name: &str| figures[name] as i64;
        assert_eq!(
            [figure("hits"), figure("grace_hits"), figure("misses"), figure("passes")],
            [35, 5, 30, 23]
        );
    }

    #[test]
    fn this_process_has_taken_processor_time_and_is_its_own_family() {
        let own = std::process::id();
        assert!(family(own).contains(&own));
        assert!(cpu_seconds(own) >= 0.0);
    }
}
