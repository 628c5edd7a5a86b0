//! RESP, Redis's protocol: requests as arrays of bulk strings or inline, replies of version 2, and 3 where asked for.
//!
//! - [`request`]: reading commands
//! - [`reply`]: writing replies, reading them one element at a time
//! - [`client`]: a connection to a server that speaks it; [`guests`]: what the clients of such a server are held to

pub(crate) mod client;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzed;
pub(crate) mod guests;
pub(crate) mod reply;
pub(crate) mod request;

pub(crate) use client::{Client, Failed};
pub(crate) use reply::{Element, Writer};

/// The longest single string.
pub(crate) const BULK_LIMIT: usize = 64 << 20;
/// The most strings in a command.
pub(crate) const ARGUMENTS_LIMIT: usize = 1 << 20;
/// The longest command, all in.
pub(crate) const COMMAND_LIMIT: usize = 256 << 20;
/// The longest reply.
pub(crate) const REPLY_LIMIT: usize = 256 << 20;
/// The longest line: an inline command, a size, a simple reply.
pub(crate) const LINE_LIMIT: usize = 64 << 10;

/// Input that is not RESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Protocol error: {0}")]
pub(crate) struct Malformed(pub(crate) &'static str);

/// The line that starts at `at`, without its end, and where the next begins; none where it is not complete yet.
fn line(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, Malformed> {
    let rest = &bytes[at..];
    let limit = rest.len().min(LINE_LIMIT);
    let Some(end) = rest[..limit].iter().position(|b| *b == b'\n') else {
        return if rest.len() >= LINE_LIMIT { Err(Malformed("too big inline request")) } else { Ok(None) };
    };
    let text = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
    Ok(Some((text, at + end + 1)))
}

/// A decimal number as Redis takes it: as one would be written, without a plus and leading zeros (util.c: `string2ll`).
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    if !matches!(text, b"0" | [b'1'..=b'9', ..] | [b'-', b'1'..=b'9', ..]) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}
