//! The task behind a slot: opens its socket, reads answers, and opens it again when it is lost.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use results::Failure;
use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::net::TcpStream;

use super::lane::Lane;
use crate::http::Progress;

/// Keeps a slot connected for as long as the thread lives.
pub(super) async fn keep(lane: Rc<RefCell<Lane>>, index: u32) {
    loop {
        poll_fn(|context| wanted(&lane, index, context)).await;
        let failure = match open(&lane, index).await {
            Ok(stream) => {
                lane.borrow_mut().opened(index, stream);
                poll_fn(|context| lane.borrow_mut().poll_connection(index, context)).await
            }
            Err(failure) => failure,
        };
        lane.borrow_mut().closed(index, failure);
    }
}

/// Ready when a closed slot is to be opened.
fn wanted(lane: &RefCell<Lane>, index: u32, context: &Context<'_>) -> Poll<()> {
    let mut lane = lane.borrow_mut();
    let slot = &mut lane.slots[index as usize];
    slot.remember(context);
    if !slot.open {
        return Poll::Pending;
    }
    lane.opening(index);
    Poll::Ready(())
}

async fn open(lane: &RefCell<Lane>, index: u32) -> Result<TcpStream, Failure> {
    let address = lane.borrow().slots[index as usize].address;
    let mut connecting = pin!(TcpStream::connect(address));
    poll_fn(|context| {
        let mut lane = lane.borrow_mut();
        let slot = &mut lane.slots[index as usize];
        slot.remember(context);
        if slot.close {
            return Poll::Ready(Err(Failure::Timeout));
        }
        let connected = ready!(connecting.as_mut().poll(context));
        Poll::Ready(connected.and_then(tuned).map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => Failure::Timeout,
            _ => Failure::Refused,
        }))
    })
    .await
}

fn tuned(stream: TcpStream) -> io::Result<TcpStream> {
    // Without TCP_NODELAY a request could wait for the acknowledgement of the one before.
    stream.set_nodelay(true)?;
    // Where the system's default is BBR, packets are spaced by a timer. That belongs to a network's path, but on the
    // loopback interface it would only be measured as the server's time. Reno is part of every kernel.
    if stream.peer_addr()?.ip().is_loopback() {
        let _ = rustix::net::sockopt::set_tcp_congestion(&stream, "reno");
    }
    Ok(stream)
}

impl Lane {
    /// Writes what is left to write and reads what has come, until the connection is of no further use. Ready with what
    /// that means for a request that is still under way.
    fn poll_connection(&mut self, index: u32, context: &mut Context<'_>) -> Poll<Failure> {
        loop {
            let slot = &mut self.slots[index as usize];
            slot.remember(context);
            if slot.close {
                return Poll::Ready(Failure::Timeout);
            }
            let stream = slot.stream.as_mut().expect("a connected slot has a stream until its task ends");
            while slot.written < slot.out.len() {
                let Poll::Ready(writable) = stream.poll_write_ready(context) else { break };
                match writable.and_then(|()| stream.try_write(&slot.out[slot.written..])) {
                    Ok(written) => slot.written += written,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return Poll::Ready(Failure::Reset),
                }
            }
            let mut buffer = ReadBuf::new(&mut self.buffer);
            if ready!(Pin::new(stream).poll_read(context, &mut buffer)).is_err() {
                return Poll::Ready(Failure::Reset);
            }
            let input = buffer.filled();
            let progress = if slot.exchange.is_none() {
                // The other end closed a free connection, or spoke unasked.
                return Poll::Ready(Failure::Reset);
            } else if input.is_empty() {
                slot.reader.end().ok_or(Failure::Reset)
            } else {
                slot.reader.feed(input).map_err(|_| Failure::Malformed)
            };
            match progress {
                Ok(Progress::More) => {}
                Ok(Progress::Done { status, keep_alive }) => {
                    let sent_whole = slot.written == slot.out.len();
                    slot.fruitless = 0;
                    self.finish(index, if status < 400 { Ok(()) } else { Err(Failure::Status) });
                    if !keep_alive || !sent_whole {
                        return Poll::Ready(Failure::Reset);
                    }
                    self.offer(index);
                }
                Err(failure) => return Poll::Ready(failure),
            }
        }
    }
}
