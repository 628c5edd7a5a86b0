//! The cookie that binds a user to a server: HAProxy's `cookie NAME insert indirect nocache` (configuration manual 2.6,
//! section 4.2). The proxy sets it, no server ever sees it, and answers that set it are kept out of shared caches.

use std::io::Write;

/// The server that a request's `Cookie` field names, if it does; what else the field holds is appended to `out`, as a
/// field of its own where it is not empty.
pub(super) fn take_out(name: &str, value: &[u8], out: &mut Vec<u8>) -> Option<usize> {
    let mut server = None;
    let mut separator: &[u8] = b"cookie: ";
    for pair in value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii).filter(|pair| !pair.is_empty()) {
        match value_of(name, pair) {
            Some(value) => server = server.or(number(value)),
            None => {
                out.extend_from_slice(separator);
                out.extend_from_slice(pair);
                separator = b"; ";
            }
        }
    }
    if separator == b"; " {
        out.extend_from_slice(b"\r\n");
    }
    server
}

/// Whether a `Set-Cookie` field sets this cookie.
pub(super) fn sets(name: &str, value: &[u8]) -> bool {
    value_of(name, value.trim_ascii_start()).is_some()
}

/// Appends the fields that bind a user to a server.
pub(super) fn set(name: &str, server: usize, out: &mut Vec<u8>) {
    write!(out, "set-cookie: {name}=s{}; path=/\r\ncache-control: private\r\n", server + 1)
        .expect("writing to a vector cannot fail");
}

fn value_of<'b>(name: &str, pair: &'b [u8]) -> Option<&'b [u8]> {
    pair.strip_prefix(name.as_bytes())?.strip_prefix(b"=")
}

/// Servers are named `s1`, `s2`, …, so that a change of their addresses moves nobody.
fn number(value: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(value.strip_prefix(b"s")?).ok()?;
    digits.parse::<usize>().ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_taken_out_and_the_others_stay() {
        for (field, server, rest) in [
            ("SRV=s2", Some(1), ""),
            ("a=b; SRV=s3; c=d", Some(2), "cookie: a=b; c=d\r\n"),
            ("SRV=s1;SRV=s2 ; x", Some(0), "cookie: x\r\n"),
            ("XSRV=s1; SRVX=s1", None, "cookie: XSRV=s1; SRVX=s1\r\n"),
            ("SRV=s0", None, ""),
            ("SRV=-1", None, ""),
            ("SRV=s99999999999999999999999", None, ""),
            ("; ;", None, ""),
        ] {
            let mut out = Vec::new();
            assert_eq!(take_out("SRV", field.as_bytes(), &mut out), server, "{field}");
            assert_eq!(String::from_utf8_lossy(&out), rest, "{field}");
        }
    }

    #[test]
    fn what_is_set_is_understood_again() {
        let mut out = Vec::new();
        set("SRV", 11, &mut out);
        let text = String::from_utf8(out).expect("ASCII");
        assert_eq!(text, "set-cookie: SRV=s12; path=/\r\ncache-control: private\r\n");
        assert!(sets("SRV", b" SRV=s12; path=/") && !sets("SRV", b"S=1; SRV=s12"));
        assert_eq!(number(b"s12"), Some(11));
    }
}
