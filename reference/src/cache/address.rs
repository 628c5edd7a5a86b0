//! What stored answers are found by: the host and the target, made alike.

use super::fields::first;
use super::normalise;
use crate::http::head::RequestHead;

/// Appends the address of a request's resource. The absolute form's own host stands above `Host` (RFC 9112, section 3.2.2).
/// `sorts` says that the order of a query's parameters makes no difference.
pub(super) fn write(head: &RequestHead<'_, '_>, sorts: bool, out: &mut Vec<u8>) {
    let (host, target) = parts(head);
    address(host, target, sorts, out);
}

/// The host and the target in origin form.
pub(super) fn parts<'b>(head: &RequestHead<'_, 'b>) -> (&'b [u8], &'b [u8]) {
    match head.authority {
        Some(authority) => (authority.as_bytes(), head.target.as_bytes()),
        None => (first(head.headers, "host").unwrap_or_default().trim_ascii(), head.target.as_bytes()),
    }
}

/// Appends the address that a `Location` or `Content-Location` names, where that is on the same host (RFC 9111, section
/// 4.4); false where it is not.
pub(super) fn write_referred(
    head: &RequestHead<'_, '_>,
    reference: &[u8],
    sorts: bool,
    out: &mut Vec<u8>,
) -> bool {
    let (own, _) = parts(head);
    let found = resolve(head, reference).filter(|(host, _)| host.eq_ignore_ascii_case(own));
    if let Some((host, target)) = &found {
        address(host, target, sorts, out);
    }
    found.is_some()
}

/// The host and the target that a reference in an answer to this request means; none where it is not HTTP's.
pub(super) fn resolve(head: &RequestHead<'_, '_>, reference: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (host, target) = parts(head);
    let reference = without_fragment(reference.trim_ascii());
    if let Some((other, target)) = absolute(reference) {
        return Some((other.to_vec(), target.to_vec()));
    }
    if reference.starts_with(b"//") || reference.contains(&b':') && !reference.starts_with(b"/") {
        return None;
    }
    let path = target.split(|b| *b == b'?').next().unwrap_or_default();
    let mut resolved = Vec::new();
    if reference.is_empty() {
        resolved.extend_from_slice(target);
    } else if reference.starts_with(b"?") {
        resolved.extend_from_slice(path);
        resolved.extend_from_slice(reference);
    } else {
        if !reference.starts_with(b"/") {
            // Relative to the directory (RFC 3986, section 5.2.3).
            let directory = path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1);
            resolved.extend_from_slice(&path[..directory]);
        }
        resolved.extend_from_slice(reference);
        resolved = without_dots(&resolved);
    }
    Some((host.to_vec(), resolved))
}

fn address(host: &[u8], target: &[u8], sorts: bool, out: &mut Vec<u8>) {
    out.extend(host.iter().map(u8::to_ascii_lowercase));
    if sorts {
        normalise::target(target, out);
    } else {
        out.extend_from_slice(target);
    }
}

/// The host and the target of a URI of this scheme.
fn absolute(uri: &[u8]) -> Option<(&[u8], &[u8])> {
    let after = |prefix: &str| {
        let start = uri.get(..prefix.len())?;
        start.eq_ignore_ascii_case(prefix.as_bytes()).then(|| &uri[prefix.len()..])
    };
    let rest = after("http://").or_else(|| after("https://"))?;
    let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
    let target = &rest[end..];
    Some((&rest[..end], if target.is_empty() { b"/" } else { target }))
}

fn without_fragment(reference: &[u8]) -> &[u8] {
    reference.split(|b| *b == b'#').next().unwrap_or_default()
}

/// Section 5.2.4 of RFC 3986: `.` and `..` are gone along.
fn without_dots(target: &[u8]) -> Vec<u8> {
    let at = target.iter().position(|b| *b == b'?').unwrap_or(target.len());
    let (path, query) = target.split_at(at);
    let mut kept: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|b| *b == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            b"." if is_last => kept.push(b""),
            b"." => {}
            b".." => {
                if kept.len() > 1 {
                    kept.pop();
                }
                if is_last {
                    kept.push(b"");
                }
            }
            _ => kept.push(segment),
        }
    }
    let mut out = kept.join(&b'/');
    out.extend_from_slice(query);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::head::{NO_FIELDS, parse_request};

    fn with_head<R>(text: &str, f: impl FnOnce(&RequestHead<'_, '_>) -> R) -> R {
        let mut fields = NO_FIELDS;
        f(&parse_request(text.as_bytes(), &mut fields).expect("well-formed").expect("whole"))
    }

    fn of(text: &str) -> String {
        let mut out = Vec::new();
        with_head(text, |head| write(head, true, &mut out));
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn hosts_have_no_case_and_the_absolute_form_has_its_own() {
        assert_eq!(of("GET /A?b=1&a=2 HTTP/1.1\r\nHost: Shop:80\r\n\r\n"), "shop:80/A?a=2&b=1");
        assert_eq!(of("GET HTTP://Other/?x HTTP/1.1\r\nHost: shop\r\n\r\n"), "other/?x");
        assert_eq!(of("GET http://other HTTP/1.1\r\nHost: shop\r\n\r\n"), "other/");
    }

    #[test]
    fn references_are_resolved_on_the_same_host_alone() {
        let referred = |reference: &str| {
            let mut out = Vec::new();
            let on_host = with_head("POST /a/b?q HTTP/1.1\r\nHost: shop\r\n\r\n", |head| {
                write_referred(head, reference.as_bytes(), true, &mut out)
            });
            on_host.then(|| String::from_utf8(out).expect("text"))
        };
        assert_eq!(referred("/x#part").as_deref(), Some("shop/x"));
        assert_eq!(referred("x?y").as_deref(), Some("shop/a/x?y"));
        assert_eq!(referred("../x/./y").as_deref(), Some("shop/x/y"));
        assert_eq!(referred("?z").as_deref(), Some("shop/a/b?z"));
        assert_eq!(referred("http://SHOP/x").as_deref(), Some("shop/x"));
        assert_eq!(referred("http://other/x"), None);
        assert_eq!(referred("//other/x"), None);
        assert_eq!(referred("mailto:x"), None);
    }
}
