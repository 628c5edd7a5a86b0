//! What is in the store before the run: persistent keyspaces entirely, at every start; the most popular keys of cache
//! keyspaces at the first start only, the most popular written last.
//!
//! What lifetime a prefilled key has left counts from the start of the run, of which a store sees the first command.
//! Until then its clock stands still, however long it takes to fill it and to start the others.

use std::io::Write;

use scenarios::plan::Draws;
use scenarios::scenario::KeyspaceId;

use super::data::{Data, Expiry};
use super::eviction::Room;
use super::record::Value;
use super::standing::Standing;
use crate::component::Context;

/// The byte that values are made of.
pub(crate) const FILLER: u8 = b'.';

/// Fills the store from the context's scenario.
pub(crate) fn fill(data: &mut Data, context: &Context) {
    data.clock.stop();
    let scenario = &context.scenario;
    let mut here: Vec<_> =
        scenario.keyspace_ids().filter(|id| scenario.keyspace(*id).store == context.component).collect();
    // Persistent records first, so that cache records get the room that is left.
    here.sort_by_key(|id| !scenario.keyspace(*id).persistent);
    for id in here {
        let keyspace = scenario.keyspace(id);
        if keyspace.persistent {
            let (draws, law) = (context.draws.clone(), keyspace.value);
            let sizes = move |key| draws.value_size(id, key, &law) as usize;
            data.stand(Standing::new(&keyspace.name, keyspace.keys, Box::new(sizes)));
            continue;
        }
        let keys = if context.first_start { keyspace.prefill.min(keyspace.keys) } else { 0 };
        let mut name = Vec::new();
        for key in of_ranks(&context.draws, id, keys) {
            key_name(&mut name, &keyspace.name, key);
            let size = context.draws.value_size(id, key, &keyspace.value) as usize;
            let expiry = match prefill_ttl_ms(context, id, key) {
                Some(ms) => Expiry::In(ms),
                None => Expiry::Never,
            };
            data.set(&name, Value::Padding(size), expiry);
            // Room is made as for any other write. The LRU clock ticks in seconds, so it hardly tells these apart.
            if data.make_room() == Room::None {
                break;
            }
        }
    }
}

/// The keys of the first so many ranks, the most popular last, as popularity is at the run's start.
pub(crate) fn of_ranks(draws: &Draws, id: KeyspaceId, ranks: u64) -> impl Iterator<Item = u64> + use<> {
    let start = draws.churn(id).map(|churn| churn.at(churn.start_nanos()));
    (0..ranks).rev().map(move |rank| start.map_or(rank, |moment| moment.key(rank)))
}

fn prefill_ttl_ms(context: &Context, id: KeyspaceId, key: u64) -> Option<u64> {
    let keyspace = context.scenario.keyspace(id);
    let left = context.draws.prefill_ttl(id, keyspace, key)?;
    Some((left.as_nanos() / 1_000_000).max(1))
}

/// Writes the name of a key: `products:17`.
pub(crate) fn key_name(into: &mut Vec<u8>, keyspace: &str, key: u64) {
    into.clear();
    write!(into, "{keyspace}:{key}").expect("writing to a vector cannot fail");
}
