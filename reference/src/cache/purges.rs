//! What was thrown out while fetches were under way: what they bring is from before, and must not stand in its place.

use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::ban::Ban;

/// Remembered at most, in number and in bytes: whoever asks chooses how long an address is. Fetches from before the oldest are
/// taken to be concerned.
const REMEMBERED: usize = 4096;
const REMEMBERED_BYTES: usize = 4 << 20;

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
    /// What those take of memory.
    bytes: usize,
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

impl Purge {
    fn bytes(&self) -> usize {
        let more = match self {
            Self::Address(text) | Self::Beginning(text) | Self::Tag(text) => text.len(),
            Self::Ban(ban) => ban.bytes(),
            Self::All => 0,
        };
        size_of::<Self>() + more
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
            self.bytes = 0;
            return;
        }
        let purge = purge();
        self.bytes += purge.bytes();
        self.log.push_back(purge);
        while self.log.len() > REMEMBERED || self.bytes > REMEMBERED_BYTES {
            let oldest = self.log.pop_front().expect("what takes the bytes is in the log");
            self.bytes -= oldest.bytes();
            self.forgotten += 1;
        }
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

    #[test]
    fn what_is_remembered_takes_so_many_bytes_at_most_however_long_it_is() {
        let mut purges = Purges::default();
        let old = purges.begin();
        for _ in 0..REMEMBERED {
            purges.note(|| Purge::Address(vec![b'a'; 32 << 10].into()));
        }
        let bytes: usize = purges.log.iter().map(Purge::bytes).sum();
        assert_eq!(purges.bytes, bytes);
        assert!((REMEMBERED_BYTES / 2..=REMEMBERED_BYTES).contains(&bytes), "{bytes}");
        let concerns = |purges: &Purges, since: &Since| purges.concern(since, b"h/b", &[], |_| false);
        assert!(concerns(&purges, &old), "what it would have to know is forgotten");
        let new = purges.begin();
        purges.note(|| Purge::Address(Box::from(&b"h/c"[..])));
        assert!(!concerns(&purges, &new));
        // As many patterns as fit into a head count for more than may be remembered.
        let expression = ["obj.status ~ 2"; 1_000].join(" && ");
        purges.note(|| Purge::Ban(Ban::read(expression.as_bytes()).expect("an expression")));
        assert!(purges.log.is_empty() && purges.bytes == 0);
        assert!(concerns(&purges, &new));
    }
}
