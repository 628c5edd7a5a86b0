//! `INFO`: the sections and names are Redis's.

use std::fmt::Write;

use super::connection::REDIS_VERSION;
use super::{Call, Outcome};
use crate::emulated::clock::process_cpu_seconds;
use crate::store::server::Server;

type Section = (&'static str, fn(&Server, &mut String));

const SECTIONS: [Section; 8] = [
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("CPU", processor),
    ("Keyspace", keyspace),
];

pub(super) fn info(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    let everything = arguments.len() == 1
        || ["all", "default", "everything"]
            .into_iter()
            .any(|w| arguments.from(1).any(|a| a.eq_ignore_ascii_case(w.as_bytes())));
    let mut text = String::new();
    for (name, describe) in SECTIONS {
        if everything || arguments.from(1).any(|wanted| wanted.eq_ignore_ascii_case(name.as_bytes())) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            line(&mut text, format_args!("# {name}"));
            describe(call.server, &mut text);
        }
    }
    call.reply.bulk(text.as_bytes());
    Ok(())
}

fn line(into: &mut String, text: std::fmt::Arguments<'_>) {
    write!(into, "{text}\r\n").expect("writing to a string cannot fail");
}

fn server(server: &Server, text: &mut String) {
    line(text, format_args!("redis_version:{REDIS_VERSION}"));
    line(text, format_args!("redis_mode:standalone"));
    line(text, format_args!("process_id:{}", std::process::id()));
    line(text, format_args!("tcp_port:{}", server.port));
    line(text, format_args!("uptime_in_seconds:{}", server.uptime_seconds()));
    line(text, format_args!("hz:10"));
    line(text, format_args!("lru_clock:{}", server.data.clock.lru_seconds()));
}

fn clients(server: &Server, text: &mut String) {
    let listening = server.clients.iter().filter(|(_, client)| client.listens()).count();
    line(text, format_args!("connected_clients:{}", server.clients.len()));
    line(text, format_args!("maxclients:{}", server.settings.max_clients));
    line(text, format_args!("pubsub_clients:{listening}"));
}

fn memory(server: &Server, text: &mut String) {
    let data = &server.data;
    let buffers: u64 = server.clients.iter().map(|(_, client)| client.buffers()).sum();
    line(text, format_args!("used_memory:{}", data.memory()));
    line(text, format_args!("used_memory_dataset:{}", data.memory() - data.tables_bytes()));
    line(text, format_args!("used_memory_rss:{}", resident_bytes()));
    line(text, format_args!("maxmemory:{}", data.limits.max_memory.unwrap_or(0)));
    line(text, format_args!("maxmemory_policy:{}", data.limits.eviction.name()));
    line(text, format_args!("mem_clients_normal:{buffers}"));
}

/// What the process really takes, by the kernel's count: what `used_memory` counts is what Redis would take.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: u64 = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0);
    pages * rustix::param::page_size() as u64
}

fn persistence(server: &Server, text: &mut String) {
    line(text, format_args!("loading:0"));
    line(text, format_args!("rdb_changes_since_last_save:{}", server.data.changes()));
}

fn stats(server: &Server, text: &mut String) {
    let (counts, totals) = (server.data.counts(), &server.totals);
    line(text, format_args!("total_connections_received:{}", totals.connections));
    line(text, format_args!("total_commands_processed:{}", totals.commands));
    line(text, format_args!("total_net_input_bytes:{}", totals.bytes_in));
    line(text, format_args!("total_net_output_bytes:{}", totals.bytes_out));
    line(text, format_args!("rejected_connections:{}", totals.rejected));
    line(text, format_args!("expired_keys:{}", counts.expired));
    line(text, format_args!("evicted_keys:{}", counts.evicted));
    line(text, format_args!("evicted_clients:{}", totals.closed_for_buffers));
    line(text, format_args!("keyspace_hits:{}", counts.hits));
    line(text, format_args!("keyspace_misses:{}", counts.misses));
    line(text, format_args!("pubsub_channels:{}", server.channels.len()));
    line(text, format_args!("pubsub_patterns:{}", server.patterns.len()));
}

fn replication(_: &Server, text: &mut String) {
    line(text, format_args!("role:master"));
    line(text, format_args!("connected_slaves:0"));
}

fn processor(_: &Server, text: &mut String) {
    line(text, format_args!("used_cpu_user:{:.6}", process_cpu_seconds()));
}

fn keyspace(server: &Server, text: &mut String) {
    let data = &server.data;
    if data.len() > 0 {
        let (keys, expires, ttl) = (data.len(), data.volatile_len(), data.mean_remaining_ms());
        line(text, format_args!("db0:keys={keys},expires={expires},avg_ttl={ttl}"));
    }
}
