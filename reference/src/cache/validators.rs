//! Validators: whether what a client has is still good (RFC 9110, section 13), what a back end is asked for instead of all
//! of an answer, and what becomes of a stored answer that it confirms (RFC 9111, sections 3.2 and 4.3).

use httparse::Header;

use super::date;
use super::directives::split;
use super::fields::{first, has, values, write};

/// Fields of requests that ask under a condition.
pub(super) const CONDITIONS: [&str; 5] =
    ["if-none-match", "if-modified-since", "if-match", "if-unmodified-since", "if-range"];

/// Fields that a 304 does not change in a stored answer: they describe the content that it does not bring.
const NOT_UPDATED: [&str; 7] = [
    "content-length",
    "content-encoding",
    "content-range",
    "content-md5",
    "content-digest",
    "etag",
    "transfer-encoding",
];

/// Whether a client that asks under conditions has the stored answer already: the first matching rule of RFC 9110,
/// section 13.2.2, that concerns a cache (RFC 9111, section 4.3.2).
pub(super) fn is_known(request: &[Header<'_>], stored: &[Header<'_>], now_seconds: i64) -> bool {
    if has(request, "if-none-match") {
        let etag = first(stored, "etag").map(<[u8]>::trim_ascii);
        return values(request, "if-none-match")
            .flat_map(|line| split(line, b','))
            .any(|tag| tag == b"*" || etag.is_some_and(|etag| opaque(etag) == opaque(tag)));
    }
    let since = first(request, "if-modified-since").and_then(|d| date::read(d, now_seconds));
    let changed = first(stored, "last-modified").or_else(|| first(stored, "date"));
    match (since, changed.and_then(|d| date::read(d, now_seconds))) {
        (Some(since), Some(changed)) => changed <= since,
        _ => false,
    }
}

/// Whether a range is wanted of just this answer: there is no `If-Range`, or it is met (section 13.1.5).
pub(super) fn range_applies(request: &[Header<'_>], stored: &[Header<'_>]) -> bool {
    let Some(wanted) = first(request, "if-range").map(<[u8]>::trim_ascii) else { return true };
    let same = |name| first(stored, name).map(<[u8]>::trim_ascii) == Some(wanted);
    // Strong comparison: a weak tag says nothing of bytes.
    if wanted.starts_with(b"\"") { same("etag") } else { !wanted.starts_with(b"W/") && same("last-modified") }
}

/// Appends the conditions that ask whether a stored answer is still good; false where it has no validator.
pub(super) fn write_conditions(stored: &[Header<'_>], out: &mut Vec<u8>) -> bool {
    let (etag, changed) = (first(stored, "etag"), first(stored, "last-modified"));
    if let Some(etag) = etag {
        write("if-none-match", etag, out);
    }
    if let Some(changed) = changed {
        write("if-modified-since", changed, out);
    }
    etag.is_some() || changed.is_some()
}

/// Whether a stored answer's field is replaced by those of that name in a 304.
pub(super) fn is_updated(name: &str, answer: &[Header<'_>]) -> bool {
    has(answer, name) && !NOT_UPDATED.iter().any(|n| n.eq_ignore_ascii_case(name))
}

/// Whether a 304's field goes into the stored answer.
pub(super) fn is_taken(name: &str) -> bool {
    !NOT_UPDATED.iter().any(|n| n.eq_ignore_ascii_case(name))
}

/// An entity tag without its weakness, for the weak comparison (RFC 9110, section 8.8.3.2).
fn opaque(tag: &[u8]) -> &[u8] {
    tag.strip_prefix(b"W/").unwrap_or(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANGED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Mon, 07 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sat, 05 Nov 1994 08:49:37 GMT";

    fn headers<'b>(fields: &'b [(&'b str, &'b str)]) -> Vec<Header<'b>> {
        fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect()
    }

    fn known(request: &[(&str, &str)]) -> bool {
        let stored = [("ETag", "\"abc\""), ("Last-Modified", CHANGED)];
        is_known(&headers(request), &headers(&stored), 0)
    }

    #[test]
    fn tags_are_compared_weakly_and_stand_above_dates() {
        assert!(known(&[("If-None-Match", "\"x\", W/\"abc\"")]));
        assert!(known(&[("If-None-Match", "*")]));
        assert!(
            !known(&[("If-None-Match", "\"x,\"abc\",y\"")]) && known(&[("If-None-Match", "\"x,y\",\"abc\"")])
        );
        assert!(!known(&[("If-None-Match", "\"x\"")]));
        assert!(!known(&[("If-None-Match", "\"x\""), ("If-Modified-Since", LATER)]));
        assert!(known(&[("If-None-Match", "\"abc\""), ("If-Modified-Since", EARLIER)]));
    }

    #[test]
    fn a_date_is_met_from_the_last_change_on() {
        assert!(known(&[("If-Modified-Since", CHANGED)]) && known(&[("If-Modified-Since", LATER)]));
        assert!(!known(&[("If-Modified-Since", EARLIER)]) && !known(&[("If-Modified-Since", "soon")]));
        assert!(!known(&[]));
    }

    #[test]
    fn a_range_is_wanted_of_the_same_bytes() {
        let applies = |value: &str, etag: &str| {
            range_applies(
                &headers(&[("if-range", value)]),
                &headers(&[("etag", etag), ("last-modified", CHANGED)]),
            )
        };
        assert!(applies("\"abc\"", "\"abc\"") && applies(CHANGED, "\"abc\""));
        assert!(
            !applies("\"x\"", "\"abc\"") && !applies("W/\"abc\"", "W/\"abc\"") && !applies(LATER, "\"abc\"")
        );
        assert!(range_applies(&[], &headers(&[("etag", "\"abc\"")])));
    }

    #[test]
    fn content_keeps_the_fields_that_describe_it() {
        let answer = headers(&[("Cache-Control", "max-age=5"), ("Content-Encoding", "gzip")]);
        assert!(is_updated("cache-control", &answer));
        assert!(!is_updated("content-encoding", &answer) && !is_updated("x-other", &answer));
    }
}
