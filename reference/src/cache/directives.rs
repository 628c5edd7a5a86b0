//! `Cache-Control` of answers (RFC 9111, section 5.2), and the fields that say the same to some caches only:
//! `CDN-Cache-Control` (RFC 9213) and `Surrogate-Control` (W3C's Edge Architecture note of 2001).

use std::time::Duration;

use httparse::Header;

use super::fields::values;

/// What this cache calls itself in `Surrogate-Capability`, and is called in `Surrogate-Control`.
pub(super) const SURROGATE: &str = "rehearsal";

/// A lifetime that is longer than any that can be told: RFC 9111, section 1.2.2.
pub(super) const LONGEST_SECONDS: u64 = 1 << 31;

/// What an answer says about its keeping. Of a directive that stands there twice, the first counts (section 4.2.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Directives {
    pub(super) max_age: Option<Duration>,
    pub(super) s_maxage: Option<Duration>,
    /// RFC 5861, section 3.
    pub(super) stale_while_revalidate: Option<Duration>,
    /// RFC 5861, section 4.
    pub(super) stale_if_error: Option<Duration>,
    /// Not a standard's: how long it is kept after that for a conditional fetch, Varnish's `keep`.
    pub(super) keep: Option<Duration>,
    pub(super) no_store: bool,
    pub(super) no_cache: bool,
    pub(super) private: bool,
    pub(super) public: bool,
    pub(super) must_revalidate: bool,
    pub(super) proxy_revalidate: bool,
    pub(super) must_understand: bool,
    pub(super) only_if_cached: bool,
    /// `content="ESI/1.0"`: the answer is a page that includes others.
    pub(super) esi: bool,
}

impl Directives {
    /// Of `Cache-Control` alone, as in a request.
    pub(super) fn plain(headers: &[Header<'_>]) -> Self {
        Self::read(headers, "cache-control", false)
    }

    /// Of an answer: the field that is meant for this cache the most decides alone.
    pub(super) fn of_answer(headers: &[Header<'_>]) -> Self {
        let surrogate = Self::read(headers, "surrogate-control", true);
        let decides = |d: &Self| d.no_store || d.max_age.is_some();
        if decides(&surrogate) {
            return surrogate;
        }
        let targeted = Self::read(headers, "cdn-cache-control", false);
        let named = values(headers, "cdn-cache-control").any(|value| !value.trim_ascii().is_empty());
        let plain = if named { targeted } else { Self::plain(headers) };
        Self { esi: surrogate.esi, ..plain }
    }

    fn read(headers: &[Header<'_>], name: &str, targeted: bool) -> Self {
        let mut directives = Self::default();
        for line in values(headers, name) {
            for directive in split(line, b',') {
                directives.add(directive, targeted);
            }
        }
        directives
    }

    fn add(&mut self, directive: &[u8], targeted: bool) {
        let mut directive = directive;
        if targeted {
            let mut parts = split(directive, b';');
            directive = parts.next().unwrap_or_default();
            // A directive with targets is for those alone.
            let mut for_us = None;
            for target in parts {
                let is_ours = target.eq_ignore_ascii_case(SURROGATE.as_bytes());
                for_us = Some(for_us.unwrap_or(false) || is_ours);
            }
            if for_us == Some(false) {
                return;
            }
        }
        let equals = directive.iter().position(|b| *b == b'=');
        let (name, value) = match equals {
            Some(at) => (&directive[..at], Some(&directive[at + 1..])),
            None => (directive, None),
        };
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        let age = |slot: &mut Option<Duration>| {
            slot.get_or_insert_with(|| seconds(value.unwrap_or_default()));
        };
        if is("max-age") {
            if targeted && self.max_age.is_none() {
                // `max-age=600+60`: for so much longer it may be served stale.
                let text = value.unwrap_or_default();
                if let Some(plus) = text.iter().position(|b| *b == b'+') {
                    self.max_age = Some(seconds(&text[..plus]));
                    self.stale_while_revalidate = Some(seconds(&text[plus + 1..]));
                    return;
                }
            }
            age(&mut self.max_age);
        } else if is("s-maxage") {
            age(&mut self.s_maxage);
        } else if is("stale-while-revalidate") {
            age(&mut self.stale_while_revalidate);
        } else if is("stale-if-error") {
            age(&mut self.stale_if_error);
        } else if is("x-keep") {
            age(&mut self.keep);
        } else if is("content") && targeted {
            self.esi |= unquoted(value.unwrap_or_default()).starts_with(b"ESI/1.0");
        } else {
            self.flag(name);
        }
    }

    /// `no-cache` and `private` may name fields; a cache may take them for unqualified (sections 5.2.2.4, 5.2.2.7), as this
    /// one does.
    fn flag(&mut self, name: &[u8]) {
        let flags: [(&str, &mut bool); 8] = [
            ("no-store", &mut self.no_store),
            ("no-cache", &mut self.no_cache),
            ("private", &mut self.private),
            ("public", &mut self.public),
            ("must-revalidate", &mut self.must_revalidate),
            ("proxy-revalidate", &mut self.proxy_revalidate),
            ("must-understand", &mut self.must_understand),
            ("only-if-cached", &mut self.only_if_cached),
        ];
        for (text, flag) in flags {
            if name.eq_ignore_ascii_case(text.as_bytes()) {
                *flag = true;
            }
        }
    }
}

/// The parts between separators that stand outside of quoted strings, trimmed; empty ones are left out.
pub(super) fn split(line: &[u8], separator: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = line;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = separator_at(rest, separator);
            let part = rest[..end].trim_ascii();
            rest = &rest[(end + 1).min(rest.len())..];
            if !part.is_empty() {
                return Some(part);
            }
        }
        None
    })
}

/// Where the first separator outside of quotes is, or the end.
fn separator_at(text: &[u8], separator: u8) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if *byte == separator && !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inner @ .., b'"'] => inner,
        _ => value,
    }
}

/// A number of seconds, quoted or not. What is none makes an answer stale (RFC 9111, section 4.2.1), so it is zero.
fn seconds(value: &[u8]) -> Duration {
    let digits = unquoted(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Duration::ZERO;
    }
    let add = |sum: u64, digit: &u8| (sum * 10 + u64::from(digit - b'0')).min(LONGEST_SECONDS);
    Duration::from_secs(digits.iter().fold(0, add))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(fields: &[(&str, &str)]) -> Directives {
        let headers: Vec<_> =
            fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
        Directives::of_answer(&headers)
    }

    fn cache_control(value: &str) -> Directives {
        of(&[("Cache-Control", value)])
    }

    const fn secs(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn names_have_no_case_and_values_may_be_quoted() {
        let d = cache_control("MaX-aGe=\"003600\", No-StOrE, foobar, private=\"a, b\"");
        assert_eq!(d.max_age, secs(3600));
        assert!(d.no_store && d.private && !d.no_cache);
    }

    #[test]
    fn what_stands_in_a_quoted_string_is_no_directive() {
        assert_eq!(cache_control("extension=\"max-age=3600, no-store\", max-age=1").max_age, secs(1));
        assert!(!cache_control("extension=\"a\\\", no-store\"").no_store);
    }

    #[test]
    fn a_lifetime_that_is_no_number_is_over() {
        for value in ["max-age=-1", "max-age='60'", "max-age=1.5", "max-age", "max-age=", "max-age= 5"] {
            assert_eq!(cache_control(value).max_age, secs(0), "{value}");
        }
        assert_eq!(cache_control("max-age =5").max_age, None, "that directive has another name");
        assert_eq!(cache_control("max-age=99999999999999999999").max_age, secs(1 << 31));
    }

    #[test]
    fn the_first_of_two_lifetimes_counts() {
        let d = of(&[("Cache-Control", "max-age=1800"), ("cache-control", "max-age=1, s-maxage=2")]);
        assert_eq!((d.max_age, d.s_maxage), (secs(1800), secs(2)));
    }

    #[test]
    fn the_field_for_surrogates_stands_above_the_one_for_everybody() {
        let d =
            of(&[("Surrogate-Control", "max-age=60+5, content=\"ESI/1.0\""), ("Cache-Control", "no-store")]);
        assert!(d.max_age == secs(60) && d.stale_while_revalidate == secs(5) && d.esi && !d.no_store);
        let page = of(&[("Surrogate-Control", "content=\"ESI/1.0\""), ("Cache-Control", "max-age=5")]);
        assert!(page.esi && page.max_age == secs(5));
        let other = of(&[("Surrogate-Control", "max-age=60;another"), ("Cache-Control", "max-age=5")]);
        assert_eq!(other.max_age, secs(5));
        assert_eq!(of(&[("Surrogate-Control", "max-age=60;rehearsal")]).max_age, secs(60));
        let targeted = of(&[("CDN-Cache-Control", "max-age=60"), ("Cache-Control", "no-store")]);
        assert!(targeted.max_age == secs(60) && !targeted.no_store);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_the_reader(line in proptest::collection::vec(any::<u8>(), 0..80)) {
            let headers = ["cache-control", "surrogate-control"].map(|name| Header { name, value: &line });
            let _ = Directives::of_answer(&headers);
        }

        #[test]
        fn the_order_of_directives_does_not_matter(age in 0_u64..100_000, at in 0_usize..3) {
            let mut parts = vec!["public".to_owned(), "x=\"y,z\"".to_owned()];
            parts.insert(at, format!("max-age={age}"));
            let d = cache_control(&parts.join(", "));
            prop_assert!(d.public && d.max_age == secs(age));
        }
    }
}
