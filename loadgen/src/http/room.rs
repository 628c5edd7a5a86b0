//! Memory that a server can make a client use, bounded for all connections and users of a thread together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are left, for everything that shares them.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<AtomicUsize>);

impl Room {
    /// So many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Changes what one of those who share it holds; `false`, and no change, where there is no room for it.
    #[inline]
    pub(crate) fn hold(&self, held: &mut usize, wanted: usize) -> bool {
        if *held == wanted {
            return true;
        }
        let change = |left: usize| (left + *held).checked_sub(wanted);
        let fits = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok();
        if fits {
            *held = wanted;
        }
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_by_one_is_not_left_for_another() {
        let room = Room::new(100);
        let (mut first, mut second) = (0, 0);
        assert!(room.hold(&mut first, 60) && !room.hold(&mut second, 50));
        assert!(room.hold(&mut first, 10) && room.hold(&mut second, 90));
        assert!(room.hold(&mut first, 0) && room.hold(&mut second, 100) && !room.hold(&mut first, 1));
        assert_eq!((first, second), (0, 100));
    }
}
