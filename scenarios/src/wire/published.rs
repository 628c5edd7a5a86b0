//! What must come out of a scenario, as written: figures that somebody published, and outcomes that must hold.

use crate::scenario::{Role, SaidOf};
use crate::units::Ratio;

use super::prelude::*;

words! { Role {
    "predicted" => Predicted,
    "derived" => Derived,
    "fitted" => Fitted,
    "input" => Input,
    "outside" => Outside,
} }

words! { SaidOf {
    "score" => Score,
    "play" => Play,
} }

table! {
    /// A figure that somebody published, or an outcome that must hold.
    Published {
        /// What it is.
        required what: String,
        /// What it is held against: a metric of requests (`response_time{avg}`, `failed{rate,class:list}`), a failure's kind
        /// (`failures.lost_session{count}`), or what was observed of a component or of a machine (`varnish.hit_ratio{rate}`,
        /// `objects.keys_with_ttl{min}`), or when that was first below or above a number, in time of the measured part
        /// (`host:box.cpu_credits{below(1)}`).
        optional metric: String,
        /// The published value, in the metric's unit.
        optional value: String,
        /// How far off is still a reproduction.
        optional tolerance: Ratio,
        /// Instead of a value, what must hold: `<0.1%`, `>0`.
        optional holds: String,
        /// `predicted` where the value must follow; `derived` where it was not published and is worked out from figures that were, or that
        /// the file states, so that the model can only agree with the arithmetic; `fitted` where parameters were chosen so that it does, which then is no
        /// success; `input` where it is put into the file; `outside` where the file cannot tell.
        default role: Role = Role::Predicted,
        /// The variant of the file that it is about.
        optional variant: String,
        /// Which part it is about: `score` for what cannot be said of the part that `[play]` names, `play` for what is said of that
        /// part alone. Without it of both.
        optional of: SaidOf,
        /// Which other published figure it contradicts, and what follows.
        optional contradicts: String,
        /// Where it was published.
        optional source: String,
        /// What the file assumes for it that the source does not say.
        optional assumed: String,
    }
}
