//! Memory for answers that are on their way into the store: as much for all of them together, whoever asks for however many.

use std::cell::Cell;

/// What is left for fetches under way.
#[derive(Debug)]
pub(super) struct Fetching {
    left: Cell<usize>,
}

/// What one of them has.
#[derive(Debug)]
pub(super) struct Held<'f> {
    fetching: &'f Fetching,
    bytes: usize,
}

impl Fetching {
    /// So many bytes for all.
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: Cell::new(bytes) }
    }

    /// For a fetch that begins.
    pub(super) fn hold(&self) -> Held<'_> {
        Held { fetching: self, bytes: 0 }
    }
}

impl Held<'_> {
    /// Whether there is room for so many bytes in all, which are held then.
    pub(super) fn grow_to(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.bytes);
        let Some(left) = self.fetching.left.get().checked_sub(more) else { return false };
        self.fetching.left.set(left);
        self.bytes += more;
        true
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.fetching.left.set(self.fetching.left.get() + self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_held_by_one_and_comes_back() {
        let fetching = Fetching::new(100);
        let mut one = fetching.hold();
        assert!(one.grow_to(60) && one.grow_to(40) && !one.grow_to(101));
        let mut other = fetching.hold();
        assert!(!other.grow_to(41) && other.grow_to(40));
        drop(one);
        assert!(other.grow_to(100));
        drop(other);
        assert_eq!(fetching.left.get(), 100);
    }
}
