//! Requests that are passed on, answers that are not stored, and what such a request throws out of the store.

use std::io;

use super::Cache;
use super::asked::Asked;
use super::client::Client;
use super::fields::{first, write};
use super::object::passed_on;
use super::obtain::How;
use super::threads::Task;
use super::upstream::{self, Answer};
use super::{Begun, address};
use crate::http::head::RequestHead;
use crate::http::{Body, Framing};

/// Passed on at once at most.
const COPY_SIZE: usize = 64 << 10;

/// Why a request that was passed on has no answer.
#[derive(Debug)]
pub(super) enum Unpassed {
    /// The client gets this status.
    Status(u16),
    /// The client is gone, or sends nonsense.
    Cut,
}

/// Methods that change nothing (RFC 9110, section 9.2.1).
fn is_safe(method: &str) -> bool {
    matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}

impl Cache {
    /// Passes a request on with its body, and waits for the head of the answer.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) async fn pass(
        &self,
        client: &mut Client<'_>,
        asked: &Asked,
        begun: &Begun,
    ) -> Result<Answer, Unpassed> {
        let thread = self.thread(Task::Fetch).await.flatten();
        let number = self.back_ends.next().ok_or(Unpassed::Status(503))?;
        let (mut connection, _) = self.back_ends.connection(number).await.ok_or(Unpassed::Status(503))?;
        if begun.expects_continue && client.input().is_empty() {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.map_err(|_| Unpassed::Cut)?;
        }
        let mut out = Vec::with_capacity(512);
        asked.write_pass(&self.normaliser, &mut out);
        let mut body = Body::new(begun.framing);
        loop {
            let taken = body.take(client.input()).map_err(|bad| Unpassed::Status(bad.status()))?;
            out.extend_from_slice(&client.input()[..taken]);
            client.consume(taken);
            if body.is_done() || out.len() >= COPY_SIZE {
                upstream::send(&mut connection, &out).await.map_err(|_| Unpassed::Status(502))?;
                out.clear();
            }
            if body.is_done() {
                break;
            }
            client.more().await.map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => Unpassed::Status(408),
                _ => Unpassed::Cut,
            })?;
        }
        let answer = upstream::head(connection, number, begun.is_head, self.first_byte_timeout)
            .await
            .map_err(|unanswered| Unpassed::Status(unanswered.status()))?;
        if (200..400).contains(&answer.status) {
            asked.with(|head| self.invalidate(head, asked, &answer));
        }
        Ok(answer.fetched_by(thread))
    }

    /// What an unsafe request has changed is thrown out, with what its answer says that it changed (RFC 9111, section 4.4).
    fn invalidate(&self, head: &RequestHead<'_, '_>, asked: &Asked, answer: &Answer) {
        if is_safe(head.method) {
            return;
        }
        let mut store = self.store.borrow_mut();
        store.remove_address(&asked.address);
        answer.with_fields(|_, headers| {
            for name in ["location", "content-location"] {
                let mut referred = Vec::new();
                let reference = first(headers, name);
                let sorts = self.sorts_queries;
                if reference.is_some_and(|r| address::write_referred(head, r, sorts, &mut referred)) {
                    store.remove_address(&referred);
                }
            }
        });
    }

    /// Passes an answer on to the client; whether his connection stays open.
    ///
    /// # Errors
    /// Where either connection breaks.
    pub(super) async fn stream(
        &self,
        client: &mut Client<'_>,
        mut answer: Answer,
        how: How,
        begun: &Begun,
    ) -> io::Result<bool> {
        let mut out = Vec::with_capacity(1024);
        let until_close = answer.framing == Framing::UntilClose;
        let without_chunks = begun.is_old && answer.framing == Framing::Chunked;
        if without_chunks {
            answer.drop_chunks();
        }
        let close = !begun.keep_alive || until_close || without_chunks;
        let length = answer.field("content-length");
        answer.with_fields(|reason, headers| {
            out.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", answer.status).as_bytes());
            for header in passed_on(headers) {
                write(header.name, header.value, &mut out);
            }
            // An age from before is still that of the answer.
            if let Some(age) = first(headers, "age") {
                write("age", age, &mut out);
            }
        });
        match length {
            Some(length) if answer.framing != Framing::Chunked => write("content-length", &length, &mut out),
            _ if answer.framing == Framing::Chunked && !begun.is_head && !begun.is_old => {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
            _ => {}
        }
        write("x-cache", how.name().as_bytes(), &mut out);
        if close {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
        if begun.is_head {
            client.write_all(&out).await?;
            answer.give_back(&self.back_ends);
            return Ok(!close);
        }
        let broken = |()| io::Error::from(io::ErrorKind::UnexpectedEof);
        loop {
            let done = answer.take(without_chunks).map_err(broken)?;
            // What is here goes on at once: the back end may be slow on purpose.
            if !(out.is_empty() && answer.taken.is_empty()) {
                if out.is_empty() {
                    client.write_all(&answer.taken).await?;
                } else {
                    out.extend_from_slice(&answer.taken);
                    client.write_all(&out).await?;
                }
                out.clear();
                answer.taken.clear();
            }
            if done {
                answer.give_back(&self.back_ends);
                return Ok(!close);
            }
            if !answer.more().await.map_err(broken)? {
                out.extend_from_slice(&answer.taken);
                client.write_all(&out).await?;
                return Ok(false);
            }
        }
    }
}
