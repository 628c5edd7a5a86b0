//! The admin API: HTTP on the loopback interface. Figures for Prometheus are open, everything else is for whoever shows the token
//! (`Authorization: Bearer …`). Who is idle for 5 s is sent away.
//!
//! | request | effect |
//! |---|---|
//! | `GET /metrics` | the figures of all instances, at most a second old |
//! | `GET /state` | who is there, what ails it, which steps are switched off |
//! | `POST /faults/N/begin`, `POST /faults/N/end` | the scenario's fault number N, from one |
//! | `POST /instances/NAME/trouble?failing=true&error_share=0.1&times=3&disk_full=true` | ails an instance (`shop[1]`) by hand; without words, no more |
//! | `POST /switches/PLACE?on=false` | has services leave a step out (`requests.page.steps[2]`, from one), or take it again |

use std::fmt::Write as _;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scenarios::scenario::ComponentKind;
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::timeout;

use super::Supervisor;
use super::instance::Instance;
use crate::http::head::{NO_FIELDS, field, parse_request};
use crate::http::{Connection, Framing, Next, Requests, reason, refuse};
use crate::message::{self, Order};
use crate::trouble::Trouble;

/// A request, as far as it matters here.
struct Asked {
    method: String,
    target: String,
    has_token: bool,
    keep_alive: bool,
    has_body: bool,
    len: usize,
}

/// What is answered: a status, and a text.
type Answer = (u16, String);

/// Connections at once. Whoever comes then waits until one of them ends.
const CONNECTIONS_LIMIT: usize = 32;
/// A client that says nothing for so long is sent away, so that it keeps nobody else out.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Figures of this age are told again: each time they are asked for costs an order to every process.
const SCRAPE_AGE: Duration = Duration::from_secs(1);
/// A client that takes its answer more slowly is sent away.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// The figures that were told last, and since when they are known. Who asks while they are asked for waits for the same ones.
#[derive(Debug, Default)]
struct Scraped(Mutex<Option<(Instant, String)>>);

impl Scraped {
    /// The figures as they are at this moment, or were not long before. What asking takes does not age them: who has waited
    /// for it is told what came of it.
    async fn told(&self, now: impl Fn() -> Instant, scrape: impl Future<Output = String>) -> String {
        let mut last = self.0.lock().await;
        if let Some((since, text)) = &*last
            && now().saturating_duration_since(*since) < SCRAPE_AGE
        {
            return text.clone();
        }
        let text = scrape.await;
        *last = Some((now(), text.clone()));
        text
    }
}

/// Serves clients for ever.
pub(super) async fn listen(supervisor: Rc<Supervisor>, listener: TcpListener, token: String) {
    let token: Rc<str> = format!("Bearer {token}").into();
    let scraped = Rc::new(Scraped::default());
    let room = Arc::new(Semaphore::new(CONNECTIONS_LIMIT));
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                let (supervisor, token) = (Rc::clone(&supervisor), Rc::clone(&token));
                let scraped = Rc::clone(&scraped);
                tokio::task::spawn_local(async move {
                    // A broken connection concerns its client alone.
                    let _ = serve(&supervisor, stream, &token, &scraped).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
}

async fn serve(
    supervisor: &Rc<Supervisor>,
    stream: TcpStream,
    token: &str,
    scraped: &Scraped,
) -> io::Result<()> {
    let mut connection = Connection::new(stream);
    let mut requests = Requests::new(Some(IDLE_TIMEOUT));
    let mut out = Vec::new();
    loop {
        let next = requests.next(&mut connection, |input| {
            let mut fields = NO_FIELDS;
            let Some(head) = parse_request(input, &mut fields)? else { return Ok(None) };
            Ok(Some(Asked {
                method: head.method.to_owned(),
                target: head.target.to_owned(),
                has_token: field(head.headers, "authorization") == Some(token.as_bytes()),
                keep_alive: head.keep_alive,
                has_body: !matches!(head.framing, Framing::Length(0)),
                len: head.len,
            }))
        });
        let asked = match next.await? {
            Next::Head(asked) if !asked.has_body => asked,
            Next::Head(_) => return refuse(connection, 400, false, &mut out).await,
            Next::End => return Ok(()),
            Next::Refused(status) => return refuse(connection, status, false, &mut out).await,
        };
        connection.consume(asked.len);
        let (status, text) = supervisor.administer(&asked, scraped).await;
        let kind = if text.starts_with('{') { "application/json" } else { "text/plain; version=0.0.4" };
        let head = format!(
            "HTTP/1.1 {status} {}\r\ncontent-type: {kind}\r\ncontent-length: {}\r\n\r\n",
            reason(status),
            text.len()
        );
        timeout(WRITE_TIMEOUT, connection.write_both(head.as_bytes(), text.as_bytes())).await??;
        if !asked.keep_alive {
            return Ok(());
        }
    }
}

impl Supervisor {
    async fn administer(self: &Rc<Self>, asked: &Asked, scraped: &Scraped) -> Answer {
        let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let done = |result: Result<(), String>| match result {
            Ok(()) => (200, json!({ "done": true }).to_string()),
            Err(message) => (400, json!({ "error": message }).to_string()),
        };
        match (asked.method.as_str(), parts.as_slice()) {
            ("GET", ["metrics"]) => (200, scraped.told(Instant::now, self.metrics()).await),
            _ if !asked.has_token => {
                (401, json!({ "error": "show the token: Authorization: Bearer …" }).to_string())
            }
            ("GET", ["state"]) => (200, self.told_state()),
            ("POST", ["faults", number, verb @ ("begin" | "end")]) => {
                match number.parse::<usize>().ok().and_then(|n| n.checked_sub(1)) {
                    Some(fault) if *verb == "begin" => done(self.begin_fault(fault).await),
                    Some(fault) => done(self.end_fault(fault).await),
                    None => done(Err(format!("{number} is no number of a fault, counted from one"))),
                }
            }
            ("POST", ["instances", name, "trouble"]) => done(self.impose(&plain(name), query).await),
            ("POST", ["switches", place]) => done(self.switch(&plain(place), query).await),
            _ => (404, json!({ "error": "there is no such thing" }).to_string()),
        }
    }

    /// Figures in Prometheus' text format.
    async fn metrics(&self) -> String {
        let mut text = String::new();
        let all = self.figures().await;
        let components = message::names(&self.scenario);
        let mut names: Vec<&String> = all.iter().flat_map(|one| one.figures.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            // All of a name stand together, as the format asks for.
            for one in &all {
                let Some(value) = one.figures.get(name) else { continue };
                let component = &components[one.component];
                let labels = format!("component=\"{component}\",instance=\"{}\"", one.instance + 1);
                writeln!(text, "rehearsal_{name}{{{labels}}} {value}")
                    .expect("writing to a string cannot fail");
            }
        }
        text
    }

    fn told_state(&self) -> String {
        let instances: Vec<_> = self
            .instances
            .iter()
            .map(|instance| {
                let faults: Vec<&str> =
                    instance.faults.borrow().iter().map(|f| self.scenario.faults[*f].name.as_str()).collect();
                json!({
                    "name": instance.name(),
                    "address": self.place(instance).address.to_string(),
                    "process": instance.child.pid(),
                    "faults": faults,
                    "imposed": instance.imposed.get(),
                })
            })
            .collect();
        let off: Vec<&str> = self
            .scenario
            .requests
            .iter()
            .enumerate()
            .flat_map(|(class, request)| request.all_steps().map(move |step| (class, step)))
            .filter(|(class, step)| self.switched_off.borrow().contains(&(*class, step.number)))
            .map(|(_, step)| step.place.as_str())
            .collect();
        json!({ "instances": instances, "switched_off": off }).to_string()
    }

    /// Ails an instance by what a query says.
    async fn impose(&self, name: &str, query: &str) -> Result<(), String> {
        let mut trouble = Trouble::default();
        for (word, value) in pairs(query) {
            let number = || {
                let number = value.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
                number.ok_or_else(|| format!("{word}: expected a number, found {value}"))
            };
            let truth = || {
                value.parse::<bool>().map_err(|_| format!("{word}: expected true or false, found {value}"))
            };
            match word {
                "failing" => trouble.failing = truth()?,
                "error_share" => trouble.error_share = number()?.min(1.0),
                "times" => trouble.times = number()?,
                "disk_full" => trouble.disk_full = truth()?,
                other => return Err(format!("{other}: expected failing, error_share, times or disk_full")),
            }
        }
        let instance = self.instances.iter().find(|instance| instance.name() == name);
        let instance = instance.ok_or_else(|| format!("there is no instance {name}"))?;
        if let Some(server) = self.scenario.component(instance.component).server() {
            return Err(format!("{name} is a real {}, which cannot be made to ail", server.name()));
        }
        instance.imposed.set(trouble);
        self.apply(instance).await
    }

    /// Has services leave a step out, or take it again.
    async fn switch(&self, place: &str, query: &str) -> Result<(), String> {
        let on = match pairs(query).next() {
            Some(("on", "true")) => true,
            Some(("on", "false")) => false,
            _ => return Err("expected ?on=true or ?on=false".to_owned()),
        };
        let mut steps = self.scenario.requests.iter().enumerate().flat_map(|(class, request)| {
            request.all_steps().filter(|step| step.place == place).map(move |step| (class, step.number))
        });
        let known = || self.scenario.requests.iter().flat_map(|request| request.all_steps()).next();
        let example = || known().map_or("", |step| step.place.as_str());
        let (class, step) =
            steps.next().ok_or_else(|| format!("there is no step {place}; the first is {}", example()))?;
        if on {
            self.switched_off.borrow_mut().remove(&(class, step));
        } else {
            self.switched_off.borrow_mut().insert((class, step));
        }
        let _one_at_a_time = self.applying.lock().await;
        let mut problems = Vec::new();
        for instance in &self.instances {
            // One that is silent keeps no other from being told.
            problems.extend(self.tell_switches(instance).await.err());
        }
        if problems.is_empty() { Ok(()) } else { Err(problems.join("; ")) }
    }

    /// Says to a service which steps it leaves out: to its process, as soon as that can be told, and to the next one. For whoever
    /// holds the lock.
    pub(super) async fn tell_switches(&self, instance: &Instance) -> Result<(), String> {
        if !matches!(self.scenario.component(instance.component).kind, ComponentKind::Service(_)) {
            return Ok(());
        }
        let wanted = self.switched_off.borrow().clone();
        instance.set_switched_off(wanted.iter().copied().collect());
        if !instance.child.is_alive() || instance.state.get().is_silent() {
            return Ok(());
        }
        let known = instance.left_out.borrow().clone();
        for &(class, step) in known.symmetric_difference(&wanted) {
            let on = !wanted.contains(&(class, step));
            Self::tell(instance, Order::Switch { class, step, on }).await?;
        }
        *instance.left_out.borrow_mut() = wanted;
        Ok(())
    }
}

/// The words of a query, as far as they need no decoding.
fn pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|pair| pair.split_once('='))
}

/// A part of a path with its brackets decoded, as some clients encode them.
fn plain(part: &str) -> String {
    part.replace("%5B", "[").replace("%5b", "[").replace("%5D", "]").replace("%5d", "]")
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Instant;

    use super::{SCRAPE_AGE, Scraped};

    #[test]
    fn figures_are_asked_for_once_a_second_however_many_want_them() {
        let runtime = crate::child::runtime().expect("a runtime can be built");
        runtime.block_on(async {
            let (scraped, asked, now) = (Scraped::default(), Cell::new(0), Cell::new(Instant::now()));
            let clock = || now.get();
            let scrape = || async {
                asked.set(asked.get() + 1);
                tokio::task::yield_now().await;
                // It takes long.
                now.set(now.get() + 2 * SCRAPE_AGE);
                asked.get().to_string()
            };
            let (first, second) = tokio::join!(scraped.told(clock, scrape()), scraped.told(clock, scrape()));
            assert_eq!([first.as_str(), second.as_str()], ["1", "1"]);
            now.set(now.get() + SCRAPE_AGE / 2);
            assert_eq!(scraped.told(clock, scrape()).await, "1");
            now.set(now.get() + SCRAPE_AGE / 2);
            assert_eq!(scraped.told(clock, scrape()).await, "2");
        });
    }
}
