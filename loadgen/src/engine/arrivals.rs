//! When bytes came in, by the clock of the kernel that took them off the network.
//!
//! Whoever reads them learns of it later: by the time that a sleeping thread takes to wake up, and by whatever it does
//! first. With the kernel's stamp the time of an answer does not depend on when it is read, and so it need not be read at
//! once: two answers can share a wake-up, and an answer can share one with the next request.
//!
//! The stamp is that of the last segment read (`SO_TIMESTAMPNS`, socket(7) and the kernel's `tcp_recv_timestamp`), on the
//! clock of the day; its age, taken at once, is what is carried over to `CLOCK_MONOTONIC`. Where the clock of the day is set
//! between the two, the answers of that moment are off by as much. The kernel begins to stamp a moment after the first
//! socket has asked for it; until then, answers came when they were read.

use std::io::IoSliceMut;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::cmsg_space;
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt::ReceiveTimestampns};
use nix::sys::time::TimeSpec;
use rustix::io::Errno;

use crate::clock::{day_nanos, monotonic_nanos};

/// Reads sockets that stamp what comes in.
#[derive(Debug)]
pub(super) struct Arrivals {
    control: Vec<u8>,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self { control: cmsg_space!(TimeSpec) }
    }

    /// Has a socket stamp what comes in from now on; whether it does.
    pub(super) fn stamp(socket: &OwnedFd) -> bool {
        setsockopt(socket, ReceiveTimestampns, &true).is_ok()
    }

    /// Reads; how many bytes, and when the last of them came in, in nanoseconds of `CLOCK_MONOTONIC`.
    pub(super) fn receive(
        &mut self,
        socket: &OwnedFd,
        buffer: &mut [u8],
    ) -> Result<(usize, Option<u64>), Errno> {
        let mut into = [IoSliceMut::new(buffer)];
        let control = Some(self.control.as_mut_slice());
        let message = recvmsg::<()>(socket.as_raw_fd(), &mut into, control, MsgFlags::empty())
            .map_err(|error| Errno::from_raw_os_error(error as i32))?;
        let stamp = message.cmsgs().ok().and_then(|mut all| {
            all.find_map(|one| match one {
                ControlMessageOwned::ScmTimestampns(stamp) => Some(stamp),
                _ => None,
            })
        });
        let arrived = stamp.map(|stamp| {
            let stamped = stamp.tv_sec() as u64 * 1_000_000_000 + stamp.tv_nsec() as u64;
            monotonic_nanos().saturating_sub(day_nanos().saturating_sub(stamped))
        });
        Ok((message.bytes, arrived))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::net::{TcpListener, TcpStream};
    use std::thread::sleep;
    use std::time::Duration;

    #[test]
    fn bytes_tell_when_they_came_and_not_when_they_were_read() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("its address")).expect("it listens");
        let (mut server, _) = listener.accept().expect("a connection");
        let client = OwnedFd::from(client);
        assert!(Arrivals::stamp(&client));
        let mut arrivals = Arrivals::new();
        let mut buffer = [0; 16];
        // The kernel begins to stamp a moment after the first socket asks for it.
        let (before, after, arrived) = (0..100)
            .find_map(|_| {
                let before = monotonic_nanos();
                server.write_all(b"hello").expect("it is open");
                let after = monotonic_nanos();
                sleep(Duration::from_millis(50));
                let (read, arrived) = arrivals.receive(&client, &mut buffer).expect("there are bytes");
                assert_eq!(&buffer[..read], b"hello");
                arrived.map(|arrived| (before, after, arrived))
            })
            .expect("the kernel stamps");
        // Either clock was read while the other stood between: a few microseconds, more where the machine stalls.
        assert!(arrived + 5_000_000 > before, "{arrived} {before}");
        assert!(arrived < after + 45_000_000, "{arrived} {after}: that is when it was read");
    }
}
