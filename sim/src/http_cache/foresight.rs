//! Memory that is asked for before a request comes due: what it will be looked up in, and what it will find there.
//!
//! It changes nothing but what the processor has at hand, so a guess is enough.

use crate::front::Due;
use crate::instance::Kind;
use crate::world::World;

use super::instance::Cache;

/// So few caches are all asked for where it is not known which one it will be.
const FEW: usize = 4;

impl World {
    /// Asks for the memory that a request will be looked up in which comes due after so many others: in the cache whose turn
    /// it will be, or in any of them where they are few and that is not known.
    #[inline]
    pub(crate) fn foresee(&self, due: &Due, others: u16) {
        let Some(object) = due.path.object else { return };
        if let Some(cache) = self.foreseen_cache(others) {
            cache.contents.prefetch(object.get());
        } else if self.caches.len() <= FEW {
            self.caches.iter().for_each(|cache| cache.contents.prefetch(object.get()));
        }
    }

    /// Asks for the memory of what it will find, as soon as there is that of [`World::foresee`].
    #[inline]
    pub(crate) fn foresee_object(&self, due: &Due, others: u16) {
        if let Some(object) = due.path.object
            && let Some(cache) = self.foreseen_cache(others)
        {
            cache.contents.prefetch_object(object.get());
        }
    }

    /// The cache whose turn it is after so many other requests, where all come by the only balancer.
    #[inline]
    fn foreseen_cache(&self, others: u16) -> Option<&Cache> {
        let [balancer] = &self.balancers[..] else { return None };
        let server = balancer.servers.foresee(others)?;
        let instance = &self.instances[usize::from(balancer.target.base + server)];
        (instance.kind == Kind::Cache).then(|| &self.caches[usize::from(instance.index)])
    }
}
