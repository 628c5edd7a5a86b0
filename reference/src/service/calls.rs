//! Calls of other services, by themselves or behind a balancer: they walk a list of steps that this one names.

use std::io::Write;

use scenarios::plan::RequestId;
use scenarios::scenario::{ComponentId, Path, PathPart};

use super::Service;
use super::request::{CLASS_HEADER, REQUEST_HEADER, STEPS_HEADER};
use super::walk::Errand;
use crate::component::Context;
use crate::http::head::{NO_FIELDS, parse_response};
use crate::http::{Body, Connection};
use crate::resp::Failed;

impl Service {
    /// Has another service walk a list of steps, and waits for it. The connection is kept for the next call where no more than
    /// `most_idle` are kept.
    ///
    /// # Errors
    /// Where it cannot be reached, or does not answer 200.
    pub(super) async fn call(
        &self,
        to: ComponentId,
        list: usize,
        errand: Errand,
        most_idle: usize,
    ) -> Result<(), Failed> {
        let class = &self.context.scenario.requests[errand.class];
        let mut request = b"GET ".to_vec();
        write_path(&class.path, &self.context, errand.id, &mut request);
        write!(
            request,
            " HTTP/1.1\r\nhost: {}\r\n{REQUEST_HEADER}: {:016x}\r\n{CLASS_HEADER}: {}\r\n{STEPS_HEADER}: {list}.{}\r\n\r\n",
            self.context.scenario.component(to).name, errand.id.0, class.name, errand.tries,
        )
        .expect("writing to a vector cannot fail");
        let mut connection = self.backends.service(to, most_idle).await?;
        let mut status = exchange(&mut connection, &request).await;
        // Whoever was asked may close an idle connection while the request is on its way. Then it has heard nothing of it.
        if connection.was_idle && connection.input().is_empty() && matches!(status, Err(Failed::Io(_))) {
            connection.renew().await?;
            status = exchange(&mut connection, &request).await;
        }
        let status = status?;
        connection.is_done();
        if status == 200 { Ok(()) } else { Err(Failed::Server(format!("status {status}"))) }
    }
}

async fn exchange(connection: &mut Connection, request: &[u8]) -> Result<u16, Failed> {
    connection.write_all(request).await?;
    status_of_answer(connection).await
}

/// Appends a concrete path: the form with a request's keys in their places.
pub(super) fn write_path(form: &Path, context: &Context, id: RequestId, out: &mut Vec<u8>) {
    for part in &form.parts {
        match part {
            PathPart::Text(text) => out.extend_from_slice(text.as_bytes()),
            PathPart::Key(keyspace) => {
                let key = context.draws.keys(id, *keyspace).next().expect("a request's keys have no end");
                write!(out, "{key}").expect("writing to a vector cannot fail");
            }
            // Nothing is extracted here: such scenarios are refused.
            PathPart::Kept(_) => {}
        }
    }
}

/// Reads an answer to its end.
///
/// # Errors
/// Where it does not come or is malformed.
pub(super) async fn status_of_answer(connection: &mut Connection) -> Result<u16, Failed> {
    let refused = |_| Failed::Server("a malformed answer".to_owned());
    let (status, head_len, mut body) = loop {
        let mut fields = NO_FIELDS;
        let input = connection.input();
        if let Some(head) = parse_response(input, &mut fields, false).map_err(refused)? {
            break (head.status, head.len, Body::new(head.framing));
        }
        connection.more().await?;
    };
    connection.consume(head_len);
    loop {
        let taken = body.take(connection.input()).map_err(refused)?;
        connection.consume(taken);
        if body.is_done() {
            return Ok(status);
        }
        connection.more().await?;
    }
}
