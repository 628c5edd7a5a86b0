//! Steps that leave the service, as written.

use super::decode::{self, Decode, Decoder, Definitions, Node};
use crate::law::DurationLaw;
use crate::units::{Ratio, SimTime};

table! {
    /// A synchronous call: `to` with exactly one of `class`, `work`, `wait`.
    Call {
        /// The service, or the balancer before it.
        required to: String,
        /// The request class whose steps the other service walks.
        optional class: String,
        /// Processor time that the other service takes.
        optional work: DurationLaw,
        /// Time without a processor that the other service takes.
        optional wait: DurationLaw,
    }
}

table! {
    /// A web service of somebody else.
    ThirdParty {
        /// How long its answers take.
        required latency: DurationLaw,
        /// The share of calls that fail.
        default error: Ratio = Ratio::new(0.0),
        /// How long an answer is waited for; the call has failed then.
        optional timeout: SimTime,
        /// Whether a request fails when this call fails; else it goes on without the answer.
        default required: bool = true,
    }
}
