//! What a user's client remembers from one request to the next.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use scenarios::plan::RequestId;

use super::judge::cookies;
use super::room::Room;

/// The most bytes of cookies that a user keeps, and the most of them: RFC 6265, section 6.1, asks for 50 a domain.
const COOKIES_BYTES: usize = 16 << 10;
const COOKIES: usize = 50;
/// What all users remember together, in bytes, over all threads.
pub(crate) const JARS_BYTES: usize = 64 << 20;
/// What is lacking where they would remember more.
pub(crate) const LACKED: &str = "room for what users remember of answers (64 MiB together)";
/// What keeping something takes beside it.
const OVERHEAD_BYTES: usize = 64;

/// What a user's client remembers from one request to the next.
#[derive(Debug)]
pub(crate) struct Jar {
    /// Who the user is: the name of the first request.
    pub(crate) user: RequestId,
    /// Whether the user's client keeps cookies.
    keeps_cookies: bool,
    cookies: Vec<(Vec<u8>, Vec<u8>)>,
    /// What was extracted of answers, by the numbers of the scenario's kept values.
    values: Vec<(u16, String)>,
    /// What all users may remember, and what this one does.
    room: Room,
    held: usize,
}

impl Drop for Jar {
    fn drop(&mut self) {
        self.room.hold(&mut self.held, 0);
    }
}

impl Jar {
    pub(crate) fn new(user: RequestId, keeps_cookies: bool, room: Room) -> Self {
        Self { user, keeps_cookies, cookies: Vec::new(), values: Vec::new(), room, held: 0 }
    }

    /// A new visit: nothing of the last is left.
    pub(crate) fn empty(&mut self) {
        (self.cookies, self.values) = (Vec::new(), Vec::new());
        self.room.hold(&mut self.held, 0);
    }

    /// Makes room for something instead of what took so many bytes; `false` where there is none.
    fn exchange(&mut self, old_bytes: usize, new_bytes: usize) -> bool {
        let wanted = self.held + new_bytes - old_bytes;
        self.room.hold(&mut self.held, wanted)
    }

    /// Whether answers' cookies are to be taken in.
    pub(crate) fn keeps_cookies(&self) -> bool {
        self.keeps_cookies
    }

    /// Keeps of an answer what the user has to remember: its head's cookies, where those are kept, and what was extracted. `false`
    /// where all users together remember too much.
    #[must_use]
    pub(crate) fn remember(&mut self, head: &[u8], extracted: &mut Vec<(u16, String)>) -> bool {
        let mut fits = true;
        if self.keeps_cookies {
            cookies(head).for_each(|value| fits &= self.set(value));
        }
        extracted.drain(..).for_each(|(number, value)| fits &= self.keep(number, value));
        fits
    }

    /// Keeps a value; `false` where all users together remember too much.
    #[must_use]
    pub(crate) fn keep(&mut self, number: u16, value: String) -> bool {
        let known = self.values.iter().position(|(known, _)| *known == number);
        let bytes = |value: &str| value.len() + OVERHEAD_BYTES;
        if !self.exchange(known.map_or(0, |place| bytes(&self.values[place].1)), bytes(&value)) {
            return false;
        }
        match known {
            Some(place) => self.values[place].1 = value,
            None => self.values.push((number, value)),
        }
        true
    }

    /// A kept value.
    pub(crate) fn value(&self, number: u16) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == number).map(|(_, value)| value.as_str())
    }

    /// Takes a `Set-Cookie` field in: its name and value; one of the same name is replaced. Domain, path and lifetime are
    /// not looked at, but for a lifetime that is over: a scenario's entry is one site, and no session outlasts a day. `false` where
    /// all users together remember too much.
    #[must_use]
    pub(crate) fn set(&mut self, field: &[u8]) -> bool {
        let mut parts = field.split(|byte| *byte == b';');
        let pair = parts.next().unwrap_or_default().trim_ascii();
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else { return true };
        let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        let size = |name: &[u8], value: &[u8]| name.len() + value.len() + OVERHEAD_BYTES;
        if let Some(place) = self.cookies.iter().position(|(known, _)| known == name) {
            let (name, value) = self.cookies.remove(place);
            self.exchange(size(&name, &value), 0);
        }
        let over = is_over(parts);
        let bytes: usize = self.cookies.iter().map(|(name, value)| name.len() + value.len() + 3).sum();
        if over || self.cookies.len() >= COOKIES || bytes + pair.len() > COOKIES_BYTES {
            return true;
        }
        let fits = self.exchange(0, size(name, value));
        if fits {
            self.cookies.push((name.to_vec(), value.to_vec()));
        }
        fits
    }

    /// Writes the `Cookie` field, if there is one.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        for (place, (name, value)) in self.cookies.iter().enumerate() {
            out.extend_from_slice(if place == 0 { b"cookie: " } else { b"; " });
            out.extend_from_slice(name);
            out.push(b'=');
            out.extend_from_slice(value);
        }
        if !self.cookies.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// Whether a cookie's attributes take it back: its lifetime is over (RFC 6265, sections 5.2.1, 5.2.2 and 5.3). What is not understood
/// counts for nothing.
fn is_over<'a>(attributes: impl Iterator<Item = &'a [u8]>) -> bool {
    let (mut age, mut expiry) = (None, None);
    for attribute in attributes {
        let Some((name, value)) = std::str::from_utf8(attribute).ok().and_then(|text| text.split_once('='))
        else {
            continue;
        };
        let (name, value) = (name.trim(), value.trim());
        if name.eq_ignore_ascii_case("max-age") {
            age = value.parse::<i64>().ok().or(age);
        } else if name.eq_ignore_ascii_case("expires") {
            expiry = date(value).or(expiry);
        }
    }
    match (age, expiry) {
        (Some(seconds), _) => seconds <= 0,
        (None, Some(expiry)) => expiry <= Timestamp::now(),
        (None, None) => false,
    }
}

/// A date as servers write it: `Thu, 01 Jan 1970 00:00:00 GMT`, or with dashes in it. A year of two digits is none.
fn date(text: &str) -> Option<Timestamp> {
    let date = text.split_once(", ")?.1.replace('-', " ");
    if date.split(' ').nth(2)?.len() != 4 {
        return None;
    }
    let date = DateTime::strptime("%d %b %Y %H:%M:%S GMT", date).ok()?;
    date.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
}

/// Whether a `Set-Cookie` field begins a session anew because the one that the user had is not known to whoever answered: the
/// reference stack says so by an attribute, which clients ignore (RFC 6265, section 5.2).
pub(crate) fn tells_of_loss(field: &[u8]) -> bool {
    field
        .split(|byte| *byte == b';')
        .skip(1)
        .any(|part| part.trim_ascii().eq_ignore_ascii_case(b"rehearsal-lost"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jar_keeps_the_last_cookie_of_a_name_until_it_is_taken_back() {
        let mut jar = Jar::new(RequestId(0), true, Room::new(1 << 20));
        let written = |jar: &Jar| {
            let mut out = Vec::new();
            jar.write(&mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(written(&jar), "");
        assert!(jar.set(b"server=a; Path=/; HttpOnly"));
        assert!(jar.set(b"basket = 7"));
        assert!(jar.set(b"server=b"));
        assert!(jar.set(b"no cookie"));
        assert_eq!(written(&jar), "cookie: basket=7; server=b\r\n");
        assert!(jar.set(b"basket=; Max-Age=0"));
        assert_eq!(written(&jar), "cookie: server=b\r\n");
    }

    #[test]
    fn a_cookie_whose_lifetime_is_over_is_taken_back() {
        let over = |field: &str| is_over(field.split(';').skip(1).map(str::as_bytes));
        for field in [
            "a=; Max-Age=0",
            "a=; max-age = -1; Path=/",
            "a=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "a=; expires=Thu, 01-Jan-1970 00:00:01 GMT; HttpOnly",
            "a=; Expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=0",
        ] {
            assert!(over(field), "{field}");
        }
        for field in [
            "a=1",
            "a=1; Path=/; Secure",
            "a=1; Max-Age=3600; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "a=1; Expires=Tue, 31 Dec 2999 23:59:59 GMT",
            "a=1; Expires=Monday, 01-Jan-35 00:00:00 GMT",
            "a=1; Expires=at no time",
            "a=1; Max-Age=soon",
            "max-age=0",
        ] {
            assert!(!over(field), "{field}");
        }
    }

    #[test]
    fn an_answer_leaves_its_cookies_to_those_who_keep_any_and_what_was_extracted_to_all() {
        let head = b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Path=/\r\nx: y\r\nset-cookie: b=2\r\n\r\n";
        for keeps in [true, false] {
            let mut jar = Jar::new(RequestId(0), keeps, Room::new(1 << 20));
            let mut extracted = vec![(7, "token".to_owned())];
            assert!(jar.remember(head, &mut extracted) && extracted.is_empty());
            let mut out = Vec::new();
            jar.write(&mut out);
            let expected: &[u8] = if keeps { b"cookie: a=1; b=2\r\n" } else { b"" };
            assert_eq!((out.as_slice(), jar.value(7)), (expected, Some("token")));
        }
    }

    #[test]
    fn a_loss_is_an_attribute_of_a_cookie_and_nothing_else() {
        assert!(tells_of_loss(b"session=1; Path=/; Rehearsal-Lost"));
        for field in [&b"session=1; Path=/"[..], b"rehearsal-lost", b"rehearsal-lost=1; Path=/", b""] {
            assert!(!tells_of_loss(field));
        }
    }

    #[test]
    fn a_jar_has_an_end() {
        let mut jar = Jar::new(RequestId(0), true, Room::new(1 << 20));
        assert!((0..10_000).all(|n| jar.set(format!("c{n}={}", "x".repeat(1000)).as_bytes())));
        let mut out = Vec::new();
        jar.write(&mut out);
        assert!(out.len() <= COOKIES_BYTES + 8, "{}", out.len());
    }

    #[test]
    fn users_have_so_much_room_together() {
        let room = Room::new(1000);
        let jar = || Jar::new(RequestId(0), true, room.clone());
        let (mut first, mut second) = (jar(), jar());
        let value = |length: usize| "x".repeat(length);
        assert!(first.keep(0, value(500)) && !second.keep(0, value(500)) && first.keep(0, value(100)));
        assert!(second.keep(0, value(500)) && !second.set(format!("name={}", value(400)).as_bytes()));
        drop(second);
        assert!(first.keep(1, value(500)) && !first.keep(2, value(500)));
        first.empty();
        assert!(jar().keep(0, value(900)));
    }
}
