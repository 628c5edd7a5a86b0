//! A request of HTTP/2 under way, and what wakes whoever drives it.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::Request;
use results::Failure;

use crate::http::{Answer, Limits, Room, Wanted, head_of};

/// What is to be looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Task {
    /// A connection, by its place and its generation.
    Line(u32, u32),
    /// A stream, by its slot and that one's generation.
    Stream(u32, u32),
}

/// What woke up, of one thread: all wakers lead here.
pub(super) type Woken = Arc<Mutex<VecDeque<Task>>>;

struct Alarm {
    task: Task,
    woken: Woken,
}

/// Notes the task when it wakes.
pub(super) fn waker(task: Task, woken: &Woken) -> Waker {
    Waker::from(Arc::new(Alarm { task, woken: Arc::clone(woken) }))
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.woken.lock().expect("nobody panics with the lock").push_back(self.task);
    }
}

/// How often a request goes over another connection because the one before said farewell without having read it.
const ATTEMPTS: u32 = 10;

/// A request that is to be sent.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) class: usize,
    pub(super) wanted: Wanted,
    pub(super) request: Request<()>,
    pub(super) body: Bytes,
    /// How often it was sent.
    pub(super) attempts: u32,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// It counts as this.
    Failed(Failure),
    /// The server has not looked at the request and never will (RFC 9113, section 6.8): it may go over another connection.
    Unread,
}

/// A request under way.
pub(super) struct Exchange {
    /// The connection that it goes over.
    pub(super) line: u32,
    /// What was sent.
    pub(super) asked: Asked,
    waker: Waker,
    /// What is still to come of the head, and of the body.
    response: Option<ResponseFuture>,
    answer: Option<RecvStream>,
    status: u16,
    pub(super) head: Vec<u8>,
    body: Vec<u8>,
    body_bytes: u64,
    room: Room,
    held: usize,
}

impl std::fmt::Debug for Exchange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exchange")
            .field("line", &self.line)
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.room.hold(&mut self.held, 0);
    }
}

impl Exchange {
    /// Sends a request over a connection of this number.
    pub(super) fn begin(
        asked: Asked,
        line: u32,
        sender: &SendRequest<Bytes>,
        waker: Waker,
        room: Room,
    ) -> Result<Self, Failure> {
        let asked = Asked { attempts: asked.attempts + 1, ..asked };
        let (request, body) = (asked.request.clone(), asked.body.clone());
        let sent =
            sender.clone().send_request(request, body.is_empty()).and_then(|(response, mut stream)| {
                if !body.is_empty() {
                    // The connection buffers what the window has no room for yet.
                    stream.send_data(body, true)?;
                }
                Ok(response)
            });
        let response = Some(sent.map_err(|error| of_error(&error, false))?);
        let (head, body) = (Vec::new(), Vec::new());
        Ok(Self {
            line,
            asked,
            waker,
            response,
            answer: None,
            status: 0,
            head,
            body,
            body_bytes: 0,
            room,
            held: 0,
        })
    }

    /// Whether the answer has begun.
    pub(super) fn has_begun(&self) -> bool {
        self.response.is_none()
    }

    /// What is to be judged.
    pub(super) fn answer(&self) -> Answer<'_> {
        Answer { status: self.status, head: &self.head, body: &self.body }
    }

    /// Reads on; ready when the answer is there or never will be.
    pub(super) fn read(&mut self, limits: &Limits) -> Poll<Result<(), Lost>> {
        let waker = self.waker.clone();
        let mut context = Context::from_waker(&waker);
        if let Some(response) = &mut self.response {
            let response = match Pin::new(response).poll(&mut context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => {
                    let farewell =
                        error.is_go_away() && error.is_remote() && error.reason() == Some(Reason::NO_ERROR);
                    let again = farewell && self.asked.attempts < ATTEMPTS;
                    let lost = if again { Lost::Unread } else { Lost::Failed(of_error(&error, false)) };
                    return Poll::Ready(Err(lost));
                }
                Poll::Ready(Ok(response)) => response,
            };
            self.response = None;
            self.status = response.status().as_u16();
            if self.asked.wanted.head {
                head_of(self.status, response.headers(), &mut self.head);
            }
            self.answer = Some(response.into_body());
        }
        let answer = self.answer.as_mut().expect("the response has come");
        loop {
            match answer.poll_data(&mut context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(Lost::Failed(of_error(&error, true))));
                }
                Poll::Ready(Some(Ok(data))) => {
                    // It was counted against the windows, and is read now.
                    let _ = answer.flow_control().release_capacity(data.len());
                    self.body_bytes += data.len() as u64;
                    let left = self.asked.wanted.body_bytes.saturating_sub(self.body.len());
                    self.body.extend_from_slice(&data[..data.len().min(left)]);
                    let fits = self.room.hold(&mut self.held, self.head.capacity() + self.body.capacity());
                    if self.body_bytes > limits.body_bytes || !fits {
                        return Poll::Ready(Err(Lost::Failed(Failure::TooLarge)));
                    }
                }
                Poll::Ready(None) => {
                    return match answer.poll_trailers(&mut context) {
                        Poll::Pending => Poll::Pending,
                        Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
                        Poll::Ready(Err(error)) => Poll::Ready(Err(Lost::Failed(of_error(&error, true)))),
                    };
                }
            }
        }
    }
}

/// What it means that a stream or its connection failed.
pub(super) fn of_error(error: &h2::Error, begun: bool) -> Failure {
    let lost = if begun { Failure::Truncated } else { Failure::Reset };
    if error.is_io() || error.is_remote() {
        return lost;
    }
    match error.reason() {
        // Fields or frames of them without an end.
        Some(Reason::ENHANCE_YOUR_CALM) => Failure::TooLarge,
        Some(Reason::NO_ERROR | Reason::CANCEL) => lost,
        Some(_) => Failure::Malformed,
        None => lost,
    }
}
