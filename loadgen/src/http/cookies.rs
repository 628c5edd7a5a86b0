//! What a user's client remembers from one request to the next.

use scenarios::plan::RequestId;

/// The most bytes of cookies that a user keeps, and the most of them: RFC 6265, section 6.1, asks for 50 a domain.
const COOKIES_BYTES: usize = 16 << 10;
const COOKIES: usize = 50;

/// What a user's client remembers from one request to the next.
#[derive(Clone, Debug)]
pub(crate) struct Jar {
    /// Who the user is: the name of the first request.
    pub(crate) user: RequestId,
    /// Whether the user's client keeps cookies.
    keeps_cookies: bool,
    cookies: Vec<(Vec<u8>, Vec<u8>)>,
    /// What was extracted of answers, by the numbers of the scenario's kept values.
    values: Vec<(u16, String)>,
}

impl Jar {
    pub(crate) fn new(user: RequestId, keeps_cookies: bool) -> Self {
        Self { user, keeps_cookies, cookies: Vec::new(), values: Vec::new() }
    }

    /// A new visit: nothing of the last is left.
    pub(crate) fn empty(&mut self) {
        self.cookies.clear();
        self.values.clear();
    }

    /// Whether answers' cookies are to be taken in.
    pub(crate) fn keeps_cookies(&self) -> bool {
        self.keeps_cookies
    }

    /// Keeps a value.
    pub(crate) fn keep(&mut self, number: u16, value: String) {
        match self.values.iter_mut().find(|(known, _)| *known == number) {
            Some((_, old)) => *old = value,
            None => self.values.push((number, value)),
        }
    }

    /// A kept value.
    pub(crate) fn value(&self, number: u16) -> Option<&str> {
        self.values.iter().find(|(known, _)| *known == number).map(|(_, value)| value.as_str())
    }

    /// Takes a `Set-Cookie` field in: its name and value; one of the same name is replaced. Domain, path and lifetime are
    /// not looked at, but for a lifetime that is over: a scenario's entry is one site, and no session outlasts a day.
    pub(crate) fn set(&mut self, field: &[u8]) {
        let mut parts = field.split(|byte| *byte == b';');
        let pair = parts.next().unwrap_or_default().trim_ascii();
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else { return };
        let (name, value) = (pair[..at].trim_ascii(), pair[at + 1..].trim_ascii());
        self.cookies.retain(|(known, _)| known != name);
        let over = parts.any(|part| part.trim_ascii().eq_ignore_ascii_case(b"max-age=0"));
        let bytes: usize = self.cookies.iter().map(|(name, value)| name.len() + value.len() + 3).sum();
        if !over && self.cookies.len() < COOKIES && bytes + pair.len() <= COOKIES_BYTES {
            self.cookies.push((name.to_vec(), value.to_vec()));
        }
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
        let mut jar = Jar::new(RequestId(0), true);
        let written = |jar: &Jar| {
            let mut out = Vec::new();
            jar.write(&mut out);
            String::from_utf8(out).expect("text")
        };
        assert_eq!(written(&jar), "");
        jar.set(b"server=a; Path=/; HttpOnly");
        jar.set(b"basket = 7");
        jar.set(b"server=b");
        jar.set(b"no cookie");
        assert_eq!(written(&jar), "cookie: basket=7; server=b\r\n");
        jar.set(b"basket=; Max-Age=0");
        assert_eq!(written(&jar), "cookie: server=b\r\n");
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
        let mut jar = Jar::new(RequestId(0), true);
        (0..10_000).for_each(|n| jar.set(format!("c{n}={}", "x".repeat(1000)).as_bytes()));
        let mut out = Vec::new();
        jar.write(&mut out);
        assert!(out.len() <= COOKIES_BYTES + 8, "{}", out.len());
    }
}
