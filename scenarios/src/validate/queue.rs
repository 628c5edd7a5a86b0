//! Message queues.

use super::Validator;
use crate::scenario::{Action, ClassId, Component, ComponentId, ComponentKind, Queue};
use crate::wire;

impl Validator<'_> {
    pub(super) fn queue(
        &mut self,
        at: &str,
        file: &wire::Queue,
        files: &[(String, wire::Component)],
    ) -> Queue {
        let to_at = format!("{at}.to");
        let to = file.to.as_ref().and_then(|name| self.resolve(|v| &v.components, &to_at, name));
        let is = |id: u16, fits: fn(&wire::ComponentKind) -> bool| {
            files.get(usize::from(id)).and_then(|(_, c)| c.kind.as_ref()).is_none_or(fits)
        };
        if to.is_some_and(|id| !is(id, |kind| matches!(kind, wire::ComponentKind::Service(_)))) {
            self.problem(&to_at, "a service", None);
        }
        let class_at = format!("{at}.class");
        let class = file.class.as_ref().and_then(|name| self.resolve(|v| &v.classes, &class_at, name));
        let dead_at = format!("{at}.dead_letters");
        let dead =
            file.dead_letters.as_ref().and_then(|name| self.resolve(|v| &v.components, &dead_at, name));
        if dead.is_some_and(|id| !is(id, |kind| matches!(kind, wire::ComponentKind::Queue(_)))) {
            self.problem(&dead_at, "a queue", None);
        }
        if dead.is_some_and(|id| {
            files.get(usize::from(id)).is_some_and(|(name, _)| at == format!("components.{name}"))
        }) {
            self.problem(&dead_at, "another queue", None);
        }
        Queue {
            to: ComponentId(to.unwrap_or(0)),
            class: ClassId(class.unwrap_or(0)),
            prefetch: file.prefetch.0 as u32,
            max_length: file.max_length.map(|most| most.0 as u32),
            overflow: file.overflow,
            durable: file.durable,
            deliveries: file.deliveries.0 as u32,
            dead_letters: dead.map(ComponentId),
            heartbeat: self.positive(&format!("{at}.heartbeat"), file.heartbeat),
        }
    }

    /// A message to a queue: whom to, and the action.
    pub(super) fn publish(
        &mut self,
        at: &str,
        file: &wire::Publish,
        components: &[Component],
    ) -> Option<(Option<ComponentId>, Action)> {
        let to_at = format!("{at}.to");
        let id = self.resolve(|v| &v.components, &to_at, file.to.as_ref()?)?;
        self.expect_kind(&to_at, id, components, "a queue", |kind| matches!(kind, ComponentKind::Queue(_)));
        Some((Some(ComponentId(id)), Action::Publish))
    }
}
