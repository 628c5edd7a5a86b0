//! Pages that include others, in as much of ESI 1.0 (W3C note of 2001) as Varnish has: `include` with `src`, `alt` and
//! `onerror`, `remove`, `comment`, and `<!--esi … -->`. What is malformed stays in the page as text.

use std::ops::Range;

/// The deepest that pages are put into pages, as Varnish's `max_esi_depth`.
pub(super) const DEPTH_LIMIT: u32 = 5;
/// The most parts of a page; those beyond are left out.
const PARTS_LIMIT: usize = 10_000;
/// The longest tag.
const TAG_LIMIT: usize = 8 << 10;

/// A piece of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Bytes of the page.
    Text(Range<usize>),
    /// Another answer in this place.
    Include(Include),
}

/// What is put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Include {
    /// Its address.
    pub(super) source: String,
    /// What is tried if that fails.
    pub(super) alternative: Option<String>,
    /// Whether a failure leaves a gap (`onerror="continue"`), where the page fails else.
    pub(super) continues: bool,
}

/// Cuts a page into its pieces.
pub(super) fn read(page: &[u8]) -> Vec<Piece> {
    let mut reader =
        Reader { page, pieces: Vec::new(), text_from: 0, includes: 0, in_comment: false, no_end: [false; 2] };
    reader.all();
    reader.pieces
}

struct Reader<'p> {
    page: &'p [u8],
    pieces: Vec<Piece>,
    text_from: usize,
    includes: usize,
    /// Whether an `<!--esi` is open, whose end is to be taken out too.
    in_comment: bool,
    /// Whether it is known that no `-->`, and no end of a `remove`, follows: a page is not searched for them twice.
    no_end: [bool; 2],
}

impl Reader<'_> {
    fn all(&mut self) {
        let mut at = 0;
        while at < self.page.len() {
            let rest = &self.page[at..];
            let step = match rest[0] {
                b'<' if rest.starts_with(b"<esi:") => self.tag(at),
                b'<' if !self.in_comment && rest.starts_with(b"<!--esi") && self.end(at, 0).is_some() => {
                    self.in_comment = true;
                    Some(7)
                }
                b'-' if self.in_comment && rest.starts_with(b"-->") => {
                    self.in_comment = false;
                    Some(3)
                }
                _ => None,
            };
            match step {
                Some(len) => {
                    // A tag has put its own piece behind the text before it.
                    self.text_until(at);
                    at += len;
                    self.text_from = at;
                }
                None => at += 1,
            }
        }
        self.text_until(at);
    }

    /// Ends the text before `end`, unless a tag has done so already.
    fn text_until(&mut self, end: usize) {
        if self.text_from < end {
            self.pieces.push(Piece::Text(self.text_from..end));
            self.text_from = end;
        }
    }

    /// How far it is from a place to behind the next end of a comment (0) or of a `remove` (1).
    fn end(&mut self, at: usize, which: usize) -> Option<usize> {
        if self.no_end[which] {
            return None;
        }
        let closing: &[u8] = [&b"-->"[..], b"</esi:remove>"][which];
        let found = self.page[at..].windows(closing.len()).position(|window| window == closing);
        self.no_end[which] = found.is_none();
        found.map(|length| length + closing.len())
    }

    /// How long the tag at this place is, with what belongs to it; none where it is none of ours.
    fn tag(&mut self, at: usize) -> Option<usize> {
        let rest = &self.page[at..];
        let end = tag_end(&rest[..rest.len().min(TAG_LIMIT)])?;
        let inside = std::str::from_utf8(&rest[5..end - 1]).ok()?;
        let (inside, closed) = match inside.trim_ascii_end().strip_suffix('/') {
            Some(inside) => (inside, true),
            None => (inside, false),
        };
        let name_end = inside.find(|c: char| c.is_ascii_whitespace()).unwrap_or(inside.len());
        let (name, attributes) = inside.split_at(name_end);
        match name {
            "include" => {
                let include = include(attributes)?;
                self.text_until(at);
                self.includes += 1;
                if self.includes <= PARTS_LIMIT {
                    self.pieces.push(Piece::Include(include));
                }
                let closing: &[u8] = b"</esi:include>";
                Some(if !closed && rest[end..].starts_with(closing) { end + closing.len() } else { end })
            }
            "comment" => Some(end),
            "remove" if closed => Some(end),
            "remove" => self.end(at + end, 1).map(|length| end + length),
            _ => None,
        }
    }
}

/// The length of a tag up to its `>`, which may also stand in an attribute's quotes.
fn tag_end(text: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in text.iter().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), _) if open == *byte => quote = None,
            _ => {}
        }
    }
    None
}

fn include(attributes: &str) -> Option<Include> {
    let (mut source, mut alternative, mut continues) = (None, None, false);
    let mut rest = attributes.trim_ascii();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_ascii_start();
        let quote = after.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let (value, next) = after[1..].split_once(quote)?;
        match name.trim_ascii() {
            "src" => source = Some(unescaped(value)),
            "alt" => alternative = Some(unescaped(value)),
            "onerror" => continues = value == "continue",
            _ => {}
        }
        rest = next.trim_ascii_start();
    }
    source.filter(|s| !s.is_empty()).map(|source| Include { source, alternative, continues })
}

fn unescaped(value: &str) -> String {
    let texts = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&amp;", "&")];
    texts.iter().fold(value.to_owned(), |text, (entity, meant)| text.replace(entity, meant))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The page with `[source]` in the place of includes.
    fn shown(page: &str) -> String {
        let piece = |piece: &Piece| match piece {
            Piece::Text(range) => page[range.clone()].to_owned(),
            Piece::Include(include) => format!("[{}]", include.source),
        };
        read(page.as_bytes()).iter().map(piece).collect()
    }

    #[test]
    fn includes_are_found_and_removed_parts_are_gone() {
        assert_eq!(shown("a<esi:include src=\"/x?a=1&amp;b=2\"/>b"), "a[/x?a=1&b=2]b");
        assert_eq!(shown("a<esi:include src='/x'></esi:include>b"), "a[/x]b");
        assert_eq!(shown("a<esi:remove>old <b>x</b></esi:remove>b"), "ab");
        assert_eq!(shown("a<esi:comment text=\"so > so\"/>b"), "ab");
        assert_eq!(
            shown("<!--esi <p><esi:include src=\"/x\"/></p>-->b <!-- kept -->"),
            " <p>[/x]</p>b <!-- kept -->"
        );
        assert_eq!(shown(""), "");
    }

    #[test]
    fn an_include_has_an_alternative_and_says_what_a_failure_does() {
        let page = b"<esi:include src=\"/x\" alt=\"/y\" onerror=\"continue\"/>";
        let include = Include { source: "/x".into(), alternative: Some("/y".into()), continues: true };
        assert_eq!(read(page), [Piece::Include(include)]);
    }

    #[test]
    fn what_is_malformed_stays_text() {
        for page in
            ["<esi:include/>", "<esi:include src=/x/>", "<esi:remove>x", "<esi:other/>", "<!--esi x", "<esi:"]
        {
            assert_eq!(shown(page), page);
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_the_reader(page in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&page);
        }

        #[test]
        fn pieces_of_text_follow_one_another(page in "(<esi:include src=\"/x\"/>|<esi:remove>|</esi:remove>|<!--esi|-->|[a-c<>])*") {
            let mut end = 0;
            for piece in read(page.as_bytes()) {
                if let Piece::Text(range) = piece {
                    prop_assert!(end <= range.start && range.start < range.end && range.end <= page.len());
                    end = range.end;
                }
            }
        }
    }
}
