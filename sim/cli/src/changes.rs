//! What the command line changes of a scenario before it is run: each change makes a scenario of its own, with a hash of its
//! own, so that nobody takes the one for the other.

use clap::Args;
use programs::Problem;
use scenarios::scenario::Sampling;
use scenarios::{Scenario, derive};

/// The changes.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Changes {
    /// Follows every key of the caches, whatever run.sampling says
    #[arg(long, conflicts_with = "sample")]
    exact: bool,
    /// Follows this share of the caches' keys, whatever run.sampling says: 1/64
    #[arg(long, value_name = "SHARE", value_parser = str::parse::<Sampling>)]
    sample: Option<Sampling>,
    /// Leaves out faults and breakdowns
    #[arg(long)]
    skip_faults: bool,
}

impl Changes {
    /// The scenario as it is to be run.
    pub(crate) fn apply(self, mut scenario: Scenario) -> Result<Scenario, Problem> {
        let sampling = if self.exact { Some(Sampling::Exact) } else { self.sample };
        if let Some(sampling) = sampling.filter(|sampling| *sampling != scenario.run.sampling) {
            scenario = derive::with_sampling(&scenario, sampling).map_err(Problem::configuration)?.scenario;
        }
        if self.skip_faults && scenario.breaks() {
            scenario = derive::without_faults(&scenario).map_err(Problem::configuration)?.scenario;
        }
        Ok(scenario)
    }
}
