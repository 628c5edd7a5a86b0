//! A socket as h2 reads from and writes to it: with or without TLS, never blocking. Who drives h2 does so at every edge, so that
//! nobody need be woken here.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::tls::{Session, Tls};

/// A connected socket, or one that will be.
#[derive(Debug)]
pub(super) struct Wire {
    descriptor: OwnedFd,
    session: Option<Session>,
    /// The other end takes no more. What it said before still counts, so that nothing but reading ends the connection.
    deaf: bool,
}

impl Wire {
    pub(super) fn new(descriptor: OwnedFd) -> Self {
        Self { descriptor, session: None, deaf: false }
    }

    pub(super) fn descriptor(&self) -> &OwnedFd {
        &self.descriptor
    }

    /// Goes on with the handshake of TLS, where there is any; `true` when it is done.
    pub(super) fn shake(&mut self, tls: Option<&Tls>) -> Result<bool, String> {
        let Some(tls) = tls else { return Ok(true) };
        let session = match &mut self.session {
            Some(session) => session,
            none => none.insert(Session::new(tls).map_err(|error| error.to_string())?),
        };
        let done = session.shake(&self.descriptor)?;
        if done && session.protocol() != Some(b"h2") {
            return Err("the other end does not choose HTTP/2 (ALPN h2)".to_owned());
        }
        Ok(done)
    }
}

fn polled<T>(result: Result<T, Errno>) -> Poll<io::Result<T>> {
    match result {
        Ok(value) => Poll::Ready(Ok(value)),
        Err(Errno::AGAIN) => Poll::Pending,
        Err(error) => Poll::Ready(Err(error.into())),
    }
}

/// Tries again what a signal interrupted.
fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { descriptor, session, .. } = self.get_mut();
        let room = buffer.initialize_unfilled();
        let read = uninterrupted(|| match session {
            Some(session) => session.read(descriptor, room),
            None => rustix::net::recv(&*descriptor, &mut *room, RecvFlags::empty()).map(|(read, _)| read),
        });
        polled(read).map_ok(|read| buffer.advance(read))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let Self { descriptor, session, deaf } = self.get_mut();
        let written = match session {
            _ if *deaf => Ok(bytes.len()),
            None => uninterrupted(|| rustix::net::send(&*descriptor, bytes, SendFlags::NOSIGNAL)),
            // A session takes whatever it is given, so it is given nothing before what it has is written.
            Some(session) => session.flush(descriptor).and_then(|()| {
                if session.has_rest() {
                    return Err(Errno::AGAIN);
                }
                session.take(bytes);
                session.flush(descriptor).map(|()| bytes.len())
            }),
        };
        if let Err(Errno::PIPE | Errno::CONNRESET) = written {
            *deaf = true;
            return Poll::Ready(Ok(bytes.len()));
        }
        polled(written)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { descriptor, session, deaf } = self.get_mut();
        let Some(session) = session.as_mut().filter(|_| !*deaf) else { return Poll::Ready(Ok(())) };
        match session.flush(descriptor) {
            Ok(()) if session.has_rest() => Poll::Pending,
            Err(Errno::PIPE | Errno::CONNRESET) => {
                *deaf = true;
                Poll::Ready(Ok(()))
            }
            result => polled(result),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(context)
    }
}
