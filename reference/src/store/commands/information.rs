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
    line(text, format_args!("hz:{}", server.settings.hz));
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
    let (saves, loading) = (&server.saves, &server.loading);
    let changes = server.data.changes().saturating_sub(saves.last_changes);
    line(text, format_args!("loading:{}", u8::from(loading.is_on)));
    if loading.is_on {
        line(text, format_args!("loading_total_bytes:{}", loading.total_bytes));
        line(text, format_args!("loading_loaded_bytes:{}", loading.loaded_bytes));
    }
    line(text, format_args!("rdb_changes_since_last_save:{changes}"));
    line(text, format_args!("rdb_bgsave_in_progress:{}", u8::from(saves.is_under_way())));
    line(text, format_args!("rdb_last_save_time:{}", saves.last_unix_s));
    line(text, format_args!("rdb_last_bgsave_status:{}", if saves.failed { "err" } else { "ok" }));
    line(text, format_args!("rdb_last_bgsave_time_sec:{}", saves.last_took_s.map_or(-1, |s| s as i64)));
    line(text, format_args!("rdb_saves:{}", saves.count));
    line(text, format_args!("rdb_last_load_keys_expired:{}", loading.keys_expired));
    line(text, format_args!("rdb_last_load_milliseconds:{}", loading.took_nanos / 1_000_000));
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
    // As Redis names it from 7.4 on; 7.0 does not count them.
    line(text, format_args!("client_output_buffer_limit_disconnections:{}", totals.closed_at_output_limit));
    line(text, format_args!("keyspace_hits:{}", counts.hits));
    line(text, format_args!("keyspace_misses:{}", counts.misses));
    line(text, format_args!("sync_full:{}", server.replication.full));
    line(text, format_args!("sync_partial_ok:{}", server.replication.partial));
    line(text, format_args!("pubsub_channels:{}", server.channels.len()));
    line(text, format_args!("pubsub_patterns:{}", server.patterns.len()));
}

fn replication(server: &Server, text: &mut String) {
    let replication = &server.replication;
    match &replication.following {
        Some(original) => {
            line(text, format_args!("role:slave"));
            line(text, format_args!("master_host:{}", original.address.ip()));
            line(text, format_args!("master_port:{}", original.address.port()));
            let status = if original.is_linked { "up" } else { "down" };
            line(text, format_args!("master_link_status:{status}"));
            line(text, format_args!("slave_repl_offset:{}", replication.offset));
            line(text, format_args!("slave_read_only:1"));
        }
        None => line(text, format_args!("role:master")),
    }
    line(text, format_args!("connected_slaves:{}", replication.copies.len()));
    for (number, index) in replication.copies.iter().enumerate() {
        let Some(client) = server.clients.get(*index) else { continue };
        let Some(copy) = &client.copy else { continue };
        let ip = client.address.map(|address| address.ip().to_string()).unwrap_or_default();
        let state = if copy.is_behind() { "send_bulk" } else { "online" };
        let lag = server.data.clock.now_ms().saturating_sub(copy.said_ms) / 1000;
        let (port, has) = (copy.port, copy.has);
        line(text, format_args!("slave{number}:ip={ip},port={port},state={state},offset={has},lag={lag}"));
    }
    line(text, format_args!("master_replid:{}", replication.id));
    let (former, end) = match &replication.former {
        Some((id, end)) => (id.clone(), *end as i64 + 1),
        None => ("0".repeat(40), -1),
    };
    line(text, format_args!("master_replid2:{former}"));
    line(text, format_args!("master_repl_offset:{}", replication.offset));
    line(text, format_args!("second_repl_offset:{end}"));
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
