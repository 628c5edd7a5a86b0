//! Copies of long bodies in files without a name, from whose pages the kernel sends them as they are (sendfile(2)): a body that is
//! written to a socket is copied for each client, into memory that the client's core has not seen yet.

use std::cell::{Cell, OnceCell};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;

use rustix::fs::{MemfdFlags, memfd_create};

/// Of shorter ones the copies cost less than one system call more.
const LEAST_BYTES: usize = 32 << 10;
/// Files at most: each takes a descriptor.
const FILES_LIMIT: usize = 256;

/// How much more room there is for copies.
#[derive(Debug)]
pub(super) struct Copies {
    bytes: Cell<usize>,
    files: Cell<usize>,
}

/// A copy of a body.
#[derive(Debug)]
pub(super) struct BodyCopy {
    file: File,
    bytes: usize,
    copies: Rc<Copies>,
}

impl Copies {
    /// So many bytes at most.
    pub(super) fn new(bytes: usize) -> Rc<Self> {
        Rc::new(Self { bytes: Cell::new(bytes), files: Cell::new(FILES_LIMIT) })
    }

    /// The copy of a body, which is made where there is none yet; none of a short one, or where there is no room.
    pub(super) fn of(self: &Rc<Self>, body: &[u8], made: &OnceCell<Rc<BodyCopy>>) -> Option<Rc<BodyCopy>> {
        if body.len() < LEAST_BYTES {
            return None;
        }
        if let Some(copy) = made.get() {
            return Some(Rc::clone(copy));
        }
        let copy = Rc::new(self.make(body)?);
        Some(Rc::clone(made.get_or_init(|| copy)))
    }

    fn make(self: &Rc<Self>, body: &[u8]) -> Option<BodyCopy> {
        let bytes = self.bytes.get().checked_sub(body.len())?;
        let files = self.files.get().checked_sub(1)?;
        let Ok(file) = write(body) else {
            // No more is tried until one is given back.
            self.bytes.set(0);
            return None;
        };
        self.bytes.set(bytes);
        self.files.set(files);
        Some(BodyCopy { file, bytes: body.len(), copies: Rc::clone(self) })
    }
}

fn write(body: &[u8]) -> io::Result<File> {
    let mut file = File::from(memfd_create("body", MemfdFlags::CLOEXEC)?);
    file.write_all(body)?;
    Ok(file)
}

impl BodyCopy {
    /// The file, which begins with the body and never changes.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Drop for BodyCopy {
    fn drop(&mut self) {
        self.copies.bytes.set(self.copies.bytes.get() + self.bytes);
        self.copies.files.set(self.copies.files.get() + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_made_while_there_is_room_which_they_give_back() {
        let copies = Copies::new(3 * LEAST_BYTES);
        let body = vec![b'x'; LEAST_BYTES];
        let made: [OnceCell<Rc<BodyCopy>>; 4] = Default::default();
        assert!(copies.of(&body[1..], &made[0]).is_none(), "it is too short");
        assert!(made[..3].iter().all(|made| copies.of(&body, made).is_some()));
        assert!(copies.of(&body, &made[3]).is_none(), "there is no room");
        assert!(copies.of(&body, &made[0]).is_some(), "it is there already");
        let [first, _, _, last] = made;
        drop(first);
        assert!(copies.of(&body, &last).is_some());
    }
}
