//! An open connection: messages as JSON, held to a size on both sides.

use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, Message, RequestErrorKind, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt as _;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::options::Place;

/// A server that does not pass a message on in this time does not work.
const PATIENCE: Duration = Duration::from_secs(5);

/// A connection to a server of NATS. A copy is the same connection.
#[derive(Clone, Debug)]
pub struct Link {
    client: Client,
    place: Place,
}

impl Link {
    pub(crate) fn new(client: Client, place: Place) -> Self {
        Self { client, place }
    }

    /// The client itself, for what is not here.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Where the server is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the connection stands at this moment. A broken one is opened again by itself; what is sent meanwhile waits.
    pub fn stands(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// The largest message that can be sent: the server's limit, and ours.
    pub fn most_bytes(&self) -> usize {
        self.client.max_payload().min(crate::MOST_BYTES)
    }

    /// Listens from now on: the server knows of it when this returns.
    ///
    /// # Errors
    /// Where the connection is gone.
    pub async fn listen(&self, subject: impl Into<String>) -> Result<Subscriber, Error> {
        let subject: String = subject.into();
        let subscriber = self.client.subscribe(subject).await.map_err(|error| self.lost(&error))?;
        self.flush().await?;
        Ok(subscriber)
    }

    /// Sends a message as JSON; `what` names it in errors.
    ///
    /// # Errors
    /// Where it is too large, or the connection is gone.
    pub async fn send(
        &self,
        what: &'static str,
        subject: impl Into<String>,
        message: &impl Serialize,
    ) -> Result<(), Error> {
        let (subject, payload): (String, Bytes) = (subject.into(), self.payload(what, message)?);
        self.client.publish(subject, payload).await.map_err(|error| self.lost(&error))
    }

    /// Answers a message that asks for it; one that does not gets no answer.
    ///
    /// # Errors
    /// As [`Link::send`].
    pub async fn answer(
        &self,
        what: &'static str,
        asked: &Message,
        message: &impl Serialize,
    ) -> Result<(), Error> {
        match &asked.reply {
            Some(reply) => self.send(what, reply.to_string(), message).await,
            None => Ok(()),
        }
    }

    /// Asks, and waits for the answer for as long as `patience`.
    ///
    /// # Errors
    /// Where the question is too large, nobody answers in time, or the answer is none of ours.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        what: &'static str,
        subject: impl Into<String>,
        message: &impl Serialize,
        patience: Duration,
    ) -> Result<T, Error> {
        let request =
            async_nats::Request::new().payload(self.payload(what, message)?).timeout(Some(patience));
        let subject: String = subject.into();
        match self.client.send_request(subject, request).await {
            Ok(answer) => read(what, &answer.payload),
            Err(error) => match error.kind() {
                RequestErrorKind::TimedOut | RequestErrorKind::NoResponders => {
                    Err(Error::Silent { what, seconds: patience.as_secs_f64() })
                }
                _ => Err(self.lost(&error)),
            },
        }
    }

    /// Waits until the server has dealt with all that was said to it. The client's own flush only hands it to the kernel; a message
    /// that we send to ourselves comes back after all that went before it, since a server keeps a connection's order.
    ///
    /// # Errors
    /// Where the connection is gone, or the server does not answer.
    pub async fn flush(&self) -> Result<(), Error> {
        let inbox = self.client.new_inbox();
        let mut echo = self.client.subscribe(inbox.clone()).await.map_err(|error| self.lost(&error))?;
        self.client.publish(inbox, Bytes::new()).await.map_err(|error| self.lost(&error))?;
        let what = "a message of ours to ourselves (permissions must allow _INBOX.>)";
        match tokio::time::timeout(PATIENCE, echo.next()).await {
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(_) => Err(Error::Silent { what, seconds: PATIENCE.as_secs_f64() }),
        }
    }

    fn payload(&self, what: &'static str, message: &impl Serialize) -> Result<Bytes, Error> {
        let payload = serde_json::to_vec(message)
            .map_err(|error| Error::Malformed { what, problem: error.to_string() })?;
        let (bytes, most) = (payload.len(), self.most_bytes());
        let hint = match most < crate::MOST_BYTES {
            true => "raise max_payload in the server's configuration",
            false => "make the scenario smaller: fewer classes of requests, faults or traffics",
        };
        if bytes > most { Err(Error::TooLarge { what, bytes, most, hint }) } else { Ok(payload.into()) }
    }

    fn lost(&self, error: &dyn std::error::Error) -> Error {
        Error::Lost { place: self.place.to_string(), problem: error.to_string() }
    }
}

/// Reads a message that somebody else wrote; `what` names it in errors.
///
/// # Errors
/// Where it is too large, or none of ours.
pub fn read<T: DeserializeOwned>(what: &'static str, payload: &[u8]) -> Result<T, Error> {
    let (bytes, most) = (payload.len(), crate::MOST_BYTES);
    if bytes > most {
        let hint = "lower max_payload in the server's configuration, and look who sends such things";
        return Err(Error::TooLarge { what, bytes, most, hint });
    }
    serde_json::from_slice(payload).map_err(|error| Error::Malformed { what, problem: error.to_string() })
}

/// Whether a text can be one part of a subject, and of a file's name: letters, digits, `-` and `_`, at most 64 of them.
pub fn is_token(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_read_only_up_to_a_size() {
        assert_eq!(read::<Vec<u8>>("numbers", b"[1,2]").expect("two numbers"), [1, 2]);
        let refused = read::<Vec<u8>>("numbers", b"{}").expect_err("none").to_string();
        assert!(refused.starts_with("numbers: ") && refused.contains("same version"), "{refused}");
        let large = vec![b' '; crate::MOST_BYTES + 1];
        assert!(matches!(read::<Vec<u8>>("numbers", &large), Err(Error::TooLarge { bytes: 1_048_577, .. })));
    }

    #[test]
    fn a_token_cannot_leave_its_place() {
        assert!(is_token("agent-1_a"));
        for wrong in ["", "a.b", "*", ">", "../x", "a b", &"x".repeat(65)] {
            assert!(!is_token(wrong), "{wrong}");
        }
    }
}
