//! Requests that mean the same are made alike, so that they find the same answer: the order of a query's parameters, and
//! fields of which a few values only make a difference.

use std::collections::BTreeMap;

use super::language::{self, Languages};

/// Fields whose many values stand for few: a number in such a field is taken modulo the number of values that count, and
/// preferences of languages are the one of the site's that they choose.
///
/// Numbers stand for what a site's own rules do, to a user's group say: the scenario says how many values come and how many are
/// left.
#[derive(Clone, Debug, Default)]
pub(super) struct Normaliser {
    values: BTreeMap<Box<str>, u64>,
    languages: Option<Languages>,
}

impl Normaliser {
    /// By names in lower case, and the number of values that count.
    pub(super) fn new(rules: impl Iterator<Item = (String, u32)>) -> Self {
        let values = rules.map(|(name, values)| (name.into(), u64::from(values.max(1)))).collect();
        Self { values, languages: None }
    }

    /// The same, for a site of these languages.
    pub(super) fn with_languages(self, languages: Option<Languages>) -> Self {
        Self { languages, ..self }
    }

    /// The languages that all lines of a field choose one of; none where they do not.
    pub(super) fn languages(&self, name: &str) -> Option<&Languages> {
        self.languages.as_ref().filter(|_| name.eq_ignore_ascii_case(language::NAME))
    }

    /// A field's value made alike; none where it stays as it is. `name` is in lower case.
    pub(super) fn normal(&self, name: &str, value: &[u8]) -> Option<String> {
        let values = self.values.get(name)?;
        let number: u64 = std::str::from_utf8(value).ok()?.trim_ascii().parse().ok()?;
        Some((number % values).to_string())
    }

    /// Whether there is nothing to be made alike.
    pub(super) fn is_idle(&self) -> bool {
        self.values.is_empty() && self.languages.is_none()
    }
}

/// Appends a target, with its query's parameters in the order of their names; those of one name stay as they are.
pub(super) fn target(target: &[u8], out: &mut Vec<u8>) {
    let Some(at) = target.iter().position(|b| *b == b'?') else {
        return out.extend_from_slice(target);
    };
    let (path, query) = target.split_at(at);
    out.extend_from_slice(path);
    let mut parameters: Vec<&[u8]> = query[1..].split(|b| *b == b'&').filter(|p| !p.is_empty()).collect();
    parameters.sort_by_key(|parameter| name(parameter));
    for (number, parameter) in parameters.into_iter().enumerate() {
        out.push(if number == 0 { b'?' } else { b'&' });
        out.extend_from_slice(parameter);
    }
}

fn name(parameter: &[u8]) -> &[u8] {
    parameter.split(|b| *b == b'=').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn normal(text: &str) -> String {
        let mut out = Vec::new();
        target(text.as_bytes(), &mut out);
        String::from_utf8(out).expect("made of the input's parts")
    }

    #[test]
    fn the_order_of_parameters_makes_no_difference_but_that_within_a_name_does() {
        assert_eq!(normal("/a?c=1&b=2&&a"), "/a?a&b=2&c=1");
        assert_eq!(normal("/a?b=2&c=1&a"), normal("/a?c=1&b=2&a"));
        assert_ne!(normal("/a?b=2&b=1"), normal("/a?b=1&b=2"));
        assert_eq!(normal("/a?"), "/a");
    }

    #[test]
    fn numbers_are_taken_modulo_the_values_that_count() {
        let normaliser = Normaliser::new([("x-group".to_owned(), 3)].into_iter());
        assert_eq!(normaliser.normal("x-group", b"7"), Some("1".to_owned()));
        assert_eq!(normaliser.normal("x-group", b"admins"), None);
        assert_eq!(normaliser.normal("x-other", b"7"), None);
    }

    proptest! {
        #[test]
        fn what_was_made_alike_stays_as_it_is(text in "/[a-z]{0,3}(\\?[a-c=&0-2]{0,20})?") {
            prop_assert_eq!(normal(&normal(&text)), normal(&text));
        }
    }
}
