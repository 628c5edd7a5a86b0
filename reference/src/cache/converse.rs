//! A client's connection, request by request.

use std::io;
use std::net::IpAddr;
use std::rc::Rc;

use tokio::net::TcpStream;

use super::asked::{Asked, Kind, is_end_to_end};
use super::client::Client;
use super::deliver::Content;
use super::fields::{first, has};
use super::obtain::{Decision, How, Obtained};
use super::page::Budget;
use super::pass::Unpassed;
use super::threads;
use super::user_context::HASH;
use super::{Begun, Cache, address};
use crate::edge::Arrival;
use crate::http::head::{Bad, NO_FIELDS, RequestHead, parse_request};
use crate::http::{Connection, Framing, Next, Requests, explained_answer, plain_answer, refuse};
use crate::service::CLASS_HEADER;

/// Up to this, a body is copied behind its head, so that one write sends both.
const COPIED: usize = 16 << 10;

/// What is left to do for a request once its head was read.
#[derive(Debug)]
enum Step {
    /// The head of the answer is written; its body follows.
    Composed(Option<Content>),
    /// It takes longer.
    LookUp(Asked, Decision),
    /// So does this, for whom what is to be done is not known yet.
    Context(Asked),
    Pass(Asked),
    Purge(Asked),
    Answer(u16),
}

/// Serves a connection until its end.
pub(super) async fn serve(cache: Rc<Cache>, mut stream: TcpStream) {
    let _connected = cache.connections.hold();
    let arrival = match &cache.trust {
        None => Arrival::of(&stream),
        Some(trust) => match trust.welcome(&mut stream).await {
            Some(arrival) => arrival,
            None => return,
        },
    };
    let conversation = converse(&cache, Connection::new(stream), arrival.from.ip().to_canonical());
    // A broken connection concerns its client alone.
    let _ = if cache.threads.is_some() { threads::scope(conversation).await } else { conversation.await };
}

async fn converse(cache: &Rc<Cache>, mut connection: Connection, address: IpAddr) -> io::Result<()> {
    let mut out = Vec::with_capacity(1024);
    // How long a client may be idle the file does not say.
    let mut requests = Requests::new(None);
    loop {
        if let Some(threads) = &cache.threads {
            threads.end();
            // From the first byte of a request on it has a thread, or none is to be had and the connection ends.
            if !(requests.begins(&mut connection).await? && threads.begin().await) {
                return Ok(());
            }
        }
        let read = |input: &[u8]| cache.begin(input, address, &mut out);
        let (begun, step) = match requests.next(&mut connection, read).await? {
            Next::Head(begun) => begun,
            Next::End => return Ok(()),
            Next::Refused(status) => return refuse(connection, status, false, &mut out).await,
        };
        connection.consume(begun.head_len);
        let mut client = Client { connection: &mut connection, patience: &mut requests.body };
        cache.counts.requests.add();
        let _inside = cache.inside.hold();
        let open = match step {
            Step::Composed(content) => {
                send(&mut client, &mut out, content).await.map(|()| begun.keep_alive)?
            }
            Step::LookUp(asked, decision) => {
                cache.look_up(&mut client, &asked, &begun, decision, &mut out).await?
            }
            Step::Context(asked) => match cache.in_context(asked).await {
                Ok((asked, decision)) => {
                    cache.look_up(&mut client, &asked, &begun, decision, &mut out).await?
                }
                Err(status) => cache.fail(&mut client, &begun, status, &mut out).await?,
            },
            Step::Pass(asked) => match cache.pass(&mut client, &asked, &begun).await {
                // Half a page cannot be put together, and the answer to a HEAD request has none.
                Ok(answer) if begun.is_head || answer.status == 206 => {
                    cache.stream(&mut client, answer, How::Pass, &begun).await?
                }
                Ok(answer) => {
                    let obtained = cache.for_one(answer, How::Pass).await;
                    cache.give(&mut client, &asked, &begun, obtained, &mut out).await?
                }
                Err(Unpassed::Cut) => return Ok(()),
                Err(Unpassed::Status(status)) => cache.fail(&mut client, &begun, status, &mut out).await?,
            },
            Step::Purge(asked) => {
                let done = cache.purge(&asked);
                out.clear();
                match done {
                    Ok(count) => {
                        let status = if count > 0 || asked.with(is_by_rule) { 200 } else { 404 };
                        plain_answer(status, begun.closes(), begun.is_head, &mut out);
                    }
                    Err(misread) => explained_answer(400, &misread.to_string(), begun.closes(), &mut out),
                }
                client.write_all(&out).await?;
                !begun.closes()
            }
            Step::Answer(status) => cache.answer_plainly(&mut client, &begun, status, &mut out).await?,
        };
        if !open {
            return Ok(());
        }
    }
}

/// Whether what is to be thrown out may be nothing at the moment.
fn is_by_rule(head: &RequestHead<'_, '_>) -> bool {
    ["xkey-purge", "xkey-softpurge", "x-ban"].iter().any(|name| has(head.headers, name))
}

/// Writes a head and a part of a body.
async fn send(client: &mut Client<'_>, out: &mut Vec<u8>, content: Option<Content>) -> io::Result<()> {
    let Some(Content { body, bytes, copy }) = content else { return client.write_all(out).await };
    if bytes.len() <= COPIED {
        out.extend_from_slice(&body[bytes]);
        return client.write_all(out).await;
    }
    match copy {
        Some(copy) => client.write_file(out, copy.file(), bytes).await,
        None => client.write_both(out, &body[bytes]).await,
    }
}

impl Cache {
    /// Reads a request's head and does what can be done at once; none where the head is not complete yet.
    fn begin(&self, input: &[u8], client: IpAddr, out: &mut Vec<u8>) -> Result<Option<(Begun, Step)>, Bad> {
        if input.is_empty() {
            return Ok(None);
        }
        let mut fields = NO_FIELDS;
        let Some(head) = parse_request(input, &mut fields)? else { return Ok(None) };
        let begun = Begun {
            head_len: head.len,
            framing: head.framing,
            keep_alive: head.keep_alive,
            is_head: head.method == "HEAD",
            is_old: head.is_old,
            expects_continue: !head.is_old
                && first(head.headers, "expect").is_some_and(|e| e.eq_ignore_ascii_case(b"100-continue")),
        };
        let bytes = &input[..head.len];
        let step = if is_end_to_end(head.headers) {
            self.step(&head, bytes, client, out)
        } else {
            let asked = Asked::new(bytes, client, self.sorts_queries);
            asked.with(|head| self.step(head, asked.head(), client, out))
        };
        Ok(Some((begun, step)))
    }

    fn step(&self, head: &RequestHead<'_, '_>, bytes: &[u8], client: IpAddr, out: &mut Vec<u8>) -> Step {
        if self.context.fails() {
            return Step::Answer(500);
        }
        match Kind::of(head) {
            // Varnish is mostly set up to answer the checks of those before it itself.
            Kind::LookUp if self.is_check(head) => Step::Answer(200),
            Kind::LookUp => {
                let mut scratch = self.scratch.borrow_mut();
                scratch.clear();
                address::write(head, self.sorts_queries, &mut scratch);
                if has(head.headers, HASH) || self.needs_context(&scratch, head.headers) {
                    return Step::Context(Asked::new(bytes, client, self.sorts_queries).without(HASH));
                }
                match self.decide(&scratch, head.headers) {
                    Decision::Serve(object, how) if object.page.is_none() => {
                        Step::Composed(self.compose(head, &object, how, out))
                    }
                    decision => Step::LookUp(Asked::new(bytes, client, self.sorts_queries), decision),
                }
            }
            Kind::Pass => Step::Pass(Asked::new(bytes, client, self.sorts_queries).without(HASH)),
            // Only for those on this machine, and not by way of a proxy on it.
            Kind::Purge if !client.is_loopback() || has(head.headers, "x-forwarded-for") => Step::Answer(405),
            Kind::Purge => Step::Purge(Asked::new(bytes, client, self.sorts_queries)),
        }
    }

    fn is_check(&self, head: &RequestHead<'_, '_>) -> bool {
        self.checked.iter().any(|path| path == head.target) && !has(head.headers, CLASS_HEADER)
    }

    async fn look_up(
        self: &Rc<Self>,
        client: &mut Client<'_>,
        asked: &Asked,
        begun: &Begun,
        decision: Decision,
        out: &mut Vec<u8>,
    ) -> io::Result<bool> {
        let only_stored = matches!(decision, Decision::Fetch(_) | Decision::Wait(_))
            && asked.with(|head| super::directives::Directives::plain(head.headers).only_if_cached);
        if only_stored {
            // RFC 9111, section 5.2.1.7.
            drop(decision);
            return self.fail(client, begun, 504, out).await;
        }
        let obtained = self.obtain(asked, decision).await;
        self.give(client, asked, begun, obtained, out).await
    }

    /// Sends what a request was answered with; whether the connection stays open.
    async fn give(
        self: &Rc<Self>,
        client: &mut Client<'_>,
        asked: &Asked,
        begun: &Begun,
        obtained: Obtained,
        out: &mut Vec<u8>,
    ) -> io::Result<bool> {
        match obtained {
            Obtained::Object(object, how) if object.page.is_some() => {
                let body = if begun.is_head {
                    None
                } else {
                    let body = self.assemble(asked, &object, 0, &Budget::new(self.object_limit)).await;
                    let Some(body) = body else { return self.fail(client, begun, 502, out).await };
                    Some(body)
                };
                let length = body.as_ref().map(Vec::len);
                asked.with(|head| self.compose_page(head, &object, how, length, out));
                client.write_both(out, body.as_deref().unwrap_or_default()).await?;
                Ok(begun.keep_alive)
            }
            Obtained::Object(object, how) => {
                let content = asked.with(|head| self.compose(head, &object, how, out));
                send(client, out, content).await?;
                Ok(begun.keep_alive)
            }
            Obtained::Answer(answer, how) => self.stream(client, *answer, how, begun).await,
            Obtained::Failed(status) => self.fail(client, begun, status, out).await,
        }
    }

    /// Answers in a back end's place; whether the connection stays open.
    async fn fail(
        &self,
        client: &mut Client<'_>,
        begun: &Begun,
        status: u16,
        out: &mut Vec<u8>,
    ) -> io::Result<bool> {
        self.counts.failures.add();
        self.answer_plainly(client, begun, status, out).await
    }

    async fn answer_plainly(
        &self,
        client: &mut Client<'_>,
        begun: &Begun,
        status: u16,
        out: &mut Vec<u8>,
    ) -> io::Result<bool> {
        out.clear();
        plain_answer(status, begun.closes(), begun.is_head, out);
        client.write_all(out).await?;
        Ok(!begun.closes())
    }
}

impl Begun {
    /// Whether an answer given before the body was read is the last: what follows is the body.
    fn closes(&self) -> bool {
        !self.keep_alive || self.framing != Framing::Length(0)
    }
}
