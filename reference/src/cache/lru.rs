//! An order of numbered entries, in which each can be moved to the end at once: a doubly linked list in a vector.

const NONE: u32 = u32::MAX;

/// The order. An entry is in it at most once.
#[derive(Debug)]
pub(super) struct List {
    links: Vec<(u32, u32)>,
    first: u32,
    last: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { links: Vec::new(), first: NONE, last: NONE }
    }
}

impl List {
    /// The entry that was not moved for the longest time.
    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }

    /// Puts an entry that is not in it at the end.
    pub(super) fn push(&mut self, id: u32) {
        let at = id as usize;
        if self.links.len() <= at {
            self.links.resize(at + 1, (NONE, NONE));
        }
        self.links[at] = (self.last, NONE);
        match self.last {
            NONE => self.first = id,
            last => self.links[last as usize].1 = id,
        }
        self.last = id;
    }

    /// Takes an entry out that is in it.
    pub(super) fn remove(&mut self, id: u32) {
        let (before, after) = self.links[id as usize];
        match before {
            NONE => self.first = after,
            before => self.links[before as usize].1 = after,
        }
        match after {
            NONE => self.last = before,
            after => self.links[after as usize].0 = before,
        }
    }

    /// Moves an entry that is in it to the end.
    pub(super) fn move_to_end(&mut self, id: u32) {
        if self.last != id {
            self.remove(id);
            self.push(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_a_plain_list(moves in proptest::collection::vec((0_u32..8, 0_u8..3), 0..60)) {
            let mut list = List::default();
            let mut plain: Vec<u32> = Vec::new();
            for (id, what) in moves {
                let is_in = plain.contains(&id);
                plain.retain(|other| *other != id);
                match what {
                    0 if is_in => list.remove(id),
                    0 => {}
                    _ => {
                        plain.push(id);
                        if is_in { list.move_to_end(id) } else { list.push(id) }
                    }
                }
                prop_assert_eq!(list.first(), plain.first().copied());
            }
            while let Some(id) = list.first() {
                prop_assert_eq!(id, plain.remove(0));
                list.remove(id);
            }
            prop_assert!(plain.is_empty());
        }
    }
}
