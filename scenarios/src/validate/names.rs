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

    pub(super) fn name(&self, index: u16) -> &str {
        &self.names[usize::from(index)]
    }

    /// What is expected where a name is unknown, and a hint.
    pub(super) fn unknown(&self, name: &str) -> (String, Option<String>) {
        let near = nearest(name, self.names.iter().map(String::as_str));
        let hint = near.map(|near| format!("write \"{near}\"")).or_else(|| {
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
}
