//! Varnish in the place of an HTTP cache: a VCL and the arguments of `varnishd`. What they mean stands in `vcl(7)`, `varnishd(1)`
//! and `vmod_std(3)` of version 7.1.
//!
//! Purges by tags are bans on the field in which services name them: the module that keeps an index of tags (xkey) is not part of
//! Varnish. A ban is tested when an object is next asked for, so what was banned still takes room for a while.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use scenarios::scenario::{BackEndProbe, ComponentKind, HttpCache};
use scenarios::units::SimTime;

use super::plan::Plan;
use super::site::{Address, Site, seconds};

/// Its plan; none for another kind of component.
pub(super) fn plan(site: &Site<'_>) -> Option<Plan> {
    let ComponentKind::HttpCache(cache) = &site.description().kind else { return None };
    let file = "default.vcl";
    let announced = if site.is_announced() { ",PROXY" } else { "" };
    let mut command = vec![
        "varnishd".to_owned(),
        "-F".to_owned(),
        // Without it a server that root starts wants to be another user.
        "-j".to_owned(),
        "none".to_owned(),
        "-n".to_owned(),
        site.path("work"),
        "-f".to_owned(),
        site.path(file),
        "-a".to_owned(),
        format!("{}{announced}", site.listen),
        "-s".to_owned(),
        format!("malloc,{}", cache.memory.get()),
    ];
    let mut parameters = vec![
        // What does not say for how long it is good is not kept: health checks come this way too.
        ("default_ttl", "0".to_owned()),
        ("default_grace", format!("{:.3}", cache.grace.as_secs_f64())),
        ("default_keep", format!("{:.3}", cache.keep.as_secs_f64())),
        // Pages here are JSON.
        ("feature", "+esi_disable_xml_check".to_owned()),
    ];
    if let Some(threads) = &cache.threads {
        parameters.push(("thread_pools", threads.pools.to_string()));
        // The fewest are never more than the most, also while these are set one after the other.
        parameters.push(("thread_pool_max", threads.max.to_string()));
        parameters.push(("thread_pool_min", threads.min.to_string()));
        parameters.push(("thread_queue_limit", threads.queue.to_string()));
    }
    for (name, value) in parameters {
        command.extend(["-p".to_owned(), format!("{name}={value}")]);
    }
    let files = vec![(file, configuration(site, cache))];
    Some(Plan { files, before: None, beside: None, command, environment: Vec::new() })
}

fn configuration(site: &Site<'_>, cache: &HttpCache) -> String {
    let all = site.instances(cache.to);
    let own = site.instance as usize;
    let asked = if cache.same_host { &all[own..=own] } else { all };
    let mut vcl = "vcl 4.1;\n\nimport directors;\nimport std;\n".to_owned();
    for (number, address) in asked.iter().enumerate() {
        vcl += &backend(cache, number + 1, address);
    }
    vcl += "\nsub vcl_init {\n    new servers = directors.round_robin();\n";
    for number in 1..=asked.len() {
        writeln!(vcl, "    servers.add_backend(s{number});").expect("writing to a string cannot fail");
    }
    vcl += "}\n";
    vcl += &receive(site, cache);
    vcl += &respond(cache);
    // The tags are a matter between services and caches.
    vcl += "\nsub vcl_deliver {\n    unset resp.http.xkey;\n}\n";
    vcl
}

fn backend(cache: &HttpCache, number: usize, address: &Address) -> String {
    let mut text = format!(
        "\nbackend s{number} {{\n    .host = \"{}\";\n    .port = \"{}\";\n    .connect_timeout = {};\n    \
         .first_byte_timeout = {};\n",
        address.host,
        address.port,
        seconds(cache.connect_timeout),
        seconds(cache.first_byte_timeout)
    );
    if let Some(probe) = &cache.probe {
        text += &asking(probe);
    }
    text + "}\n"
}

fn asking(probe: &BackEndProbe) -> String {
    format!(
        "    .probe = {{\n        .url = \"{}\";\n        .interval = {};\n        .timeout = {};\n        \
         .window = {};\n        .threshold = {};\n        .initial = {};\n    }}\n",
        probe.http,
        seconds(probe.interval),
        seconds(probe.timeout),
        probe.window,
        probe.threshold,
        probe.initial
    )
}

/// What is done with a request that comes.
fn receive(site: &Site<'_>, cache: &HttpCache) -> String {
    let mut text = "\nsub vcl_recv {\n    set req.backend_hint = servers.backend();\n".to_owned();
    text += PURGES;
    // A part is asked for in its own right, not as what the page was.
    text += "    if (req.esi_level > 0) {\n";
    for name in ["class", "request", "attempt", "steps"] {
        writeln!(text, "        unset req.http.x-rehearsal-{name};")
            .expect("writing to a string cannot fail");
    }
    text += "    }\n";
    if cache.normalise {
        text += "    set req.url = std.querysort(req.url);\n";
        let rules = site.scenario.requests.iter().flat_map(|class| &class.cache).flat_map(|rule| &rule.vary);
        let numbers = rules.filter(|vary| vary.languages.is_empty());
        let values: BTreeMap<String, u32> = numbers.map(|vary| (vary.header(), vary.values)).collect();
        for (header, count) in values {
            write!(
                text,
                "    if (req.http.{header} ~ \"^[0-9]+$\") {{\n        \
                 set req.http.{header} = std.integer(req.http.{header}, 0) % {count};\n    }}\n"
            )
            .expect("writing to a string cannot fail");
        }
    }
    if !cache.coalesce {
        text += "    set req.hash_ignore_busy = true;\n";
    }
    text += "    if (req.method != \"GET\" && req.method != \"HEAD\") {\n        return (pass);\n    }\n";
    text + "    return (hash);\n}\n"
}

/// Objects are thrown out by their tags, which stand in a field of theirs with blanks between them, or by their address. What means
/// something in an expression stands in brackets there, where it means itself.
const PURGES: &str = r#"    if (req.method == "PURGE") {
        if (req.http.xkey-purge) {
            set req.http.xkey-purge = regsuball(req.http.xkey-purge, "([][.*+?(){}|$])", "[\1]");
            ban("obj.http.xkey ~ (^|\s)(" + regsuball(req.http.xkey-purge, "\s+", "|") + ")(\s|$)");
            return (synth(200, "Purged"));
        }
        return (purge);
    }
"#;

/// What is done with an answer of a back end. A 5xx is a fetch that failed, as it is to the stack's own cache: what was there stays, and
/// those who waited get it too, for a second. Varnish would remember it as what is not to be kept, and fetch it for each of them.
/// Of what is known not to be kept nobody waits for another's fetch, and its connection to the back end stays open.
fn respond(cache: &HttpCache) -> String {
    let mark = match (cache.hit_for_pass, cache.hit_for_miss == SimTime::ZERO) {
        (Some(span), _) => format!("return (pass({}));", seconds(span)),
        (None, true) => {
            "set beresp.ttl = 0s;\n        set beresp.grace = 0s;\n        set beresp.keep = 0s;\n        \
             return (deliver);"
                .to_owned()
        }
        (None, false) => format!(
            "set beresp.ttl = {};\n        set beresp.uncacheable = true;\n        return (deliver);",
            seconds(cache.hit_for_miss)
        ),
    };
    format!(
        r#"
sub vcl_backend_response {{
    if (beresp.http.surrogate-control ~ "ESI/1.0") {{
        unset beresp.http.surrogate-control;
        set beresp.do_esi = true;
    }}
    if (beresp.http.cache-control ~ "x-keep=") {{
        set beresp.keep = std.duration(regsub(beresp.http.cache-control, "^.*x-keep=(\d+).*$", "\1s"), 0s);
    }}
    if (bereq.uncacheable) {{
        return (deliver);
    }}
    if (beresp.status >= 500 && !bereq.is_hitmiss) {{
        if (bereq.is_bgfetch) {{
            return (abandon);
        }}
        return (error(beresp.status, beresp.reason));
    }}
    if (beresp.ttl <= 0s || beresp.http.set-cookie || beresp.http.cache-control ~ "(?i)no-cache|no-store|private" ||
        beresp.http.vary == "*") {{
        {mark}
    }}
    return (deliver);
}}
"#
    )
}
