//! Content delivery networks, as written.

use crate::law::DurationLaw;
use crate::units::{Ratio, SimTime, TrafficPrice};

use super::prelude::*;

table! {
    /// Answers a part of the requests near the clients and passes the others on (Cloudflare's and CloudFront's role). The ways
    /// to the clients and to the origin are those of its host in `network`.
    Cdn {
        /// Who is asked for the rest: a balancer, a cache or a service.
        required to: String,
        /// By request class, the share of requests that are answered at the edge.
        default hit_ratio: Named<Ratio> = Named::default(),
        /// By request class, how long an answer is kept: a hit is then whatever path was asked for within that time before.
        default ttl: Named<SimTime> = Named::default(),
        /// What the edge itself adds to every request.
        default latency: DurationLaw = DurationLaw::ZERO,
        /// What delivery costs.
        optional price: TrafficPrice,
    }
}
