//! `LATENCY`: what took long.

use std::fmt::Write;

use super::{Call, Outcome};

pub(super) fn latency(call: &mut Call<'_>) -> Outcome {
    let arguments = call.arguments;
    if arguments.is(1, "LATEST") && arguments.len() == 2 {
        call.reply.array(call.server.latencies.len());
        for (name, latency) in &call.server.latencies {
            let (second, ms) = latency.samples.back().copied().unwrap_or_default();
            call.reply.array(4);
            call.reply.bulk(name.as_bytes());
            [second, ms, latency.longest_ms].iter().for_each(|number| call.reply.integer(*number as i64));
        }
    } else if arguments.is(1, "HISTORY") && arguments.len() == 3 {
        let named = |name: &&&str| name.as_bytes().eq_ignore_ascii_case(arguments.get(2));
        let found = call.server.latencies.keys().find(named).and_then(|name| call.server.latencies.get(name));
        let samples = found.map(|latency| &latency.samples);
        call.reply.array(samples.map_or(0, |samples| samples.len()));
        for (second, ms) in samples.into_iter().flatten() {
            call.reply.array(2);
            call.reply.integer(*second as i64);
            call.reply.integer(*ms as i64);
        }
    } else if arguments.is(1, "RESET") {
        let before = call.server.latencies.len();
        let is_meant = |name: &str| {
            arguments.len() == 2 || arguments.from(2).any(|a| a.eq_ignore_ascii_case(name.as_bytes()))
        };
        call.server.latencies.retain(|name, _| !is_meant(name));
        call.reply.integer((before - call.server.latencies.len()) as i64);
    } else if arguments.is(1, "DOCTOR") && arguments.len() == 2 {
        let text = doctor(call);
        call.reply.bulk(text.as_bytes());
    } else {
        return Err("ERR unknown subcommand or wrong number of arguments for 'LATENCY'");
    }
    Ok(())
}

/// What a human would want to know of it.
fn doctor(call: &Call<'_>) -> String {
    if call.server.settings.latency_ms == 0 {
        return "Nothing is watched: CONFIG SET latency-monitor-threshold says from how many milliseconds on.\n".to_owned();
    }
    let mut text = String::new();
    for (name, latency) in &call.server.latencies {
        let count = latency.samples.len();
        let sum: u64 = latency.samples.iter().map(|(_, ms)| ms).sum();
        let advice = match *name {
            "command" | "fast-command" => "SLOWLOG GET names the commands",
            "expire-cycle" => "many keys expire at once: spread their lifetimes",
            "eviction-cycle" => "much is evicted at once: see maxmemory and what is written",
            _ => "see what else the machine does",
        };
        writeln!(
            text,
            "{name}: {count} seconds with such events, {} ms in the mean, {} ms at most; {advice}.",
            sum / (count as u64).max(1),
            latency.longest_ms
        )
        .expect("writing to a string cannot fail");
    }
    if text.is_empty() {
        text.push_str("Nothing took long.\n");
    }
    text
}
