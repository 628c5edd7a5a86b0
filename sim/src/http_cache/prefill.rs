//! What is in a cache at the run's start, as the scenario says: the objects of each class's most popular keys in all variants, the
//! most popular put in last, each fresh for as long as is drawn for it.

use scenarios::Scenario;
use scenarios::plan::{Draws, RequestId};
use scenarios::scenario::HttpCache;
use scenarios::units::SimTime;

use super::contents::{Answer, Contents, Lookup};
use super::rules::{ClassRule, Use};
use crate::front::PathKey;

/// Fills the contents of the `number`-th instance.
pub(super) fn fill(
    contents: &mut Contents,
    scenario: &Scenario,
    cache: &HttpCache,
    draws: &Draws,
    number: u16,
) {
    for &(class, keys) in &cache.prefill {
        let rule = ClassRule::new(scenario.class(class));
        let Use::Keep(ttl_nanos) = rule.what else { continue };
        let ttl = SimTime::from_nanos(ttl_nanos);
        let keyspace = rule.keyspace();
        // Popularity is that of the run's start.
        let start = keyspace.and_then(|id| draws.churn(id)).map(|churn| churn.at(churn.start_nanos()));
        let variants = rule.variants(cache.normalise);
        for rank in (0..keys).rev() {
            let key = start.map_or(rank, |moment| moment.key(rank));
            let path = PathKey { keyspace, key, ..PathKey::NONE };
            // All that the tags name is in the path.
            let tags: Vec<u64> = rule.tags(draws, RequestId(0), path).collect();
            for variant in 0..variants {
                let name = rule.object(class, key, variant, cache.normalise);
                let place = key.wrapping_mul(variants).wrapping_add(variant);
                let left = draws.prefilled_object(class, number.into(), place, ttl);
                if let Lookup::Miss { object, .. } = contents.lookup(name, 0) {
                    let answer = Answer {
                        ttl_nanos: left.as_nanos().max(1),
                        lifetime: class.index() as u16,
                        body_bytes: rule.body_bytes(class, RequestId(0), path, draws),
                        tags: &tags,
                    };
                    contents.keep(object, &answer, 0);
                }
            }
        }
    }
    // What the filling counted is no part of the run.
    contents.take_counts();
}
