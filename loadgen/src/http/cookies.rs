//! What a user's client remembers from one request to the next.

use std::net::IpAddr;
use std::ops::Range;

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

/// Where an answer came from: what decides which requests its cookies are for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Site<'a> {
    /// The request's `Host` field.
    pub(crate) host: &'a str,
    /// The request's path; a query may follow.
    pub(crate) path: &'a [u8],
}

impl<'a> Site<'a> {
    /// Where a request went that was composed for this host.
    pub(crate) fn of(host: &'a str, request: &'a [u8]) -> Self {
        Self { host, path: request.split(|byte| *byte == b' ').nth(1).unwrap_or_default() }
    }

    /// The host without its port.
    fn name(self) -> &'a str {
        match self.host.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => self.host.split(':').next().unwrap_or_default(),
        }
    }

    /// Whether a `Domain` attribute names this host or what it is part of; of an address there are no parts (RFC 6265, sections 5.1.3
    /// and 5.2.3). An empty one says nothing.
    fn is_of(self, domain: &[u8]) -> bool {
        let (name, domain) = (self.name().as_bytes(), domain.strip_prefix(b".").unwrap_or(domain));
        let is_part = || {
            let (part, rest) = name.split_at(name.len().saturating_sub(domain.len()));
            part.ends_with(b".") && rest.eq_ignore_ascii_case(domain)
        };
        domain.is_empty()
            || name.eq_ignore_ascii_case(domain)
            || (is_part() && self.name().parse::<IpAddr>().is_err())
    }

    /// The path of cookies that name none (RFC 6265, section 5.1.4).
    fn directory(self) -> &'a [u8] {
        let path = self.path.split(|byte| *byte == b'?').next().unwrap_or_default();
        match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) if at > 0 => &path[..at],
            _ => b"/",
        }
    }
}

/// A cookie.
#[derive(Debug)]
struct Cookie {
    name: Vec<u8>,
    value: Vec<u8>,
    path: Vec<u8>,
}

impl Cookie {
    /// What it takes of a request, and of the room of a user.
    fn bytes(&self) -> usize {
        self.name.len() + self.value.len() + self.path.len() + 3
    }

    /// Whether it is for a request with this path (RFC 6265, section 5.1.4).
    fn is_for(&self, path: &[u8]) -> bool {
        let ends = || matches!(path.get(self.path.len()), None | Some(b'/' | b'?'));
        path.starts_with(&self.path) && (self.path.ends_with(b"/") || ends())
    }
}

/// What a user's client remembers from one request to the next.
#[derive(Debug)]
pub(crate) struct Jar {
    /// Who the user is: the name of the first request.
    pub(crate) user: RequestId,
    /// Whether the user's client keeps cookies.
    keeps_cookies: bool,
    /// Those with longer paths first, else the older ones: in this order they are sent (RFC 6265, section 5.4).
    cookies: Vec<Cookie>,
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
    pub(crate) fn remember(
        &mut self,
        site: Site<'_>,
        head: &[u8],
        extracted: &mut Vec<(u16, String)>,
    ) -> bool {
        let mut fits = true;
        if self.keeps_cookies {
            cookies(head).for_each(|value| fits &= self.set(site, value));
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

    /// Takes a `Set-Cookie` field in, as RFC 6265, section 5.3, has it; one of the same name and path is replaced. All instances of an
    /// entry are one site, so that a `Domain` decides whether a cookie is taken and nothing after that; `Secure` is not looked at, for
    /// what is loaded often stands behind the end of TLS; and no session outlasts a day, so that of a lifetime only its being over
    /// counts. `false` where all users together remember too much.
    #[must_use]
    pub(crate) fn set(&mut self, site: Site<'_>, field: &[u8]) -> bool {
        let mut parts = field.split(|byte| *byte == b';');
        let pair = parts.next().unwrap_or_default().trim_ascii();
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else { return true };
        if attribute(parts.clone(), "domain").is_some_and(|domain| !site.is_of(domain)) {
            return true;
        }
        let path = attribute(parts.clone(), "path").filter(|path| path.starts_with(b"/"));
        let cookie = Cookie {
            name: pair[..at].trim_ascii().to_vec(),
            value: pair[at + 1..].trim_ascii().to_vec(),
            path: path.unwrap_or_else(|| site.directory()).to_vec(),
        };
        let same = |known: &Cookie| known.name == cookie.name && known.path == cookie.path;
        let known = self.cookies.iter().position(same);
        if let Some(place) = known {
            let old = self.cookies.remove(place);
            self.exchange(old.bytes() + OVERHEAD_BYTES, 0);
        }
        let bytes: usize = self.cookies.iter().map(Cookie::bytes).sum();
        if is_over(parts) || self.cookies.len() >= COOKIES || bytes + cookie.bytes() > COOKIES_BYTES {
            return true;
        }
        let fits = self.exchange(0, cookie.bytes() + OVERHEAD_BYTES);
        if fits {
            let after = self.cookies.partition_point(|known| known.path.len() >= cookie.path.len());
            self.cookies.insert(known.unwrap_or(after), cookie);
        }
        fits
    }

    /// Writes the `Cookie` field of a request whose path stands at this place of it, if there is any for it.
    pub(crate) fn write(&self, path: Range<usize>, out: &mut Vec<u8>) {
        let mut first = true;
        for cookie in &self.cookies {
            if !cookie.is_for(&out[path.clone()]) {
                continue;
            }
            out.extend_from_slice(if first { b"cookie: " } else { b"; " });
            out.extend_from_slice(&cookie.name);
            out.push(b'=');
            out.extend_from_slice(&cookie.value);
            first = false;
        }
        if !first {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The value of a cookie's attribute; of several the last counts (RFC 6265, section 5.3).
fn attribute<'a>(attributes: impl Iterator<Item = &'a [u8]>, wanted: &str) -> Option<&'a [u8]> {
    let value = |attribute: &'a [u8]| {
        let at = attribute.iter().position(|byte| *byte == b'=')?;
        let is_wanted = attribute[..at].trim_ascii().eq_ignore_ascii_case(wanted.as_bytes());
        is_wanted.then(|| attribute[at + 1..].trim_ascii())
    };
    attributes.filter_map(value).last()
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

    const HOME: Site<'static> = Site { host: "shop.test:8080", path: b"/" };

    /// What a request for a path says of cookies.
    fn written(jar: &Jar, path: &str) -> String {
        let mut out = path.as_bytes().to_vec();
        jar.write(0..path.len(), &mut out);
        String::from_utf8(out.split_off(path.len())).expect("text")
    }

    #[test]
    fn a_jar_keeps_the_last_cookie_of_a_name_until_it_is_taken_back() {
        let mut jar = Jar::new(RequestId(0), true, Room::new(1 << 20));
        assert_eq!(written(&jar, "/"), "");
        assert!(jar.set(HOME, b"server=a; Path=/; HttpOnly"));
        assert!(jar.set(HOME, b"basket = 7"));
        assert!(jar.set(HOME, b"server=b"));
        assert!(jar.set(HOME, b"no cookie"));
        assert_eq!(written(&jar, "/"), "cookie: server=b; basket=7\r\n");
        assert!(jar.set(HOME, b"basket=; Max-Age=0"));
        assert_eq!(written(&jar, "/"), "cookie: server=b\r\n");
    }

    /// Paths and their matches are those of RFC 6265, section 5.1.4.
    #[test]
    fn a_cookie_goes_where_its_path_leads_and_the_longest_path_comes_first() {
        let mut jar = Jar::new(RequestId(0), true, Room::new(1 << 20));
        let asked = |path: &'static str| Site { path: path.as_bytes(), ..HOME };
        assert!(jar.set(asked("/"), b"a=all; Path=/"));
        assert!(jar.set(asked("/account/login?next=/shop/7"), b"b=directory"));
        assert!(jar.set(asked("/"), b"c=shop; Path=/shop"));
        assert!(jar.set(asked("/"), b"c=basket; Path=/shop/basket/"));
        assert!(jar.set(asked("/"), b"d=last; Path=/nowhere; Path=/shop"));
        assert!(jar.set(asked("/top"), b"e=default; Path=elsewhere"));
        for (path, expected) in [
            ("/", "a=all; e=default"),
            ("/shopping", "a=all; e=default"),
            ("/shop", "c=shop; d=last; a=all; e=default"),
            ("/shop?x=1", "c=shop; d=last; a=all; e=default"),
            ("/shop/basket", "c=shop; d=last; a=all; e=default"),
            ("/shop/basket/7", "c=basket; c=shop; d=last; a=all; e=default"),
            ("/account", "b=directory; a=all; e=default"),
            ("/account/", "b=directory; a=all; e=default"),
            ("/accounts", "a=all; e=default"),
        ] {
            assert_eq!(written(&jar, path), format!("cookie: {expected}\r\n"), "{path}");
        }
        // Taken back is what has the same path, and nothing else.
        assert!(jar.set(asked("/shop/"), b"c=; Max-Age=0"));
        assert!(jar.set(asked("/shop/basket/7"), b"a=; Path=/; Max-Age=0"));
        assert_eq!(written(&jar, "/shop/basket/7"), "cookie: c=basket; d=last; e=default\r\n");
    }

    #[test]
    fn a_cookie_for_another_domain_is_not_taken() {
        let is_taken = |host: &str, domain: &str| {
            let mut jar = Jar::new(RequestId(0), true, Room::new(1 << 20));
            let field = format!("a=1; Domain={domain}; Path=/");
            assert!(jar.set(Site { host, ..HOME }, field.as_bytes()));
            !written(&jar, "/").is_empty()
        };
        for (host, domain) in [
            ("shop.test", "shop.test"),
            ("Shop.test:8080", ".shop.TEST"),
            ("www.shop.test:8080", "shop.test"),
            ("shop.test", ""),
            ("127.0.0.1:8080", "127.0.0.1"),
            ("[::1]:8080", "::1"),
        ] {
            assert!(is_taken(host, domain), "{host}, {domain}");
        }
        for (host, domain) in [
            ("shop.test", "other.test"),
            ("shop.test", "www.shop.test"),
            ("workshop.test", "shop.test"),
            ("127.0.0.1:8080", "0.0.1"),
            ("127.0.0.1:8080", "shop.test"),
            ("localhost", "shop.test"),
        ] {
            assert!(!is_taken(host, domain), "{host}, {domain}");
        }
    }

    #[test]
    fn where_a_request_went_stands_in_its_first_line() {
        let site = Site::of("[::1]:81", b"GET /a/b?c=d HTTP/1.1\r\nhost: [::1]:81\r\n\r\n");
        assert_eq!((site.name(), site.path, site.directory()), ("::1", &b"/a/b?c=d"[..], &b"/a"[..]));
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
            assert!(jar.remember(HOME, head, &mut extracted) && extracted.is_empty());
            let expected = if keeps { "cookie: a=1; b=2\r\n" } else { "" };
            assert_eq!((written(&jar, "/").as_str(), jar.value(7)), (expected, Some("token")));
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
        assert!((0..10_000).all(|n| jar.set(HOME, format!("c{n}={}", "x".repeat(1000)).as_bytes())));
        let out = written(&jar, "/");
        assert!((4_000..=COOKIES_BYTES + 8).contains(&out.len()), "{}", out.len());
    }

    #[test]
    fn users_have_so_much_room_together() {
        let room = Room::new(1000);
        let jar = || Jar::new(RequestId(0), true, room.clone());
        let (mut first, mut second) = (jar(), jar());
        let value = |length: usize| "x".repeat(length);
        assert!(first.keep(0, value(500)) && !second.keep(0, value(500)) && first.keep(0, value(100)));
        assert!(second.keep(0, value(500)) && !second.set(HOME, format!("name={}", value(400)).as_bytes()));
        drop(second);
        assert!(first.keep(1, value(500)) && !first.keep(2, value(500)));
        first.empty();
        assert!(jar().keep(0, value(900)));
    }
}
