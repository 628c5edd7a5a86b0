//! What stands for TLS in a build without it: nothing can be made of it, so nothing here is ever called.

use std::convert::Infallible;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

/// What every connection of a run has in common. There is none in this build: build with the feature `tls`.
#[derive(Clone, Debug)]
pub struct Tls(Infallible);

#[cfg(feature = "http2")]
impl Tls {
    pub(super) fn speaking(&self, _: &[u8]) -> Self {
        match self.0 {}
    }
}

/// The TLS state of one socket.
#[derive(Debug)]
pub(super) struct Session(Infallible);

impl Session {
    pub(super) fn new(tls: &Tls) -> Result<Self, Errno> {
        match tls.0 {}
    }

    pub(super) fn shake(&mut self, _: &OwnedFd) -> Result<bool, String> {
        match self.0 {}
    }

    #[cfg(feature = "http2")]
    pub(super) fn protocol(&self) -> Option<&[u8]> {
        match self.0 {}
    }

    pub(super) fn read(&mut self, _: &OwnedFd, _: &mut [u8]) -> Result<usize, Errno> {
        match self.0 {}
    }

    pub(super) fn take(&mut self, _: &[u8]) {
        match self.0 {}
    }

    pub(super) fn has_rest(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn flush(&mut self, _: &OwnedFd) -> Result<(), Errno> {
        match self.0 {}
    }
}
