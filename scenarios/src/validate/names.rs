//! Names and the indices that they stand for.

use crate::diagnostic::nearest;

use super::Validator;

/// The names of one table, in order.
pub(super) struct Names {
    /// What one of them is called in messages.
    what: &'static str,
    /// The table's path.
    table: &'static str,
    names: Vec<String>,
}

impl Names {
    pub(super) fn new<'a>(
        what: &'static str,
        table: &'static str,
        names: impl Iterator<Item = &'a String>,
    ) -> Self {
        Self { what, table, names: names.cloned().collect() }
    }

    pub(super) fn find(&self, name: &str) -> Option<u16> {
        self.names.iter().position(|n| n == name).map(|i| i as u16)
    }

    fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.names.iter().map(String::as_str))
    }

    /// What is expected where a name is unknown, and a hint.
    pub(super) fn unknown(&self, name: &str) -> (String, Option<String>) {
        let hint = self.nearest(name).map(|near| format!("write \"{near}\"")).or_else(|| {
            let some: Vec<&str> = self.names.iter().take(8).map(String::as_str).collect();
            (!some.is_empty()).then(|| format!("there is {}", some.join(", ")))
        });
        (format!("the name of a {} in [{}]", self.what, self.table), hint)
    }
}

impl Validator<'_> {
    /// Resolves the name at a path in one of the tables of names.
    pub(super) fn resolve(&mut self, names: fn(&Self) -> &Names, at: &str, name: &str) -> Option<u16> {
        let found = names(self).find(name);
        if found.is_none() {
            let (expected, hint) = names(self).unknown(name);
            self.problem(at, expected, hint);
        }
        found
    }

    /// Resolves a name inside a longer text, which `whole` writes again with the right name.
    pub(super) fn resolve_in(
        &mut self,
        names: fn(&Self) -> &Names,
        at: &str,
        name: &str,
        whole: impl Fn(&str) -> String,
    ) -> Option<u16> {
        let found = names(self).find(name);
        if found.is_none() {
            let (expected, hint) = names(self).unknown(name);
            let near = names(self).nearest(name).map(|near| format!("write \"{}\"", whole(near)));
            self.problem(at, expected, near.or(hint));
        }
        found
    }

    /// Resolves the name that is itself the key at a path.
    pub(super) fn resolve_key(&mut self, names: fn(&Self) -> &Names, at: &str, name: &str) -> Option<u16> {
        let found = names(self).find(name);
        if found.is_none() {
            let (expected, hint) = names(self).unknown(name);
            self.d.key_problem(at, name, expected, hint);
        }
        found
    }
}
