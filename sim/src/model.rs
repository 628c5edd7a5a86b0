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
            notes.push(ModelNote::new(what, "every key followed", "none"));
        }
        notes
    }
}
