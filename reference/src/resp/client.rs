//! A connection to a server that speaks RESP: commands are appended to a buffer, sent at once, and their replies read
//! in order.

use std::io::{self, Write};
use std::net::SocketAddr;

use super::reply::parse_element;
use super::{Element, Malformed};
use crate::http::Connection;

/// A call that brought no usable answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// The connection broke.
    #[error("connection: {0}")]
    Io(#[from] io::Error),
    /// What came was no reply.
    #[error("{0}")]
    Malformed(#[from] Malformed),
    /// The server answered with an error, or not as asked.
    #[error("server: {0}")]
    Server(String),
}

/// A connection.
#[derive(Debug)]
pub(crate) struct Client {
    connection: Connection,
    out: Vec<u8>,
    /// Whether every reply that is owed was read, so that the connection can serve another call.
    owed: usize,
}

impl Client {
    /// Connects. There is no time limit but the kernel's.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) async fn connect(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { connection: Connection::connect(address, None).await?, out: Vec::new(), owed: 0 })
    }

    /// Whether another call can go over this connection.
    pub(crate) fn is_reusable(&self) -> bool {
        self.owed == 0 && self.connection.is_reusable()
    }

    /// Starts a command of `arguments` strings; they follow by [`Client::argument`].
    pub(crate) fn command(&mut self, arguments: usize) {
        self.owed += 1;
        write!(self.out, "*{arguments}\r\n").expect("writing to a vector cannot fail");
    }

    /// Appends an argument.
    pub(crate) fn argument(&mut self, bytes: &[u8]) {
        write!(self.out, "${}\r\n", bytes.len()).expect("writing to a vector cannot fail");
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Sends the commands.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) async fn send(&mut self) -> io::Result<()> {
        self.connection.write_all(&self.out).await?;
        self.out.clear();
        Ok(())
    }

    /// Reads a reply of one element. An error of the server is [`Failed::Server`], and leaves the connection usable.
    ///
    /// # Errors
    /// See [`Failed`].
    pub(crate) async fn reply<T>(
        &mut self,
        use_it: impl FnOnce(Element<'_>) -> Option<T>,
    ) -> Result<T, Failed> {
        let result = self.element(use_it).await?;
        self.owed -= 1;
        result
    }

    /// Reads a reply that is an array of `len` elements.
    ///
    /// # Errors
    /// See [`Failed`].
    pub(crate) async fn array<T>(
        &mut self,
        len: usize,
        mut use_it: impl FnMut(usize, Element<'_>) -> Option<T>,
        into: &mut Vec<T>,
    ) -> Result<(), Failed> {
        let announced = self.element(|e| if let Element::Array(n) = e { Some(n) } else { None }).await?;
        match announced {
            Ok(n) if n == len => {}
            Ok(n) => return Err(Failed::Server(format!("{n} elements instead of {len}"))),
            Err(error) => {
                self.owed -= 1;
                return Err(error);
            }
        }
        for index in 0..len {
            into.push(self.element(|e| use_it(index, e)).await??);
        }
        self.owed -= 1;
        Ok(())
    }

    /// The outer error leaves the connection unusable, the inner one does not.
    async fn element<T>(
        &mut self,
        use_it: impl FnOnce(Element<'_>) -> Option<T>,
    ) -> Result<Result<T, Failed>, Failed> {
        loop {
            if let Some((element, len)) = parse_element(self.connection.input())? {
                let result = match element {
                    Element::Error(text) => Err(Failed::Server(String::from_utf8_lossy(text).into_owned())),
                    element => match use_it(element) {
                        Some(value) => Ok(value),
                        None => return Err(Failed::Server("a reply of another type".to_owned())),
                    },
                };
                self.connection.consume(len);
                return Ok(result);
            }
            self.connection.more().await?;
        }
    }
}
