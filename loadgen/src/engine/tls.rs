//! TLS over a socket that the thread's loop drives, by rustls.

use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// What every connection of a run has in common: whom it trusts, and what it calls the other end.
#[derive(Clone, Debug)]
pub struct Tls {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

#[cfg(feature = "http2")]
impl Tls {
    /// The same for another protocol than HTTP/1.1 (ALPN, RFC 7301).
    pub(super) fn speaking(&self, protocol: &[u8]) -> Self {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = vec![protocol.to_vec()];
        Self { config: Arc::new(config), name: self.name.clone() }
    }
}

/// The TLS state of one socket.
#[derive(Debug)]
pub(super) struct Session(Box<ClientConnection>);

/// A socket as rustls writes to and reads from it.
struct Wire<'a>(&'a OwnedFd);

impl io::Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (read, _) = rustix::net::recv(self.0, buffer, RecvFlags::empty())?;
        Ok(read)
    }
}

impl io::Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self.0, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Session {
    pub(super) fn new(tls: &Tls) -> Result<Self, Errno> {
        let connection = ClientConnection::new(Arc::clone(&tls.config), tls.name.clone());
        let mut connection = connection.map_err(|_| Errno::PROTO)?;
        // A request is composed whole before it is written, so its size is known to be small enough.
        connection.set_buffer_limit(None);
        Ok(Self(Box::new(connection)))
    }

    /// Goes on with the handshake; `true` when it is done.
    pub(super) fn shake(&mut self, socket: &OwnedFd) -> Result<bool, String> {
        loop {
            self.flush(socket).map_err(|error| error.to_string())?;
            if !self.0.is_handshaking() {
                return Ok(true);
            }
            match self.0.read_tls(&mut Wire(socket)) {
                Ok(0) => {
                    return Err("the other end closed the connection within the TLS handshake".to_owned());
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.to_string()),
            }
            if let Err(error) = self.0.process_new_packets() {
                // The other end is told why, if it still listens.
                let _ = self.flush(socket);
                return Err(error.to_string());
            }
        }
    }

    /// What both ends agreed to speak.
    #[cfg(feature = "http2")]
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        self.0.alpn_protocol()
    }

    /// Reads plain bytes; `AGAIN` where there are none now, 0 at the end.
    pub(super) fn read(&mut self, socket: &OwnedFd, buffer: &mut [u8]) -> Result<usize, Errno> {
        loop {
            match self.0.reader().read(buffer) {
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // An end without TLS's own goodbye: whoever stands between may have cut it off (RFC 8446, 6.1).
                Err(_) => return Err(Errno::CONNRESET),
            }
            match self.0.read_tls(&mut Wire(socket)) {
                // Of the end it tells when it is read from.
                Ok(_) => {}
                Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            }
            self.0.process_new_packets().map_err(|_| Errno::PROTO)?;
            self.flush(socket)?;
        }
    }

    /// Takes a whole request.
    pub(super) fn take(&mut self, request: &[u8]) {
        self.0.writer().write_all(request).expect("the buffer has no limit");
    }

    /// Whether something is still to be written.
    pub(super) fn has_rest(&self) -> bool {
        self.0.wants_write()
    }

    /// Writes as much as the kernel takes.
    pub(super) fn flush(&mut self, socket: &OwnedFd) -> Result<(), Errno> {
        while self.0.wants_write() {
            match self.0.write_tls(&mut Wire(socket)) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO)),
            }
        }
        Ok(())
    }
}
