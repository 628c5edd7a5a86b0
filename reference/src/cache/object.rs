//! A stored answer: its head as it goes out, its body, its life.

use std::cell::OnceCell;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

use httparse::Header;

use super::copies::BodyCopy;
use super::date;
use super::directives::Directives;
use super::esi::{self, Piece};
use super::fields::{has, write};
use super::freshness::{Life, Now, Phase};
use super::{tags, validators};
use crate::http::head::{HEADERS_LIMIT, NO_FIELDS, connection_options, is_hop_by_hop};

/// What Varnish keeps of an object beside what the back end sent (`struct object` on a 64-bit machine).
const OBJECT_BYTES: usize = 120;

/// What a tag takes beside its name, in the object and in the index of tags.
const TAG_BYTES: usize = 48;
/// The most tags of an answer; those beyond are passed over.
const TAGS_LIMIT: usize = 4096;

/// A stored answer. It never changes: what confirms it or makes it stale puts another in its place.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) status: u16,
    /// The status line and the end-to-end fields, up to the empty line and with it, without what each use writes anew: the
    /// length, `Age`.
    head: Box<[u8]>,
    pub(super) body: Rc<[u8]>,
    /// From which a long one is sent, once it was.
    pub(super) copy: OnceCell<Rc<BodyCopy>>,
    /// The pieces of a page that includes others.
    pub(super) page: Option<Rc<[Piece]>>,
    /// When it came, since the start of the process.
    pub(super) born: Duration,
    pub(super) life: Life,
    pub(super) tags: Box<[Box<[u8]>]>,
}

/// The fields of an answer that are not its own to tell, or not for others to see.
fn is_dropped(name: &str) -> bool {
    const NAMES: [&str; 6] = [
        "content-length",
        "age",
        "surrogate-control",
        "x-cache",
        "proxy-authentication-info",
        "proxy-connection",
    ];
    is_hop_by_hop(name) || NAMES.iter().any(|n| n.eq_ignore_ascii_case(name))
}

impl Object {
    /// From a back end's answer.
    pub(super) fn new(
        status: u16,
        reason: &str,
        headers: &[Header<'_>],
        body: Rc<[u8]>,
        life: Life,
        now: Now,
    ) -> Self {
        let page = Directives::of_answer(headers).esi.then(|| Rc::from(esi::read(&body)));
        let mut head = Vec::with_capacity(256);
        render(status, reason, headers, now, &mut head);
        Self {
            status,
            head: head.into(),
            body,
            copy: OnceCell::new(),
            page,
            born: now.running,
            life,
            tags: tags::read(headers, "xkey").take(TAGS_LIMIT).map(Box::from).collect(),
        }
    }

    /// The same answer, confirmed by a 304 with these fields (RFC 9111, section 3.2), and whether it may be kept on.
    /// `judged` finds its life anew.
    pub(super) fn confirmed(
        &self,
        answer: &[Header<'_>],
        now: Now,
        judged: impl FnOnce(u16, &[Header<'_>]) -> Option<Life>,
    ) -> (Self, bool) {
        self.with_fields(|reason, stored| {
            let mut merged: Vec<Header<'_>> = Vec::new();
            merged.extend(stored.iter().filter(|h| !validators::is_updated(h.name, answer)));
            merged.extend(passed_on(answer).filter(|h| validators::is_taken(h.name)));
            // The age of the answer that confirms counts, not the old one's date.
            if !has(answer, "date") {
                merged.retain(|h| !h.name.eq_ignore_ascii_case("date"));
            }
            merged.truncate(HEADERS_LIMIT - 1);
            // Judging sees what the head does not show: how old the confirmation is, and what is for caches alone.
            let mut told = merged.clone();
            let for_caches =
                |h: &&Header<'_>| ["age", "surrogate-control"].contains(&&*h.name.to_ascii_lowercase());
            told.extend(answer.iter().filter(for_caches));
            let life = judged(self.status, &told);
            let (page, body) = (self.page.clone(), Rc::clone(&self.body));
            let new = Self::new(self.status, reason, &merged, body, life.unwrap_or_default(), now);
            (Self { page, copy: self.copy.clone(), ..new }, life.is_some())
        })
    }

    /// The same answer with another life.
    pub(super) fn with_life(&self, life: Life) -> Self {
        Self {
            status: self.status,
            head: self.head.clone(),
            body: Rc::clone(&self.body),
            copy: self.copy.clone(),
            page: self.page.clone(),
            born: self.born,
            life,
            tags: self.tags.clone(),
        }
    }

    /// Its reason phrase and its fields.
    pub(super) fn with_fields<R>(&self, f: impl FnOnce(&str, &[Header<'_>]) -> R) -> R {
        let mut fields = NO_FIELDS;
        // Written anew, it may be longer than what is taken from others, so it is not read by their limits.
        let mut head = httparse::Response::new(&mut fields);
        let parsed = head.parse(&self.head).is_ok_and(|status| status.is_complete());
        assert!(parsed, "a head that was written from a parsed one is parsed again");
        f(head.reason.unwrap_or(""), head.headers)
    }

    /// The status line and the fields, each with its line's end.
    pub(super) fn head(&self) -> &[u8] {
        &self.head[..self.head.len() - 2]
    }

    /// How long it has been here.
    pub(super) fn resident(&self, now: Now) -> Duration {
        now.running.saturating_sub(self.born)
    }

    /// What it is good for now.
    pub(super) fn phase(&self, now: Now) -> Phase {
        self.life.phase(self.resident(now))
    }

    /// Its age in whole seconds, for `Age`.
    pub(super) fn age_seconds(&self, now: Now) -> u64 {
        self.life.initial_age.saturating_add(self.resident(now)).as_secs()
    }

    /// What it takes of the memory, where heads are taken to have so many bytes at least.
    pub(super) fn size(&self, least_head_bytes: usize) -> usize {
        let tags: usize = self.tags.iter().map(|tag| TAG_BYTES + tag.len()).sum();
        let pieces = self.page.as_ref().map_or(0, |pieces| size_of_val::<[Piece]>(pieces));
        OBJECT_BYTES + self.head.len().max(least_head_bytes) + self.body.len() + tags + pieces
    }
}

/// The fields of an answer that are for more than this hop.
pub(super) fn passed_on<'h, 'b>(headers: &'h [Header<'b>]) -> impl Iterator<Item = &'h Header<'b>> {
    let listed = |name: &str| connection_options(headers).any(|o| o.eq_ignore_ascii_case(name.as_bytes()));
    headers.iter().filter(move |h| !is_dropped(h.name) && !listed(h.name))
}

/// Appends a status line and the fields that are passed on, and the empty line.
pub(super) fn render(status: u16, reason: &str, headers: &[Header<'_>], now: Now, out: &mut Vec<u8>) {
    write!(out, "HTTP/1.1 {status} {reason}\r\n").expect("writing to a vector cannot fail");
    for header in passed_on(headers) {
        write(header.name, header.value, out);
    }
    // A recipient with a clock dates what came without a date, if it keeps it (RFC 9110, section 6.6.1).
    if !has(headers, "date") && headers.len() < HEADERS_LIMIT {
        write("date", date::write(now.unix_seconds).as_bytes(), out);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { running: Duration::from_secs(9), unix_seconds: 784_111_777 };

    fn headers<'b>(fields: &'b [(&'b str, &'b str)]) -> Vec<Header<'b>> {
        fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect()
    }

    fn object(fields: &[(&str, &str)]) -> Object {
        let life = Life { ttl: Duration::from_secs(60), ..Life::default() };
        Object::new(200, "OK", &headers(fields), Rc::from(&b"body"[..]), life, NOW)
    }

    fn head(object: &Object) -> String {
        String::from_utf8_lossy(object.head()).into_owned()
    }

    #[test]
    fn a_head_is_kept_without_what_concerns_one_hop_or_one_use() {
        let object = object(&[
            ("Connection", "a"),
            ("A", "1"),
            ("B", "2"),
            ("Age", "7"),
            ("Content-Length", "4"),
            ("Surrogate-Control", "max-age=5"),
        ]);
        assert_eq!(head(&object), "HTTP/1.1 200 OK\r\nB: 2\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
    }

    #[test]
    fn a_confirmation_updates_all_fields_but_those_of_the_content() {
        let stored =
            object(&[("ETag", "\"a\""), ("X", "1"), ("Y", "1"), ("Content-Type", "a"), ("Date", "then")]);
        let answer =
            [("X", "2"), ("Content-Type", "b"), ("ETag", "\"b\""), ("Content-Length", "9"), ("Date", "now")];
        let life = Life { ttl: Duration::from_secs(5), ..Life::default() };
        let (confirmed, kept) = stored.confirmed(&headers(&answer), NOW, |_, _| Some(life));
        assert!(kept);
        assert_eq!(
            head(&confirmed),
            "HTTP/1.1 200 OK\r\nETag: \"a\"\r\nY: 1\r\nX: 2\r\nContent-Type: b\r\nDate: now\r\n"
        );
        assert_eq!((confirmed.life, &*confirmed.body), (life, &b"body"[..]));
    }

    #[test]
    fn a_head_as_long_as_is_taken_from_others_can_still_be_read() {
        let value = "x".repeat(520);
        let names: Vec<String> = (0..HEADERS_LIMIT).map(|n| format!("a{n}")).collect();
        let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
        let object = object(&fields);
        assert!(object.head().len() > 32 << 10);
        assert_eq!(object.with_fields(|_, stored| stored.len()), HEADERS_LIMIT);
    }

    #[test]
    fn tags_stand_in_lists_with_spaces_or_commas() {
        let object = object(&[("xkey", "product:1  list"), ("XKey", "a,b")]);
        let tags: Vec<_> = object.tags.iter().map(|t| String::from_utf8_lossy(t).into_owned()).collect();
        assert_eq!(tags, ["product:1", "list", "a", "b"]);
    }

    #[test]
    fn a_page_is_cut_into_its_pieces_only_where_it_says_that_it_is_one() {
        assert!(object(&[("Surrogate-Control", "content=\"ESI/1.0\"")]).page.is_some());
        assert!(object(&[]).page.is_none());
    }
}
