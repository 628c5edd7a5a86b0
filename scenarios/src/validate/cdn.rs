//! Content delivery networks.

use super::Validator;
use crate::scenario::{Cdn, ClassId, ComponentId, EdgeRule};
use crate::wire;

impl Validator<'_> {
    pub(super) fn cdn(
        &mut self,
        at: &str,
        file: &wire::Cdn,
        components: &[(String, wire::Component)],
    ) -> Cdn {
        let to_at = format!("{at}.to");
        let to = file.to.as_ref().and_then(|to| self.resolve(|v| &v.components, &to_at, to));
        if let Some(to) = to {
            self.takes_requests(&to_at, &components[usize::from(to)].1);
        }
        let mut serves = Vec::new();
        for (name, share) in &file.hit_ratio.0 {
            let at = format!("{at}.hit_ratio.{name}");
            if share.get() > 1.0 {
                self.problem(&at, "at most 100%", None);
            }
            serves.extend(self.edge_class(&at, name).map(|class| (class, EdgeRule::Share(*share))));
        }
        for (name, ttl) in &file.ttl.0 {
            let at = format!("{at}.ttl.{name}");
            let ttl = self.positive(&at, *ttl);
            if file.hit_ratio.0.iter().any(|(other, _)| other == name) {
                self.problem(&at, format!("either a ttl or a hit_ratio for \"{name}\""), None);
            }
            serves.extend(self.edge_class(&at, name).map(|class| (class, EdgeRule::Kept(ttl))));
        }
        Cdn { to: ComponentId(to.unwrap_or(0)), serves, latency: file.latency, price: file.price.clone() }
    }

    /// A class that an edge may answer: one that only reads.
    fn edge_class(&mut self, at: &str, name: &str) -> Option<ClassId> {
        let class = self.resolve_key(|v| &v.classes, at, name)?;
        let files = self.file.requests.iter().flat_map(|r| &r.0);
        let reads = files.into_iter().any(|(n, c)| n == name && c.method == crate::scenario::Method::Get);
        if !reads {
            self.problem(at, "a class with the method GET", None);
        }
        Some(ClassId(class))
    }
}
