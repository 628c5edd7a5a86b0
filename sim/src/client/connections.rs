//! The connections of the clients of one traffic that carry no request. Pure: knows which are open, and nothing of requests.

use std::collections::VecDeque;

/// The connections without a request: those that are open, and those that broke and could not be opened again yet.
#[derive(Debug)]
pub(crate) enum Connections {
    /// All lead to the same instance: which one is taken makes no difference.
    Alike { open: u32, lost: u32 },
    /// Those free the longest come first. `of` counts the lost ones by instance.
    Numbered { open: VecDeque<u32>, lost: VecDeque<u32>, of: Vec<u32> },
    /// Each belongs to a user of a closed loop, who has one request at a time: says which are lost, `of` as above, and since
    /// when each is idle, for after `idle_limit` the other end has closed it.
    Own { lost: Vec<bool>, of: Vec<u32>, idle_since: Vec<u64>, idle_limit: u64 },
}

impl Connections {
    /// Connections that are all alike.
    pub(crate) const fn alike(count: u32) -> Self {
        Self::Alike { open: count, lost: 0 }
    }

    /// Connections to so many instances in turn, which whoever has a request takes.
    pub(crate) fn numbered(count: u32, instances: u16) -> Self {
        let of = vec![0; usize::from(instances)];
        Self::Numbered { open: (0..count).collect(), lost: VecDeque::new(), of }
    }

    /// The same, each for one user; the other end closes those that were idle for so many nanoseconds.
    pub(crate) fn own(count: u32, instances: u16, idle_limit: u64) -> Self {
        let (lost, idle_since) = (vec![false; count as usize], vec![0; count as usize]);
        Self::Own { lost, of: vec![0; usize::from(instances)], idle_since, idle_limit }
    }

    /// A connection, and whether it is open: that of the user, or an open one if there is any.
    #[inline]
    pub(super) fn take(&mut self, now: u64, user: impl FnOnce() -> u32) -> Option<(u32, bool)> {
        match self {
            Self::Own { lost, of, idle_since, idle_limit } => {
                let connection = user();
                let was_lost = std::mem::take(&mut lost[connection as usize]);
                let instances = of.len();
                of[connection as usize % instances] -= u32::from(was_lost);
                let closed = now >= idle_since[connection as usize].saturating_add(*idle_limit);
                Some((connection, !was_lost && !closed))
            }
            Self::Alike { open: 0, lost: 0 } => None,
            Self::Alike { open: 0, lost } => {
                *lost -= 1;
                Some((0, false))
            }
            Self::Alike { open, .. } => {
                *open -= 1;
                Some((0, true))
            }
            Self::Numbered { open, lost, of } => open.pop_front().map(|c| (c, true)).or_else(|| {
                let connection = lost.pop_front()?;
                let instances = of.len();
                of[connection as usize % instances] -= 1;
                Some((connection, false))
            }),
        }
    }

    #[inline]
    pub(super) fn give_back(&mut self, now: u64, connection: u32) {
        match self {
            Self::Alike { open, .. } => *open += 1,
            Self::Numbered { open, .. } => open.push_back(connection),
            Self::Own { lost, of, idle_since, .. } => {
                idle_since[connection as usize] = now;
                // It may have been marked while it was in use.
                let was_lost = std::mem::take(&mut lost[connection as usize]);
                let instances = of.len();
                of[connection as usize % instances] -= u32::from(was_lost);
            }
        }
    }

    pub(super) fn set_aside(&mut self, connection: u32) {
        match self {
            Self::Alike { lost, .. } => *lost += 1,
            Self::Numbered { lost, of, .. } => {
                lost.push_back(connection);
                let instances = of.len();
                of[connection as usize % instances] += 1;
            }
            Self::Own { lost, of, .. } => {
                let was_lost = std::mem::replace(&mut lost[connection as usize], true);
                let instances = of.len();
                of[connection as usize % instances] += u32::from(!was_lost);
            }
        }
    }

    #[inline]
    pub(super) fn any_lost(&self) -> bool {
        match self {
            Self::Alike { lost, .. } => *lost > 0,
            Self::Numbered { lost, .. } => !lost.is_empty(),
            Self::Own { of, .. } => of.iter().any(|count| *count > 0),
        }
    }

    /// The open connections to an instance broke.
    pub(super) fn lose(&mut self, instance: u16) {
        match self {
            Self::Alike { open, lost } => *lost += std::mem::take(open),
            Self::Numbered { open, lost, of } => {
                let place = usize::from(instance);
                let (gone, kept) = open.iter().copied().partition(|&c| c as usize % of.len() == place);
                let gone: VecDeque<u32> = gone;
                of[place] += gone.len() as u32;
                lost.extend(gone);
                *open = kept;
            }
            Self::Own { lost, of, .. } => {
                let (place, instances) = (usize::from(instance), of.len());
                lost.iter_mut().skip(place).step_by(instances).for_each(|lost| *lost = true);
                of[place] = lost.iter().skip(place).step_by(instances).count() as u32;
            }
        }
    }

    /// Lost connections are opened again where their instance takes them.
    pub(super) fn reopen(&mut self, takes: impl Fn(u16) -> bool) {
        match self {
            Self::Alike { open, lost } => {
                if takes(0) {
                    *open += std::mem::take(lost);
                }
            }
            Self::Numbered { open, lost, of } => {
                let instances = of.len();
                for (instance, count) in of.iter_mut().enumerate() {
                    // Walking through all of the lost ones pays only where some come back.
                    if *count > 0 && takes(instance as u16) {
                        *count = 0;
                        let (back, rest): (VecDeque<u32>, VecDeque<u32>) =
                            lost.iter().copied().partition(|&c| c as usize % instances == instance);
                        open.extend(back);
                        *lost = rest;
                    }
                }
            }
            Self::Own { lost, of, .. } => {
                let instances = of.len();
                for (instance, count) in of.iter_mut().enumerate() {
                    if *count > 0 && takes(instance as u16) {
                        *count = 0;
                        lost.iter_mut().skip(instance).step_by(instances).for_each(|lost| *lost = false);
                    }
                }
            }
        }
    }
}
