//! `PURGE`: what is thrown out of the store from outside. By address, or by tags as Varnish's xkey is mostly set up:
//! `xkey-purge` throws out, `xkey-softpurge` makes stale. `BAN` throws out all that the expression in `x-ban` means, or without one all
//! whose address begins with the one named.

use super::Cache;
use super::asked::Asked;
use super::ban::{Ban, Misread};
use super::fields::first;
use super::tags;

impl Cache {
    /// Throws out what a request names; how many answers there were.
    ///
    /// # Errors
    /// Where the expression of a ban is none.
    pub(super) fn purge(&self, asked: &Asked) -> Result<usize, Misread> {
        let now = self.now();
        let mut store = self.store.borrow_mut();
        asked.with(|head| {
            if head.method == "BAN" {
                return match first(head.headers, "x-ban") {
                    Some(expression) => Ok(store.ban(&Ban::read(expression)?, now)),
                    None => Ok(store.purge_beginning(&asked.address)),
                };
            }
            let (mut count, mut by_tag) = (0, false);
            for (name, soft) in [("xkey-purge", false), ("xkey-softpurge", true)] {
                for tag in tags::read(head.headers, name) {
                    by_tag = true;
                    count += store.purge_tag(tag, soft, now);
                }
            }
            Ok(if by_tag { count } else { store.purge_address(&asked.address) })
        })
    }
}
