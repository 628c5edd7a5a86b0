//! Steps that leave the service: calls, third parties, parallel steps; and that no call comes back to who waits for it.

use super::Validator;
use super::request::Unfinished;
use crate::law::{DurationLaw, Law};
use crate::scenario::{
    Action, ClassId, Component, ComponentId, ComponentKind, PolicyId, RequestClass, ThirdParty,
};
use crate::wire;
use crate::wire::policy::PolicyReference;
use crate::wire::step as steps;

/// No more calls of one request are followed.
const CALLS_FOLLOWED: usize = 100_000;

/// What a step says beside its action.
pub(super) struct StepFrame {
    pub(super) at: Option<ComponentId>,
    pub(super) policy: Option<PolicyId>,
}

impl Validator<'_> {
    /// The action of a call, and whom it calls.
    pub(super) fn call(
        &mut self,
        at: &str,
        file: &steps::Call,
        components: &[Component],
    ) -> Option<(Option<ComponentId>, Action)> {
        let to = file.to.as_ref().and_then(|name| self.callee(&format!("{at}.to"), name, components));
        let written: Vec<&str> = ["class", "work", "wait"]
            .into_iter()
            .filter(|key| self.written(&format!("{at}.{key}")))
            .collect();
        if written.len() != 1 {
            let found = if written.is_empty() { "none".to_owned() } else { written.join(" and ") };
            let hint = "class has the other service walk that class's steps; work and wait are its only step";
            self.d.problem(at, found, "exactly one of class, work, wait in a call", Some(hint.to_owned()));
            return None;
        }
        let action = match (&file.class, file.work, file.wait) {
            (Some(class), ..) => {
                let class = self.resolve(|v| &v.classes, &format!("{at}.class"), class);
                Action::Call(ClassId(class?))
            }
            (_, Some(work), _) => Action::Work(work),
            (_, _, Some(wait)) => Action::Wait(wait),
            _ => return None,
        };
        Some((to, action))
    }

    /// A component that a service can call.
    pub(super) fn callee(&mut self, at: &str, name: &str, components: &[Component]) -> Option<ComponentId> {
        let id = self.resolve(|v| &v.components, at, name)?;
        self.entry(at, id, components);
        Some(ComponentId(id))
    }

    /// Whether the file has something at a path.
    pub(super) fn written(&self, at: &str) -> bool {
        self.d.locations.get(at).is_some()
    }

    pub(super) fn third_party(&mut self, at: &str, file: &steps::ThirdParty) -> Action {
        if file.error.get() > 1.0 {
            self.problem(&format!("{at}.error"), "at most 100%", None::<String>);
        }
        let timeout = file.timeout.map(|timeout| self.positive(&format!("{at}.timeout"), timeout));
        let latency = file.latency.unwrap_or(DurationLaw::from_nanos(Law::Constant(0.0)));
        Action::ThirdParty(ThirdParty { latency, error: file.error, timeout, required: file.required })
    }

    /// Several steps at once. Steps within them are numbered from the class's next number on.
    pub(super) fn parallel(
        &mut self,
        at: &str,
        file: &wire::decode::List<wire::Step>,
        components: &[Component],
        class: &mut Unfinished,
    ) -> Action {
        if file.0.len() < 2 && self.written(at) {
            self.problem(at, "at least two steps", "a step alone needs no parallel".to_owned());
        }
        let mut branches = Vec::new();
        for (i, step) in &file.0 {
            let at = format!("{at}[{i}]");
            if self.written(&format!("{at}.parallel")) {
                let hint = "let a branch call a class whose steps are parallel".to_owned();
                self.problem(&format!("{at}.parallel"), "no parallel within parallel", hint);
                continue;
            }
            let number = class.next;
            class.next += 1;
            branches.extend(self.step(&at, step, components, number, class));
        }
        Action::Parallel(branches)
    }

    /// The policy of a step.
    pub(super) fn step_policy(&mut self, at: &str, file: &wire::Step, leaves: bool) -> Option<PolicyId> {
        let at = format!("{at}.policy");
        let reference = file.policy.as_ref()?;
        if !leaves {
            let expected = "a policy with a step that asks somebody else only";
            let hint = "a service's own work, serialize and wait, a purge, and parallel as a whole take none"
                .to_owned();
            self.problem(&at, expected, hint);
            return None;
        }
        match reference {
            PolicyReference::Name(name) => self.resolve(|v| &v.policies, &at, name).map(PolicyId),
            PolicyReference::Inline(table) => {
                let policy = self.policy(&at, None, table);
                self.inline_policies.push(policy);
                let named = self.file.policies.0.len();
                Some(PolicyId((named + self.inline_policies.len() - 1) as u16))
            }
        }
    }

    /// Reports each call of a class from which the request comes back to a service that waits for its answer: with all
    /// workers waiting for each other, none is left to answer.
    pub(super) fn no_cycle_of_calls(
        &mut self,
        class: ClassId,
        entry: ComponentId,
        components: &[Component],
        requests: &[RequestClass],
    ) {
        let mut found = Vec::new();
        let mut budget = CALLS_FOLLOWED;
        self.follow(class, &mut vec![entry], components, requests, &mut found, &mut budget);
        found.sort();
        found.dedup();
        for (at, chain) in found {
            let keys = [format!("{at}.at"), format!("{at}.call.to")];
            let at = keys.into_iter().find(|key| self.written(key)).unwrap_or(at);
            if !self.reported_cycles.insert(at.clone()) {
                continue;
            }
            let expected = format!("no way back to a service that waits for the answer ({chain})");
            let hint = "leave at or call out: a service does its own steps";
            self.problem(&at, expected, hint.to_owned());
        }
    }

    fn follow(
        &self,
        class: ClassId,
        chain: &mut Vec<ComponentId>,
        components: &[Component],
        requests: &[RequestClass],
        found: &mut Vec<(String, String)>,
        budget: &mut usize,
    ) {
        let Some(class) = requests.get(class.index()) else { return };
        for step in class.all_steps() {
            let Some(callee) = step.at.and_then(|to| self.served_by(to.0, components)) else { continue };
            *budget = budget.saturating_sub(1);
            if *budget == 0 {
                return;
            }
            if chain.contains(&callee) {
                let names = chain.iter().chain([&callee]).map(|id| components[id.index()].name.as_str());
                let names: Vec<&str> = names.collect();
                found.push((step.place.clone(), names.join(" -> ")));
            } else if let Action::Call(next) = step.action {
                chain.push(callee);
                self.follow(next, chain, components, requests, found, budget);
                chain.pop();
            }
        }
    }

    /// The service that a request meets in the end, walking the balancers.
    pub(super) fn served_by(&self, entry: u16, components: &[Component]) -> Option<ComponentId> {
        let mut at = ComponentId(entry);
        for _ in 0..=components.len() {
            match &components[at.index()].kind {
                ComponentKind::Service(_) => return Some(at),
                kind => at = kind.forwards_to()?,
            }
        }
        None
    }

    /// The component and the policy of a step.
    pub(super) fn step_frame(
        &mut self,
        at: &str,
        file: &wire::Step,
        action: &str,
        called: Option<ComponentId>,
        components: &[Component],
    ) -> StepFrame {
        let mut callee = called;
        if let Some(name) = &file.at {
            let path = format!("{at}.at");
            callee = self.callee(&path, name, components);
            if !["work", "wait"].contains(&action) {
                let expected = format!("at with work or wait only, not with {action}");
                self.problem(&path, expected, None::<String>);
            }
        }
        if file.share.get() > 1.0 {
            self.problem(&format!("{at}.share"), "at most 100%", None::<String>);
        }
        let asks = ["call", "third_party", "get", "mget", "set", "select", "update"];
        let leaves = callee.is_some() || file.at.is_some() || asks.contains(&action);
        StepFrame { at: callee, policy: self.step_policy(at, file, leaves) }
    }
}
