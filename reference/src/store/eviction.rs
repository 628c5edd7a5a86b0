//! The pool of candidates for eviction, as Redis keeps it (evict.c since 3.0): sixteen keys in order of idleness, kept
//! from one eviction to the next, so that the best of many samples is found with few of them each time.

use std::rc::Rc;

const POOL_SIZE: usize = 16;

/// Candidates, the least idle first.
#[derive(Debug, Default)]
pub(crate) struct Pool(Vec<(u32, Rc<[u8]>)>);

impl Pool {
    /// Takes a sampled key in, if it is idler than one that is there or there is room. What was known about a key's
    /// idleness when it was sampled stays, even where the key is used again: Redis does not look again either.
    pub(crate) fn offer(&mut self, idle_s: u32, key: Rc<[u8]>) {
        let place = self.0.iter().position(|(idle, _)| *idle >= idle_s).unwrap_or(self.0.len());
        if self.0.len() < POOL_SIZE {
            self.0.insert(place, (idle_s, key));
        } else if place > 0 {
            // Full: the least idle leaves.
            self.0.insert(place, (idle_s, key));
            self.0.remove(0);
        }
    }

    /// Removes and returns the idlest.
    pub(crate) fn take_best(&mut self) -> Option<Rc<[u8]>> {
        self.0.pop().map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pool_keeps_the_idlest() {
        let mut pool = Pool::default();
        for idle in [5, 3, 9, 1, 7, 7, 2, 8, 4, 6, 10, 12, 11, 14, 13, 15, 16, 0, 20] {
            pool.offer(idle, idle.to_string().into_bytes().into());
        }
        let order: Vec<_> = std::iter::from_fn(|| pool.take_best()).collect();
        assert_eq!(order.len(), POOL_SIZE);
        assert_eq!(&*order[0], b"20");
        assert_eq!(&*order[POOL_SIZE - 1], b"3", "0, 1 and 2 found no place");
    }
}
