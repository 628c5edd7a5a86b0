//! Servers in order of load, of equals the longest unasked first; every change takes the same small time however many there
//! are, for a load goes up and down by one.

/// No server.
const NONE: u16 = u16::MAX;

#[derive(Clone, Copy, Debug)]
struct Place {
    before: u16,
    after: u16,
    /// Its load; meaningless while it is out.
    load: u32,
    listed: bool,
}

/// A doubly linked list of servers for every load.
#[derive(Clone, Debug)]
pub(crate) struct LeastLoaded {
    places: Vec<Place>,
    /// First and last server of each load.
    lists: Vec<(u16, u16)>,
    /// No list before this one has a server.
    least: usize,
}

impl LeastLoaded {
    /// So many servers, all idle.
    pub(crate) fn new(count: u16) -> Self {
        let place = Place { before: NONE, after: NONE, load: 0, listed: false };
        let mut all = Self { places: vec![place; usize::from(count)], lists: Vec::new(), least: 0 };
        (0..count).for_each(|server| all.set(server, 0));
        all
    }

    /// Puts a server behind all others of its new load.
    #[inline]
    pub(crate) fn set(&mut self, server: u16, load: u32) {
        self.take_out(server);
        let level = load as usize;
        if self.lists.len() <= level {
            self.lists.resize(level + 1, (NONE, NONE));
        }
        let (first, last) = &mut self.lists[level];
        let before = std::mem::replace(last, server);
        self.places[usize::from(server)] = Place { before, after: NONE, load, listed: true };
        if before == NONE {
            *first = server;
        } else {
            self.places[usize::from(before)].after = server;
        }
        self.least = self.least.min(level);
        while self.lists[self.least].0 == NONE {
            self.least += 1;
        }
    }

    /// Takes a server out: it is down.
    #[inline]
    pub(crate) fn take_out(&mut self, server: u16) {
        let Place { before, after, load, listed } = self.places[usize::from(server)];
        if !listed {
            return;
        }
        self.places[usize::from(server)].listed = false;
        let list = &mut self.lists[load as usize];
        if before == NONE {
            list.0 = after;
        } else {
            self.places[usize::from(before)].after = after;
        }
        if after == NONE {
            list.1 = before;
        } else {
            self.places[usize::from(after)].before = before;
        }
    }

    /// The first server but the one to avoid, if its load is below the limit.
    #[inline]
    pub(crate) fn first(&self, avoid: Option<u16>, limit: u32) -> Option<u16> {
        let mut level = self.least;
        while level < self.lists.len() && (level as u64) < u64::from(limit) {
            let mut server = self.lists[level].0;
            while server != NONE {
                if Some(server) != avoid {
                    return Some(server);
                }
                server = self.places[usize::from(server)].after;
            }
            level += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_first_is_always_a_least_loaded_one(changes in proptest::collection::vec((0_u16..6, 0_u32..5, any::<bool>()), 1..200)) {
            let mut lists = LeastLoaded::new(6);
            let mut loads = [Some(0_u32); 6];
            for (server, load, out) in changes {
                if out {
                    lists.take_out(server);
                    loads[usize::from(server)] = None;
                } else {
                    lists.set(server, load);
                    loads[usize::from(server)] = Some(load);
                }
                let least = loads.iter().flatten().min().copied();
                let first = lists.first(None, u32::MAX).and_then(|s| loads[usize::from(s)]);
                prop_assert_eq!(first, least);
                let limited = lists.first(None, 3).and_then(|s| loads[usize::from(s)]);
                prop_assert_eq!(limited, least.filter(|l| *l < 3));
            }
        }
    }
}
