//! The reference stack as the run's system.

use loadgen::system::{Problem as SystemProblem, Reading, System};
use loadgen::{Entries, Entry};
use programs::Problem;
use reference::client::Stack;
use scenarios::Scenario;

/// A stack that was started for this run and ends with it.
#[derive(Debug)]
pub(crate) struct StackSystem {
    stack: Stack,
}

impl StackSystem {
    pub(crate) fn start(scenario: &Scenario) -> Result<Self, Problem> {
        match Stack::start_scenario(scenario) {
            Ok(stack) => Ok(Self { stack }),
            Err(reference::client::Error::Scenario(problems)) => Err(problems.into()),
            Err(error) => Err(Problem::Failure(error.into())),
        }
    }

    /// Where each traffic goes in.
    pub(crate) fn entries(&self, scenario: &Scenario) -> Result<Entries, Problem> {
        let mut by_traffic = Vec::new();
        for traffic in &scenario.traffic {
            let name = &scenario.component(traffic.to).name;
            let addresses = self.stack.entry(name);
            // All instances are one site to those who ask, and to the caches behind them, so they have one name.
            let entries: Vec<Entry> = addresses
                .into_iter()
                .map(|address| Entry { address: address.into(), host: name.clone() })
                .collect();
            if entries.is_empty() {
                return Err(anyhow::anyhow!("the stack has no entry for traffic.{}", traffic.name).into());
            }
            by_traffic.push(entries);
        }
        Ok(Entries { by_traffic, base_path: String::new(), tls: None })
    }
}

impl System for StackSystem {
    fn begin(&self) -> Result<(), SystemProblem> {
        Ok(self.stack.begin()?)
    }

    fn begin_fault(&self, fault: usize) -> Result<(), SystemProblem> {
        Ok(self.stack.begin_fault(fault)?)
    }

    fn end_fault(&self, fault: usize) -> Result<(), SystemProblem> {
        Ok(self.stack.end_fault(fault)?)
    }

    fn stats(&self) -> Result<Vec<Reading>, SystemProblem> {
        let reading = |stats: reference::client::InstanceStats| Reading {
            component: stats.component,
            // The stack counts as files do.
            instance: stats.instance.saturating_sub(1),
            metrics: stats.metrics,
        };
        Ok(self.stack.stats()?.into_iter().map(reading).collect())
    }
}
