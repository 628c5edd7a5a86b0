//! Which entries have which tag (Varnish's xkey).

use std::collections::{BTreeSet, HashMap};

use httparse::Header;

use super::fields::members;

/// The tags in all fields of this name, as Varnish's xkey has them: with white space or commas between them.
pub(super) fn read<'h, 'b>(headers: &'h [Header<'b>], name: &'h str) -> impl Iterator<Item = &'b [u8]> + 'h {
    members(headers, name).flat_map(|list| list.split(u8::is_ascii_whitespace)).filter(|tag| !tag.is_empty())
}

/// The entries of each tag.
#[derive(Debug, Default)]
pub(super) struct Tags(HashMap<Box<[u8]>, BTreeSet<u32>>);

impl Tags {
    /// An entry has this tag.
    pub(super) fn add(&mut self, tag: &[u8], id: u32) {
        match self.0.get_mut(tag) {
            Some(ids) => drop(ids.insert(id)),
            None => drop(self.0.insert(tag.into(), [id].into())),
        }
    }

    /// It is gone.
    pub(super) fn remove(&mut self, tag: &[u8], id: u32) {
        if let Some(ids) = self.0.get_mut(tag) {
            ids.remove(&id);
            if ids.is_empty() {
                self.0.remove(tag);
            }
        }
    }

    /// The entries with this tag.
    pub(super) fn of(&self, tag: &[u8]) -> Vec<u32> {
        self.0.get(tag).map_or_else(Vec::new, |ids| ids.iter().copied().collect())
    }
}
