//! What was thrown out while fetches were under way: what they bring is from before, and must not stand in its place.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::ban::Ban;

/// Remembered at most; fetches from before the oldest are taken to be concerned.
const REMEMBERED: usize = 4096;

/// What somebody threw out, or made stale.
#[derive(Clone, Debug)]
pub(super) enum Purge {
    /// An address.
    Address(Box<[u8]>),
    /// All addresses that begin so.
    Beginning(Box<[u8]>),
    /// What has this tag.
    Tag(Box<[u8]>),
    /// What an expression means.
    Ban(Ban),
    /// Everything.
    All,
}

/// What was thrown out lately, as long as somebody may have to know.
#[derive(Debug, Default)]
pub(super) struct Purges {
    log: VecDeque<Purge>,
    /// How many there were before the first in the log.
    forgotten: u64,
    /// Fetches under way.
    fetching: Rc<Cell<usize>>,
}

/// A fetch under way, and what had been thrown out when it began.
#[derive(Debug)]
pub(super) struct Since {
    count: u64,
    fetching: Rc<Cell<usize>>,
}

impl Drop for Since {
    fn drop(&mut self) {
        self.fetching.set(self.fetching.get() - 1);
    }
}

impl Purges {
    /// A fetch begins.
    pub(super) fn begin(&self) -> Since {
        self.fetching.set(self.fetching.get() + 1);
        Since { count: self.forgotten + self.log.len() as u64, fetching: Rc::clone(&self.fetching) }
    }

    /// Something is thrown out.
    pub(super) fn note(&mut self, purge: impl FnOnce() -> Purge) {
        if self.fetching.get() == 0 {
            self.forgotten += self.log.len() as u64;
            self.log.clear();
            return;
        }
        if self.log.len() == REMEMBERED {
            self.log.pop_front();
            self.forgotten += 1;
        }
        self.log.push_back(purge());
    }

    /// Whether an answer of this address with these tags would have been thrown out since its fetch began; `is_meant` says whether an
    /// expression means it.
    pub(super) fn concern(
        &self,
        since: &Since,
        address: &[u8],
        tags: &[Box<[u8]>],
        is_meant: impl Fn(&Ban) -> bool,
    ) -> bool {
        let Some(known) = since.count.checked_sub(self.forgotten) else { return true };
        self.log.iter().skip(known as usize).any(|purge| match purge {
            Purge::Address(purged) => **purged == *address,
            Purge::Beginning(start) => address.starts_with(start),
            Purge::Tag(purged) => tags.contains(purged),
            Purge::Ban(ban) => is_meant(ban),
            Purge::All => true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_is_concerned_by_what_came_after_its_beginning() {
        let mut purges = Purges::default();
        let tags: [Box<[u8]>; 1] = [Box::from(&b"list"[..])];
        let before = purges.begin();
        let concerned = |purges: &Purges, since: &Since| {
            [b"h/a", b"h/b", b"i/a"].map(|address| purges.concern(since, address, &tags, |_| false))
        };
        purges.note(|| Purge::Address(Box::from(&b"h/a"[..])));
        assert_eq!(concerned(&purges, &before), [true, false, false]);
        let after = purges.begin();
        assert_eq!(concerned(&purges, &after), [false; 3]);
        purges.note(|| Purge::Beginning(Box::from(&b"h/"[..])));
        assert_eq!(concerned(&purges, &after), [true, true, false]);
        let later = purges.begin();
        purges.note(|| Purge::Tag(Box::from(&b"other"[..])));
        assert_eq!(concerned(&purges, &later), [false; 3]);
        purges.note(|| Purge::Tag(Box::from(&b"list"[..])));
        assert_eq!(concerned(&purges, &later), [true; 3]);
        let concerns = |purges: &Purges, is_meant| purges.concern(&later, b"h/a", &[], |_| is_meant);
        assert!(!concerns(&purges, true), "nobody banned anything");
        purges.note(|| Purge::Ban(Ban::read(b"req.url == /").expect("an expression")));
        assert!(concerns(&purges, true) && !concerns(&purges, false));
        purges.note(|| Purge::All);
        assert!(concerns(&purges, false));
    }

    #[test]
    fn what_nobody_has_to_know_is_forgotten_and_what_somebody_had_to_know_concerns_him() {
        let mut purges = Purges::default();
        purges.note(|| unreachable!("nobody fetches"));
        let old = purges.begin();
        for _ in 0..=REMEMBERED {
            purges.note(|| Purge::Address(Box::from(&b"h/a"[..])));
        }
        assert_eq!(purges.log.len(), REMEMBERED);
        assert!(purges.concern(&old, b"h/b", &[], |_| false));
        let new = purges.begin();
        assert!(!purges.concern(&new, b"h/a", &[], |_| false));
        drop(old);
        drop(new);
        purges.note(|| unreachable!("nobody fetches any more"));
        assert!(purges.log.is_empty());
    }
}
