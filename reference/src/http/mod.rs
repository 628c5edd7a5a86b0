//! As much of HTTP/1.1 as a reverse proxy and a JSON service need (RFC 9112), read strictly: a message whose length
//! two readers could see differently is refused, since a proxy that guesses can be made to smuggle.
//!
//! - [`head`]: request and response heads, how long their bodies are
//! - [`body`]: where a body ends, chunked ones included
//! - [`connection`]: a socket (or a [`stream`] that is none) with its input buffer; [`patience`]: limits on waiting for it;
//!   [`idle`]: those to servers that nobody uses at the moment
//! - [`requests`]: the heads of a client's requests, one after the other

pub(crate) mod body;
pub(crate) mod connection;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
pub(crate) mod head;
pub(crate) mod idle;
pub(crate) mod patience;
pub(crate) mod requests;
mod stream;

pub(crate) use body::Body;
pub(crate) use connection::Connection;
pub(crate) use head::{Bad, Framing};
pub(crate) use idle::Idle;
pub(crate) use patience::Patience;
pub(crate) use requests::{Next, Requests, refuse, take_leave};

/// The reason phrase of the statuses that we answer ourselves.
pub(crate) fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Unknown",
    }
}

/// Appends a short JSON answer that names the status; with `close` it is the connection's last. The answer to a HEAD request
/// is the head alone.
pub(crate) fn plain_answer(status: u16, close: bool, is_head: bool, out: &mut Vec<u8>) {
    use std::io::Write;
    let reason = reason(status);
    let body_len = "{\"status\":500,\"reason\":\"\"}\n".len() + reason.len();
    let connection = if close { "connection: close\r\n" } else { "" };
    write!(
        out,
        "HTTP/1.1 {status} {reason}\r\ncontent-type: application/json\r\n{connection}content-length: {body_len}\r\n\r\n"
    )
    .expect("writing to a vector cannot fail");
    if !is_head {
        writeln!(out, "{{\"status\":{status},\"reason\":\"{reason}\"}}")
            .expect("writing to a vector cannot fail");
    }
}

/// Appends an answer that says, where only those of this machine hear it, what was wrong.
pub(crate) fn explained_answer(status: u16, why: &str, close: bool, out: &mut Vec<u8>) {
    use std::io::Write;
    let body = format!("{}\n", serde_json::json!({ "status": status, "reason": why }));
    let connection = if close { "connection: close\r\n" } else { "" };
    write!(
        out,
        "HTTP/1.1 {status} {}\r\ncontent-type: application/json\r\n{connection}content-length: {}\r\n\r\n{body}",
        reason(status),
        body.len()
    )
    .expect("writing to a vector cannot fail");
}
