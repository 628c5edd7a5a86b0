//! Orders of numbered entries, in which each can be moved to the end at once: doubly linked lists in a vector.

const NONE: u32 = u32::MAX;

/// What stands before and after each entry; of any number of lists of which each entry is in one at most.
#[derive(Debug, Default)]
pub(super) struct Links(Vec<(u32, u32)>);

/// Where a list begins and ends.
#[derive(Debug)]
pub(super) struct Ends {
    first: u32,
    last: u32,
}

impl Default for Ends {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl Ends {
    /// The entry that was not moved for the longest time.
    pub(super) fn first(&self) -> Option<u32> {
        (self.first != NONE).then_some(self.first)
    }
}

impl Links {
    /// Puts an entry that is in no list at the end of this one.
    pub(super) fn push(&mut self, list: &mut Ends, id: u32) {
        let at = id as usize;
        if self.0.len() <= at {
            self.0.resize(at + 1, (NONE, NONE));
        }
        self.0[at] = (list.last, NONE);
        match list.last {
            NONE => list.first = id,
            last => self.0[last as usize].1 = id,
        }
        list.last = id;
    }

    /// Takes an entry out of the list that it is in.
    pub(super) fn remove(&mut self, list: &mut Ends, id: u32) {
        let (before, after) = self.0[id as usize];
        match before {
            NONE => list.first = after,
            before => self.0[before as usize].1 = after,
        }
        match after {
            NONE => list.last = before,
            after => self.0[after as usize].0 = before,
        }
    }

    /// Moves an entry to the end of the list that it is in.
    pub(super) fn move_to_end(&mut self, list: &mut Ends, id: u32) {
        if list.last != id {
            self.remove(list, id);
            self.push(list, id);
        }
    }
}

/// One list.
#[derive(Debug, Default)]
pub(super) struct List {
    links: Links,
    ends: Ends,
}

impl List {
    /// The entry that was not moved for the longest time.
    pub(super) fn first(&self) -> Option<u32> {
        self.ends.first()
    }

    /// Puts an entry that is not in it at the end.
    pub(super) fn push(&mut self, id: u32) {
        self.links.push(&mut self.ends, id);
    }

    /// Takes an entry out that is in it.
    pub(super) fn remove(&mut self, id: u32) {
        self.links.remove(&mut self.ends, id);
    }

    /// Moves an entry that is in it to the end.
    pub(super) fn move_to_end(&mut self, id: u32) {
        self.links.move_to_end(&mut self.ends, id);
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
