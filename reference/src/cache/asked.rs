//! A request of a client, as it is looked up, passed on, and handed to those who fetch for it.

use std::io::Write;
use std::net::IpAddr;

use httparse::Header;

use super::directives::SURROGATE;
use super::fields::{has, write};
use super::normalise::Normaliser;
use super::vary::Names;
use super::{address, language, user_context, validators};
use crate::http::Framing;
use crate::http::head::{NO_FIELDS, RequestHead, connection_options, is_hop_by_hop, parse_request};
use crate::service::{ATTEMPT_HEADER, CLASS_HEADER, REQUEST_HEADER, STEPS_HEADER};

/// A request's head, kept for as long as it takes.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    head: Vec<u8>,
    /// What answers to it are found by.
    pub(super) address: Box<[u8]>,
    pub(super) client: IpAddr,
    /// Whether the order of a query's parameters makes no difference to that.
    sorts: bool,
}

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its answer may be stored, or found.
    LookUp,
    /// It goes to the back end as it is.
    Pass,
    /// It throws something out.
    Purge,
}

impl Kind {
    /// By the method, and by what a lookup could not do justice to.
    pub(super) fn of(head: &RequestHead<'_, '_>) -> Self {
        match head.method {
            "GET" | "HEAD" if head.framing == Framing::Length(0) => {
                // These ask for what only the origin can tell (RFC 9111, section 4.3.2).
                let for_origin =
                    ["if-match", "if-unmodified-since"].iter().any(|name| has(head.headers, name));
                if for_origin { Self::Pass } else { Self::LookUp }
            }
            "PURGE" | "BAN" => Self::Purge,
            _ => Self::Pass,
        }
    }
}

impl Asked {
    /// From the bytes of a whole head, which were parsed before. What is for this hop alone is left out, but for what says
    /// how long the body is and whether the connection stays: a request is looked up, kept under and fetched by the same
    /// fields.
    pub(super) fn new(head: &[u8], client: IpAddr, sorts: bool) -> Self {
        let asked = Self::read(head, client, sorts).expect("the head was parsed before");
        let dropped: Vec<String> = asked.with(|head| {
            let for_this_hop = head.headers.iter().filter(|h| is_for_this_hop(h.name, head.headers));
            for_this_hop.map(|h| h.name.to_owned()).collect()
        });
        if dropped.is_empty() { asked } else { asked.without_any(&dropped) }
    }

    /// From the bytes of a whole head; none where that is not a request's.
    fn read(head: &[u8], client: IpAddr, sorts: bool) -> Option<Self> {
        let mut address = Vec::new();
        let mut fields = NO_FIELDS;
        address::write(&parse_request(head, &mut fields).ok().flatten()?, sorts, &mut address);
        Some(Self { head: head.to_vec(), address: address.into(), client, sorts })
    }

    /// Its bytes.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// The head.
    pub(super) fn with<R>(&self, f: impl FnOnce(&RequestHead<'_, '_>) -> R) -> R {
        let mut fields = NO_FIELDS;
        let head = parse_request(&self.head, &mut fields).ok().flatten();
        f(&head.expect("the head was parsed before"))
    }

    /// The request for a part of the page that this one asks for; none where the reference cannot be asked for here.
    pub(super) fn part(&self, reference: &str) -> Option<Self> {
        // A line feed or a space in an address would be another request.
        if reference.bytes().any(|b| !b.is_ascii_graphic()) {
            return None;
        }
        let mut out = Vec::with_capacity(self.head.len());
        self.with(|head| {
            let (host, target) = address::resolve(head, reference.as_bytes())?;
            out.extend_from_slice(b"GET ");
            out.extend_from_slice(&target);
            out.extend_from_slice(b" HTTP/1.1\r\n");
            write("host", &host, &mut out);
            // Whoever asks for the page asks for its parts, but they are other requests.
            let own = ["host", REQUEST_HEADER, ATTEMPT_HEADER, CLASS_HEADER, STEPS_HEADER];
            for header in end_to_end(head.headers).filter(|h| !is_any(h.name, &own) && !is_of_whole(h.name)) {
                write(header.name, header.value, &mut out);
            }
            out.extend_from_slice(b"\r\n");
            Some(())
        })?;
        // A page may name a host that is none, and the host may be one field too many.
        Self::read(&out, self.client, self.sorts)
    }

    /// The question which group of users the asker belongs to; see `user_context`.
    pub(super) fn context(&self) -> Option<Self> {
        let mut out = Vec::with_capacity(self.head.len());
        self.with(|head| {
            let (host, _) = address::parts(head);
            out.extend_from_slice(format!("GET {} HTTP/1.1\r\n", user_context::PATH).as_bytes());
            write("host", host, &mut out);
            write("accept", user_context::ACCEPTED.as_bytes(), &mut out);
            let told = head
                .headers
                .iter()
                .filter(|h| is_any(h.name, &["cookie", "authorization", "x-forwarded-for"]));
            told.for_each(|header| write(header.name, header.value, &mut out));
        });
        out.extend_from_slice(b"\r\n");
        Self::read(&out, self.client, self.sorts)
    }

    /// The same request with a field more; none where that cannot be.
    pub(super) fn with_field(&self, name: &str, value: &[u8]) -> Option<Self> {
        let mut out = self.head[..self.head.len() - 2].to_vec();
        write(name, value, &mut out);
        out.extend_from_slice(b"\r\n");
        Self::read(&out, self.client, self.sorts)
    }

    /// The same request without the fields of a name.
    pub(super) fn without(self, name: &str) -> Self {
        if self.with(|head| has(head.headers, name)) { self.without_any(&[name]) } else { self }
    }

    /// The same without the fields of these names. The other lines stay as they came, so that what was short enough to be
    /// read still is.
    fn without_any(self, names: &[impl AsRef<str>]) -> Self {
        let is_named = |line: &[u8]| {
            let name = line.split(|b| *b == b':').next().unwrap_or_default();
            names.iter().any(|n| name.eq_ignore_ascii_case(n.as_ref().as_bytes()))
        };
        // The request line has a space before any colon, so no field has its name.
        let lines = self.head.split_inclusive(|b| *b == b'\n').filter(|line| !is_named(line));
        Self { head: lines.flatten().copied().collect(), ..self }
    }

    /// Whether an answer that varies by these is this user's own; see `user_context`.
    pub(super) fn is_personal(&self, names: &Names) -> bool {
        self.with(|head| user_context::is_personal(names, head.headers))
    }

    /// Appends the request that fetches all of what this one asks for, under the conditions of what is stored.
    pub(super) fn write_fetch(
        &self,
        stored: Option<&[Header<'_>]>,
        normaliser: &Normaliser,
        out: &mut Vec<u8>,
    ) {
        self.with(|head| {
            start("GET", head, out);
            let wanted = end_to_end(head.headers).filter(|h| !is_of_whole(h.name));
            rest(wanted, self.client, normaliser, out);
        });
        write_capability(out);
        if let Some(stored) = stored {
            validators::write_conditions(stored, out);
        }
        out.extend_from_slice(b"\r\n");
    }

    /// Appends the head of this request as it is passed on.
    pub(super) fn write_pass(&self, normaliser: &Normaliser, out: &mut Vec<u8>) {
        self.with(|head| {
            start(head.method, head, out);
            let is_length = |h: &&Header<'_>| h.name.eq_ignore_ascii_case("content-length");
            if let Some(length) = head.headers.iter().find(is_length) {
                write(length.name, length.value, out);
            }
            rest(end_to_end(head.headers).filter(|h| !is_length(h)), self.client, normaliser, out);
            if head.framing == Framing::Chunked {
                out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            }
        });
        write_capability(out);
        out.extend_from_slice(b"\r\n");
    }
}

/// Says that pages are put together here (W3C's Edge Architecture Specification).
fn write_capability(out: &mut Vec<u8>) {
    let capability = format!("{SURROGATE}=\"Surrogate/1.0 ESI/1.0\"");
    write("surrogate-capability", capability.as_bytes(), out);
}

fn is_any(name: &str, names: &[&str]) -> bool {
    names.iter().any(|n| n.eq_ignore_ascii_case(name))
}

fn is_any_of(token: &[u8], names: &[&str]) -> bool {
    names.iter().any(|n| n.as_bytes().eq_ignore_ascii_case(token))
}

/// Whether a field is about how much of an answer is wanted, where all of it is fetched.
fn is_of_whole(name: &str) -> bool {
    is_any(name, &validators::CONDITIONS) || is_any(name, &["range", "content-length"])
}

/// Whether one of these fields is for this hop alone, and needed neither to read the request nor to answer it.
fn is_for_this_hop(name: &str, headers: &[Header<'_>]) -> bool {
    const NEEDED: [&str; 5] =
        ["connection", "content-length", "host", "transfer-encoding", "x-forwarded-for"];
    let listed = || connection_options(headers).any(|o| o.eq_ignore_ascii_case(name.as_bytes()));
    (is_hop_by_hop(name) || listed()) && !is_any(name, &NEEDED)
}

/// Whether a request brings nothing that is for this hop alone, so that it can be looked up as it is.
pub(super) fn is_end_to_end(headers: &[Header<'_>]) -> bool {
    let lists_nothing = connection_options(headers).all(|o| is_any_of(o, &["close", "keep-alive"]));
    lists_nothing && !headers.iter().any(|h| is_for_this_hop(h.name, &[]))
}

/// The fields that are passed on. What the client's connection lists was left out when the request was read.
fn end_to_end<'h, 'b>(headers: &'h [Header<'b>]) -> impl Iterator<Item = &'h Header<'b>> {
    headers.iter().filter(|h| !is_hop_by_hop(h.name))
}

fn start(method: &str, head: &RequestHead<'_, '_>, out: &mut Vec<u8>) {
    let (host, target) = address::parts(head);
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(target);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write("host", host, out);
}

fn rest<'h, 'b: 'h>(
    headers: impl Iterator<Item = &'h Header<'b>>,
    client: IpAddr,
    normaliser: &Normaliser,
    out: &mut Vec<u8>,
) {
    let (mut forwarded, mut preferences) = (Vec::new(), Vec::new());
    for header in headers {
        if header.name.eq_ignore_ascii_case("x-forwarded-for") {
            forwarded.extend_from_slice(header.value);
            forwarded.extend_from_slice(b", ");
        } else if is_any(header.name, &["host", "expect"]) {
            // The host stands at the start, and the body is not held back here.
        } else if normaliser.is_idle() {
            write(header.name, header.value, out);
        } else if normaliser.languages(header.name).is_some() {
            preferences.push(header.value);
        } else {
            // What the answer depends on is what it is found by.
            let normal = normaliser.normal(&header.name.to_ascii_lowercase(), header.value);
            write(header.name, normal.as_ref().map_or(header.value, |n| n.as_bytes()), out);
        }
    }
    if let Some(languages) = normaliser.languages(language::NAME) {
        // Also where nothing is said, or else the back end would choose by rules of its own.
        write(language::NAME, languages.choose(preferences.into_iter()).as_bytes(), out);
    }
    out.extend_from_slice(b"x-forwarded-for: ");
    out.extend_from_slice(&forwarded);
    write!(out, "{client}\r\n").expect("writing to a vector cannot fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 9));

    fn asked(text: &str) -> Asked {
        Asked::new(text.as_bytes(), CLIENT, true)
    }

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_fetch_asks_for_all_under_the_conditions_of_what_is_stored() {
        let asked = asked(
            "HEAD /a HTTP/1.1\r\nHost: h\r\nRange: bytes=0-1\r\nIf-None-Match: \"x\"\r\nConnection: close, X-Hop\r\n\
             X-Hop: 1\r\nX-Group: 7\r\n\r\n",
        );
        let normaliser = Normaliser::new([("x-group".to_owned(), 2)].into_iter());
        let stored = [Header { name: "ETag", value: b"\"y\"" }];
        assert_eq!(
            text(|out| asked.write_fetch(Some(&stored), &normaliser, out)),
            "GET /a HTTP/1.1\r\nhost: h\r\nX-Group: 1\r\nx-forwarded-for: 127.0.0.9\r\n\
             surrogate-capability: rehearsal=\"Surrogate/1.0 ESI/1.0\"\r\nif-none-match: \"y\"\r\n\r\n"
        );
    }

    #[test]
    fn the_back_end_is_asked_in_the_language_that_the_answer_is_found_by() {
        let languages = language::Languages::new(["en", "de-AT"].into_iter());
        let normaliser = Normaliser::default().with_languages(languages);
        let sent = |lines: &str| {
            let asked = asked(&format!("GET /a HTTP/1.1\r\nHost: h\r\n{lines}\r\n"));
            let fetch = text(|out| asked.write_fetch(None, &normaliser, out));
            assert_eq!(fetch, text(|out| asked.write_pass(&normaliser, out)));
            fetch.split_once("host: h\r\n").expect("it begins so").1.to_owned()
        };
        let end =
            "x-forwarded-for: 127.0.0.9\r\nsurrogate-capability: rehearsal=\"Surrogate/1.0 ESI/1.0\"\r\n\r\n";
        assert_eq!(
            sent("Accept-Language: fr;q=0.9\r\nX-A: 1\r\naccept-language: de;q=0.2\r\n"),
            format!("X-A: 1\r\naccept-language: de-AT\r\n{end}")
        );
        assert_eq!(sent(""), format!("accept-language: en\r\n{end}"), "who says nothing gets the first");
    }

    #[test]
    fn what_is_passed_on_keeps_its_body_and_names_the_client() {
        let asked = asked(
            "POST http://h/a HTTP/1.1\r\nHost: other\r\nContent-Length: 3\r\nConnection: Content-Length\r\n\
             X-Forwarded-For: 10.0.0.1\r\nIf-Match: \"x\"\r\n\r\n",
        );
        assert_eq!(
            text(|out| asked.write_pass(&Normaliser::default(), out)),
            "POST /a HTTP/1.1\r\nhost: h\r\nContent-Length: 3\r\nIf-Match: \"x\"\r\n\
             x-forwarded-for: 10.0.0.1, 127.0.0.9\r\n\
             surrogate-capability: rehearsal=\"Surrogate/1.0 ESI/1.0\"\r\n\r\n"
        );
    }

    #[test]
    fn a_part_is_asked_for_by_whoever_asks_for_the_page() {
        let page = asked("GET /a/b HTTP/1.1\r\nHost: h\r\nX-Group: 7\r\nRange: bytes=0-1\r\n\r\n");
        let part = page.part("c?d=1").expect("it can be asked for");
        assert_eq!(String::from_utf8_lossy(&part.address), "h/a/c?d=1");
        assert_eq!(
            String::from_utf8_lossy(&part.head),
            "GET /a/c?d=1 HTTP/1.1\r\nhost: h\r\nX-Group: 7\r\n\r\n"
        );
        let many: String = (0..64).map(|n| format!("X-{n}: 1\r\n")).collect();
        let full = self::asked(&format!("GET / HTTP/1.0\r\n{many}\r\n"));
        assert!(full.part("/c").is_none(), "with the host it has a field too many");
        assert!(page.part("/a\r\nX: 1").is_none() && page.part("mailto:x").is_none());
        assert!(page.part("http://user@other/x").is_none() && page.part("http://other?x").is_none());
        assert_eq!(&*page.part("http://other/x").expect("it can").address, b"other/x");
    }

    #[test]
    fn a_head_as_long_as_may_be_can_lose_a_field() {
        let start = "GET / HTTP/1.1\r\nHost:h\r\nX-Hop:1\r\nConnection:x-hop\r\n";
        let mut text = start.to_owned() + &"a:b\r\n".repeat(50);
        text += &format!("c:{}\r\n\r\n", "x".repeat(crate::http::head::HEAD_LIMIT - text.len() - 6));
        assert_eq!(text.len(), crate::http::head::HEAD_LIMIT);
        let asked = asked(&text);
        assert!(!asked.with(|head| has(head.headers, "x-hop")), "what the connection lists is gone");
        let asked = asked.without("a");
        assert_eq!(asked.with(|head| head.headers.len()), 3);
    }

    #[test]
    fn only_plain_reads_are_looked_up() {
        let kind = |text: &str| asked(text).with(Kind::of);
        assert_eq!(kind("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), Kind::LookUp);
        assert_eq!(kind("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n"), Kind::Pass);
        assert_eq!(kind("GET / HTTP/1.1\r\nHost: h\r\nIf-Match: \"x\"\r\n\r\n"), Kind::Pass);
        assert_eq!(kind("M-SEARCH / HTTP/1.1\r\nHost: h\r\n\r\n"), Kind::Pass);
        assert_eq!(kind("PURGE / HTTP/1.1\r\nHost: h\r\n\r\n"), Kind::Purge);
    }
}
