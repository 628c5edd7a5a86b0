//! What of a run was exact, what was sampled, and what that costs in error.
//!
//! Each component kind whose model is not exact adds its note here, so that a record says so.

use results::ModelNote;

use crate::instance::Kind;
use crate::world::World;

impl World {
    /// The notes of this world.
    pub(crate) fn model_notes(&self) -> Vec<ModelNote> {
        let mut notes = vec![
            ModelNote::new("requests", "every one simulated, with its own draws", "none"),
            ModelNote::new(
                "means, rates and shares",
                "from integer sums and counts",
                "none beyond the model's",
            ),
            ModelNote::new(
                "percentiles",
                "from histograms of three digits by phase and two by interval",
                "0.1% and 1% of the value",
            ),
        ];
        for instance in self.instances.iter().filter(|instance| instance.kind == Kind::Store) {
            let name = &self.sampler.names[usize::from(instance.component)];
            let what = format!("contents of {name}[{}]", instance.number + 1);
            let contents = &self.stores[usize::from(instance.index)].contents;
            notes.push(match contents.one_in {
                1 => ModelNote::new(what, "every key followed, but persistent ones, which stay", "none"),
                one_in => ModelNote::new(
                    what,
                    format!(
                        "the most popular keys and one in {one_in} of the others followed, for all of them"
                    ),
                    format!("hit ratio within 0.01; the noise of a store of 1/{one_in} of the keys"),
                ),
            });
        }
        notes
    }
}
