//! Content delivery networks.

use super::{ClassId, ComponentId};
use crate::law::DurationLaw;
use crate::units::{Ratio, SimTime, TrafficPrice};

/// Cloudflare's and CloudFront's role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Cdn {
    /// Who is asked for what is not answered at the edge.
    pub to: ComponentId,
    /// What is answered at the edge. Classes that are not named always go to the origin.
    pub serves: Vec<(ClassId, EdgeRule)>,
    /// What the edge itself adds to every request.
    pub latency: DurationLaw,
    /// What delivery costs.
    pub price: Option<TrafficPrice>,
}

/// Which requests of a class are answered at the edge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EdgeRule {
    /// A share of them, drawn for each.
    Share(Ratio),
    /// Those for a path whose good answer is younger than this. The edge never runs out of room.
    Kept(SimTime),
}
