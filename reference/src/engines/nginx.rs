//! nginx in the place of a load-balancer or an HTTP cache: `nginx.conf`, by the documentation of `ngx_http_upstream_module` and
//! `ngx_http_proxy_module`.

use std::fmt::Write as _;

use scenarios::scenario::{Balance, ComponentKind, HttpCache, LoadBalancer};

use super::plan::Plan;
use super::site::{Address, Site, millis};

/// The socket on which it tells its figures, in its directory.
pub(super) const SOCKET: &str = "status.sock";

/// Its plan; none for another kind of component.
pub(super) fn plan(site: &Site<'_>) -> Option<Plan> {
    let text = match &site.description().kind {
        ComponentKind::LoadBalancer(balancer) => {
            configuration(site, &upstream(balancer, site.instances(balancer.to)), "", &balancing(balancer))
        }
        ComponentKind::HttpCache(cache) => {
            let all = site.instances(cache.to);
            let own = site.instance as usize;
            let servers = if cache.same_host { &all[own..=own] } else { all };
            let upstream: String =
                servers.iter().map(|a| format!("        server {a} max_fails=0;\n")).collect();
            let store = format!(
                "    proxy_cache_path {} levels=1:2 keys_zone=objects:32m max_size={} inactive=7d \
                 use_temp_path=off;\n",
                site.path("objects"),
                cache.memory.get()
            );
            configuration(site, &upstream, &store, &caching(cache))
        }
        _ => return None,
    };
    let file = "nginx.conf";
    let command = ["nginx", "-p", &site.path(""), "-c", &site.path(file), "-e", "stderr"];
    Some(Plan::of_file(file, text, &command))
}

fn configuration(site: &Site<'_>, upstream: &str, store: &str, location: &str) -> String {
    let announced = if site.is_announced() { " proxy_protocol" } else { "" };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("    {name}_temp_path {};\n", site.path(&format!("{name}_temp"))))
        .collect();
    format!(
        r#"# One process, so that whoever ends it ends all of it; elsewhere leave the first two lines out.
daemon off;
master_process off;
pid {pid};
events {{
    worker_connections 16384;
}}
http {{
    access_log off;
{temporary}{store}    upstream servers {{
{upstream}        keepalive 256;
    }}
    server {{
        listen {listen}{announced};
        location / {{
            proxy_pass http://servers;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
{location}        }}
    }}
    server {{
        listen unix:{socket};
        location / {{
            stub_status;
        }}
    }}
}}
"#,
        pid = site.path("nginx.pid"),
        listen = site.listen,
        socket = site.path(SOCKET),
    )
}

fn upstream(balancer: &LoadBalancer, servers: &[Address]) -> String {
    let consistent = if balancer.consistent { " consistent" } else { "" };
    let mut text = match balancer.balance {
        Balance::RoundRobin => String::new(),
        Balance::LeastConnections => "        least_conn;\n".to_owned(),
        Balance::Random => "        random two least_conn;\n".to_owned(),
        Balance::Source => format!("        hash $remote_addr{consistent};\n"),
        Balance::Uri => format!("        hash $uri{consistent};\n"),
        // It refuses a word that it does not know.
        other => format!("        {};\n", other.name()),
    };
    for (number, address) in servers.iter().enumerate() {
        // No server is taken out for what real requests meet: the scenario's is not either.
        write!(text, "        server {address} max_fails=0").expect("writing to a string cannot fail");
        match balancer.weights.get(number) {
            Some(0) => text += " down",
            Some(weight) => write!(text, " weight={weight}").expect("writing to a string cannot fail"),
            None => {}
        }
        if let Some(most) = balancer.server_max_connections {
            write!(text, " max_conns={most}").expect("writing to a string cannot fail");
        }
        text += ";\n";
    }
    text
}

fn balancing(balancer: &LoadBalancer) -> String {
    let idle = balancer.client_timeout.map_or("1d".to_owned(), |time| format!("{}ms", millis(time)));
    let lines = [
        format!("proxy_connect_timeout {}ms;", millis(balancer.connect_timeout)),
        format!("proxy_read_timeout {}ms;", millis(balancer.server_timeout)),
        "proxy_next_upstream error timeout;".to_owned(),
        format!("proxy_next_upstream_tries {};", balancer.retries + 1),
        format!("keepalive_timeout {idle};"),
        "keepalive_requests 1000000000;".to_owned(),
    ];
    lines.iter().map(|line| format!("            {line}\n")).collect()
}

fn caching(cache: &HttpCache) -> String {
    let lines = [
        "proxy_cache objects;".to_owned(),
        "proxy_cache_key $request_uri;".to_owned(),
        format!("proxy_cache_lock {};", if cache.coalesce { "on" } else { "off" }),
        "proxy_cache_lock_timeout 60s;".to_owned(),
        "add_header X-Cache $upstream_cache_status;".to_owned(),
        format!("proxy_connect_timeout {}ms;", millis(cache.connect_timeout)),
        format!("proxy_read_timeout {}ms;", millis(cache.first_byte_timeout)),
        "keepalive_requests 1000000000;".to_owned(),
    ];
    lines.iter().map(|line| format!("            {line}\n")).collect()
}
