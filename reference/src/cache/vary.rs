//! What beside the address tells stored answers apart (RFC 9111, section 4.1).

use std::rc::Rc;

use httparse::Header;

use super::directives::split;
use super::fields::{members, values};
use super::normalise::Normaliser;

/// The names of request fields, in lower case, each once, in order.
pub(super) type Names = Rc<[Box<str>]>;

/// An answer's `Vary`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Vary {
    /// By these fields; none for all alike.
    By(Names),
    /// `*`, in whatever company: no other request is answered with this.
    Everything,
}

impl Vary {
    /// Reads all of an answer's `Vary` fields.
    pub(super) fn read(headers: &[Header<'_>]) -> Self {
        let mut names: Vec<Box<str>> = Vec::new();
        for member in members(headers, "vary") {
            if member == b"*" {
                return Self::Everything;
            }
            names.push(String::from_utf8_lossy(member).to_ascii_lowercase().into());
        }
        names.sort_unstable();
        names.dedup();
        Self::By(names.into())
    }
}

/// Request fields whose members have no order and no case (RFC 9110, section 12.5): only their weights tell them apart.
const PREFERENCES: [&str; 3] = ["accept-language", "accept-encoding", "accept-charset"];

/// Appends what tells a request's variant from others: of each field its name, whether it is there, and its value made
/// alike as RFC 9111, section 4.1 allows: lines put together, white space around commas taken away, preferences in order, or what
/// they choose.
pub(super) fn variant(
    names: &[Box<str>],
    headers: &[Header<'_>],
    normaliser: &Normaliser,
    out: &mut Vec<u8>,
) {
    for name in names {
        out.extend_from_slice(name.as_bytes());
        if let Some(languages) = normaliser.languages(name) {
            // Who says nothing gets a language too.
            out.push(b'=');
            out.extend_from_slice(languages.choose(values(headers, name)).as_bytes());
        } else if PREFERENCES.contains(&&**name) {
            preferences(name, headers, out);
        } else {
            for (number, value) in values(headers, name).enumerate() {
                out.push(if number == 0 { b'=' } else { b',' });
                match normaliser.normal(name, value) {
                    Some(normal) => out.extend_from_slice(normal.as_bytes()),
                    None => members_alike(value, out),
                }
            }
        }
        // No field value holds a line feed, so names and values cannot run into each other.
        out.push(b'\n');
    }
}

fn members_alike(value: &[u8], out: &mut Vec<u8>) {
    for (number, member) in split(value, b',').enumerate() {
        if number > 0 {
            out.push(b',');
        }
        out.extend_from_slice(member);
    }
}

fn preferences(name: &str, headers: &[Header<'_>], out: &mut Vec<u8>) {
    let bare = |member: &[u8]| -> Vec<u8> {
        member.iter().filter(|b| !b.is_ascii_whitespace()).map(u8::to_ascii_lowercase).collect()
    };
    let mut all: Vec<Vec<u8>> = members(headers, name).map(bare).collect();
    all.sort_unstable();
    if values(headers, name).next().is_some() {
        out.push(b'=');
    }
    out.extend_from_slice(&all.join(&b','));
}

#[cfg(test)]
mod tests {
    use super::super::language::Languages;
    use super::*;

    fn headers<'b>(fields: &'b [(&'b str, &'b str)]) -> Vec<Header<'b>> {
        fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect()
    }

    fn variant_of(names: &[&str], fields: &[(&str, &str)]) -> Vec<u8> {
        normal_variant_of(&Normaliser::default(), names, fields)
    }

    fn normal_variant_of(normaliser: &Normaliser, names: &[&str], fields: &[(&str, &str)]) -> Vec<u8> {
        let names: Vec<Box<str>> = names.iter().map(|n| Box::from(*n)).collect();
        let mut out = Vec::new();
        variant(&names, &headers(fields), normaliser, &mut out);
        out
    }

    #[test]
    fn a_star_in_any_company_is_everything() {
        for lines in [&["*"][..], &["*, *"], &["", "*"], &["foo, *"], &["*, foo"], &[", *"]] {
            let fields: Vec<_> = lines.iter().map(|line| ("Vary", *line)).collect();
            assert_eq!(Vary::read(&headers(&fields)), Vary::Everything, "{lines:?}");
        }
        let names: Names = [Box::from("a"), Box::from("b")].into();
        assert_eq!(Vary::read(&headers(&[("Vary", "B, a"), ("vary", "b")])), Vary::By(names));
    }

    #[test]
    fn requests_differ_where_a_named_field_differs_or_is_missing() {
        let one = variant_of(&["foo", "bar"], &[("Foo", "1"), ("Bar", "abc"), ("Baz", "2")]);
        assert_eq!(one, variant_of(&["foo", "bar"], &[("bar", " abc "), ("FOO", "1"), ("Baz", "3")]));
        assert_ne!(one, variant_of(&["foo", "bar"], &[("Foo", "1")]));
        assert_ne!(one, variant_of(&["foo", "bar"], &[("Foo", "1"), ("Bar", "ab")]));
        assert_ne!(variant_of(&["foo"], &[("foo", "")]), variant_of(&["foo"], &[]));
        assert_ne!(variant_of(&["foo"], &[("foo", "\"a, b\"")]), variant_of(&["foo"], &[("foo", "\"a,b\"")]));
        assert_ne!(variant_of(&["a"], &[("a", "1")]), variant_of(&["b"], &[("b", "1")]));
        assert_ne!(
            variant_of(&["a", "b"], &[("a", "x"), ("b", "")]),
            variant_of(&["a", "b"], &[("a", ""), ("b", "x")])
        );
    }

    #[test]
    fn lines_white_space_and_the_order_of_preferences_make_no_difference() {
        assert_eq!(
            variant_of(&["foo"], &[("Foo", "1,  2")]),
            variant_of(&["foo"], &[("Foo", "1"), ("Foo", "2")])
        );
        let languages = |value| variant_of(&["accept-language"], &[("Accept-Language", value)]);
        assert_eq!(languages("en, de;q=0.5"), languages("DE; q=0.5,EN"));
        assert_ne!(languages("en, de;q=0.5"), languages("en, de"));
        assert_ne!(languages(""), variant_of(&["accept-language"], &[]));
    }

    #[test]
    fn requests_that_prefer_the_same_of_a_sites_languages_are_alike() {
        let site = Normaliser::default().with_languages(Languages::new(["en", "de"].into_iter()));
        let of = |fields: &[(&str, &str)]| normal_variant_of(&site, &["accept-language"], fields);
        let german = of(&[("Accept-Language", "de-AT, en;q=0.5")]);
        assert_eq!(german, b"accept-language=de\n");
        assert_eq!(german, of(&[("Accept-Language", "fr"), ("accept-language", "en;q=0.1, de;q=0.2")]));
        assert_ne!(german, of(&[("Accept-Language", "en, de;q=0.5")]));
        assert_eq!(of(&[]), of(&[("Accept-Language", "en-GB")]), "who says nothing gets the first");
    }
}
