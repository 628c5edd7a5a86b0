//! Asks each back end now and then whether it is well, as Varnish's probes do.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::BackEndProbe;

use super::Cache;
use crate::emulated::clock::now_nanos;
use crate::http::Connection;
use crate::http::head::{NO_FIELDS, parse_response};

/// Probes a back end for ever; the next probe begins an interval after the last one's end.
pub(super) async fn watch(cache: Rc<Cache>, number: usize, rules: BackEndProbe) {
    // The phase is random, but the same in every run of the seed.
    let purpose = Purpose::named("cache-probe-phase").of(u64::from(cache.context.instance));
    let phase = Stream::new(cache.context.scenario.run.seed, purpose, number as u64).unit();
    let timer = &cache.context.timer;
    timer.sleep_nanos((phase * rules.interval.as_nanos() as f64) as u64).await;
    loop {
        let limit = now_nanos().saturating_add(rules.timeout.as_nanos());
        let good = tokio::select! {
            good = ask(cache.back_ends.address(number), &rules.http) => good.unwrap_or(false),
            () = timer.sleep_until(limit) => false,
        };
        cache.back_ends.learn(number, good);
        timer.sleep_nanos(rules.interval.as_nanos()).await;
    }
}

async fn ask(address: SocketAddr, path: &str) -> io::Result<bool> {
    let mut connection = Connection::connect(address, None).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await?;
    loop {
        match parse_response(connection.input(), &mut NO_FIELDS.clone(), false) {
            Ok(Some(head)) => return Ok(head.status == 200),
            Ok(None) => connection.more().await?,
            Err(bad) => return Err(io::Error::other(bad)),
        }
    }
}
