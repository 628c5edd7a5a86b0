//! What is in the cache before the run, as the scenario says: the answers for each class's most popular keys in all variants, the most
//! popular put in last, each fresh for as long as is drawn for it. They are what the services would have answered, so that nobody has
//! to be asked for them.

use std::collections::BTreeSet;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use scenarios::Scenario;
use scenarios::scenario::{CacheRule, ClassId, HttpCache, KeyspaceId, PathPart};

use super::Cache;
use super::asked::Asked;
use super::freshness;
use super::object::Object;
use super::store::{Counts, Kept};
use super::vary::Vary;
use crate::http::head::{NO_FIELDS, parse_response};
use crate::service::Ready;
use crate::store::of_ranks;

/// An object, before there is one.
#[derive(Clone, Copy, Debug)]
struct Wanted<'a> {
    class: ClassId,
    rule: &'a CacheRule,
    /// Whom clients ask for it.
    host: &'a str,
    key: u64,
    /// Its number among the variants of its path, and that among all objects of the class.
    variant: u64,
    number: u64,
}

/// Fills a cache that starts for the first time.
pub(super) fn fill(cache: &Cache, settings: &HttpCache) {
    let context = &cache.context;
    if !context.first_start {
        return;
    }
    let scenario = &context.scenario;
    let ready = Ready::new(scenario);
    let hosts = hosts(scenario);
    for &(class, keys) in &settings.prefill {
        let Some(rule) = &scenario.class(class).cache else { continue };
        let variants = variants(rule, settings.normalise);
        let all: Box<dyn Iterator<Item = u64>> = match keyspace(scenario, class) {
            Some(keyspace) => Box::new(of_ranks(&context.draws, keyspace, keys)),
            None => Box::new(0..keys),
        };
        for key in all {
            for variant in 0..variants {
                let number = key.wrapping_mul(variants).wrapping_add(variant);
                for host in &hosts {
                    put(cache, &ready, &Wanted { class, rule, host, key, variant, number }, settings);
                }
            }
        }
    }
    // What the filling counted is no part of the run.
    cache.store.borrow_mut().counts = Counts::default();
}

/// Whom clients ask: they name the component that they meet first.
fn hosts(scenario: &Scenario) -> BTreeSet<&str> {
    scenario.traffic.iter().map(|traffic| scenario.component(traffic.to).name.as_str()).collect()
}

/// The keyspace in a class's path.
fn keyspace(scenario: &Scenario, class: ClassId) -> Option<KeyspaceId> {
    scenario.class(class).path.parts.iter().find_map(|part| match part {
        PathPart::Key(keyspace) => Some(*keyspace),
        PathPart::Text(_) | PathPart::Kept(_) => None,
    })
}

/// How many objects there are of a path.
fn variants(rule: &CacheRule, normalise: bool) -> u64 {
    let values = |vary: &scenarios::scenario::Vary| if normalise { vary.values } else { vary.raw };
    rule.vary.iter().map(|vary| u64::from(values(vary))).fold(1, u64::saturating_mul)
}

/// Makes the answer and puts it in, where the cache would have kept it.
fn put(cache: &Cache, ready: &Ready, wanted: &Wanted<'_>, settings: &HttpCache) -> Option<()> {
    let context = &cache.context;
    let head = request(&context.scenario, wanted, settings);
    let asked = Asked::new(&head, IpAddr::V4(Ipv4Addr::LOCALHOST), settings.normalise);
    let mut fetch = Vec::new();
    asked.write_fetch(None, &cache.normaliser, &mut fetch);
    let mut answer = Vec::new();
    ready.write(context, wanted.class.index(), &fetch, &mut answer)?;
    let mut fields = NO_FIELDS;
    let head = parse_response(&answer, &mut fields, false).ok().flatten()?;
    let (body, now) = (&answer[head.len..], cache.now());
    if body.len() > cache.object_limit {
        return None;
    }
    let mut life = freshness::judge(head.status, head.headers, false, cache.defaults, now)?;
    let left = context.draws.prefilled_object(wanted.class, context.instance, wanted.number, wanted.rule.ttl);
    life.initial_age = life.ttl.saturating_sub(left.as_duration().max(Duration::from_nanos(1)));
    let Vary::By(names) = Vary::read(head.headers) else { return None };
    let object = Object::new(head.status, head.reason, head.headers, body.into(), life, now);
    cache.put(&asked, &names, Kept::Object(Rc::new(object)), life.stays());
    Some(())
}

/// The head of a request for an object, as clients send it.
fn request(scenario: &Scenario, wanted: &Wanted<'_>, settings: &HttpCache) -> Vec<u8> {
    let mut out = b"GET ".to_vec();
    let mut line = |text: std::fmt::Arguments<'_>| {
        out.write_fmt(text).expect("writing to a vector cannot fail");
    };
    for part in &scenario.class(wanted.class).path.parts {
        match part {
            PathPart::Text(text) => line(format_args!("{text}")),
            PathPart::Key(_) => line(format_args!("{}", wanted.key)),
            PathPart::Kept(_) => unreachable!("a class with kept values in its path is never prefilled"),
        }
    }
    line(format_args!(" HTTP/1.1\r\nhost: {}\r\n", wanted.host));
    let mut rest = wanted.variant;
    for vary in &wanted.rule.vary {
        let count = u64::from(if settings.normalise { vary.values } else { vary.raw });
        line(format_args!("{}: {}\r\n", vary.header(), vary.value(rest % count)));
        rest /= count;
    }
    line(format_args!("\r\n"));
    out
}
