//! Bans by expression, as Varnish has them (varnish-cli(7), "ban"; vcl(7), "ban(STRING)"; `cache_ban.c` of Varnish 7.1): tests of a stored
//! answer, all of which have to hold, such as `req.url ~ ^/products/ && obj.http.content-type == text/html`.
//!
//! Varnish holds them against an answer when that is next looked up; here the store is walked through at once. Of requests only the
//! address is known by then.

use std::rc::Rc;
use std::time::Duration;

use regex_lite::{Regex, RegexBuilder};

use super::fields::first;
use super::object::Object;

/// What a compiled pattern may take of memory, in bytes: as a rule, and where that is not enough for it.
const PATTERN_LIMITS: [usize; 2] = [16 << 10, 1 << 20];

/// An expression.
#[derive(Clone, Debug)]
pub(super) struct Ban(Rc<[Test]>);

/// Why an expression is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("x-ban: found {found}, expected {expected}")]
pub(super) struct Misread {
    found: String,
    expected: &'static str,
}

#[derive(Debug)]
enum Test {
    /// Of a text, which may not be there.
    Text { of: Text, is_negated: bool, check: Check },
    /// Of a time, in seconds.
    Time { of: Time, compare: fn(&f64, &f64) -> bool, seconds: f64 },
}

#[derive(Debug, PartialEq, Eq)]
enum Text {
    Url,
    Host,
    Status,
    Header(String),
}

#[derive(Debug)]
enum Check {
    Equals(String),
    /// A pattern, and what it takes of memory at most.
    Matches(Regex, usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Time {
    Age,
    Ttl,
    Grace,
    Keep,
}

impl Ban {
    /// Reads an expression.
    ///
    /// # Errors
    /// Where it is none, or asks for what is not known here.
    pub(super) fn read(text: &[u8]) -> Result<Self, Misread> {
        let misread = |found: Option<&str>, expected| Misread {
            found: found.map_or_else(|| "nothing".to_owned(), |found| format!("{found:?}")),
            expected,
        };
        let text = String::from_utf8_lossy(text);
        let words = words(&text)?;
        let mut tests = Vec::new();
        for (number, test) in words.split(|word| word == "&&").enumerate() {
            let [field, operator, argument] = test else {
                let expected = "a field, an operator and a value, and && before the next";
                let found = test.last().or_else(|| words.get(4 * number));
                return Err(misread(found.map(String::as_str), expected));
            };
            tests.push(Test::read(field, operator, argument, misread)?);
        }
        Ok(Self(tests.into()))
    }

    /// Whether an answer at an address is meant, so long after the start of the process.
    pub(super) fn hits(&self, address: &[u8], object: &Object, running: Duration) -> bool {
        self.0.iter().all(|test| test.holds(address, object, running))
    }

    /// What it takes of memory at most, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(Test::bytes).sum()
    }
}

impl Test {
    fn read(
        field: &str,
        operator: &str,
        argument: &str,
        misread: impl Fn(Option<&str>, &'static str) -> Misread,
    ) -> Result<Self, Misread> {
        let time = match field {
            "obj.age" => Some(Time::Age),
            "obj.ttl" => Some(Time::Ttl),
            "obj.grace" => Some(Time::Grace),
            "obj.keep" => Some(Time::Keep),
            _ => None,
        };
        if let Some(of) = time {
            let compare: fn(&f64, &f64) -> bool = match operator {
                "==" => f64::eq,
                "!=" => f64::ne,
                "<" => f64::lt,
                "<=" => f64::le,
                ">" => f64::gt,
                ">=" => f64::ge,
                _ => return Err(misread(Some(operator), "one of ==, !=, <, <=, > and >= for a time")),
            };
            let seconds = seconds(argument);
            let seconds =
                seconds.ok_or_else(|| misread(Some(argument), "a time such as 10s, 5m, 2h or 1d"))?;
            return Ok(Self::Time { of, compare, seconds });
        }
        let of = match field {
            "req.url" => Text::Url,
            "req.http.host" => Text::Host,
            "obj.status" => Text::Status,
            other => match other.strip_prefix("obj.http.").filter(|name| !name.is_empty()) {
                Some(name) => Text::Header(name.to_owned()),
                None => {
                    let expected = "req.url, req.http.host, obj.status, obj.age, obj.ttl, obj.grace, obj.keep or obj.http. and a field's name";
                    return Err(misread(Some(field), expected));
                }
            },
        };
        let (is_negated, is_pattern) = match operator {
            "==" => (false, false),
            "!=" => (true, false),
            "~" => (false, true),
            "!~" => (true, true),
            _ => return Err(misread(Some(operator), "one of ==, !=, ~ and !~ for a text")),
        };
        let check = if is_pattern {
            let compiled = PATTERN_LIMITS.iter().find_map(|limit| {
                let pattern = RegexBuilder::new(argument).size_limit(*limit).build().ok()?;
                Some(Check::Matches(pattern, *limit))
            });
            compiled.ok_or_else(|| misread(Some(argument), "a regular expression"))?
        } else {
            Check::Equals(argument.to_owned())
        };
        Ok(Self::Text { of, is_negated, check })
    }

    fn bytes(&self) -> usize {
        let more = match self {
            Self::Time { .. } => 0,
            Self::Text { of, check, .. } => of.bytes() + check.bytes(),
        };
        size_of::<Self>() + more
    }

    fn holds(&self, address: &[u8], object: &Object, running: Duration) -> bool {
        match self {
            Self::Time { of, compare, seconds } => compare(&of.of(object, running), seconds),
            Self::Text { of, is_negated, check } => {
                // What is not there is neither equal to anything nor matches it.
                let holds = |text: Option<&[u8]>| text.is_some_and(|text| check.holds(text)) != *is_negated;
                let (host, target) = address.split_at(
                    address.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(address.len()),
                );
                match of {
                    Text::Url => holds(Some(target)),
                    Text::Host => holds(Some(host)),
                    Text::Status => holds(Some(object.status.to_string().as_bytes())),
                    Text::Header(name) => object.with_fields(|_, headers| holds(first(headers, name))),
                }
            }
        }
    }
}

impl Text {
    fn bytes(&self) -> usize {
        if let Self::Header(name) = self { name.len() } else { 0 }
    }
}

impl Check {
    fn bytes(&self) -> usize {
        match self {
            Self::Equals(text) => text.len(),
            Self::Matches(_, most) => *most,
        }
    }

    fn holds(&self, text: &[u8]) -> bool {
        match self {
            Self::Equals(other) => text == other.as_bytes(),
            Self::Matches(pattern, _) => pattern.is_match(&String::from_utf8_lossy(text)),
        }
    }
}

impl Time {
    /// Of an answer, in seconds: how old it is, how much longer it is fresh (less than none where it is stale), and how long it may be
    /// served stale and be kept.
    fn of(self, object: &Object, running: Duration) -> f64 {
        let life = &object.life;
        let age = (life.initial_age + running.saturating_sub(object.born)).as_secs_f64();
        match self {
            Self::Age => age,
            Self::Ttl => life.ttl.as_secs_f64() - age,
            Self::Grace => life.grace.as_secs_f64(),
            Self::Keep => life.keep.as_secs_f64(),
        }
    }
}

/// A time as VCL writes it (vcl(7), "Durations").
fn seconds(text: &str) -> Option<f64> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let unit = match unit {
        "ms" => 1e-3,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        "w" => 7.0 * 86_400.0,
        "y" => 365.0 * 86_400.0,
        _ => return None,
    };
    number.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number * unit)
}

/// The words of a text: between white space, or in double quotes, in which a backslash takes the next character as it is.
fn words(text: &str) -> Result<Vec<String>, Misread> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
        let Some(begin) = rest.peek().copied() else { return Ok(words) };
        let mut word = String::new();
        if begin == '"' {
            rest.next();
            loop {
                match rest.next() {
                    Some('"') => break,
                    Some('\\') => word.extend(rest.next()),
                    Some(other) => word.push(other),
                    None => return Err(Misread { found: format!("{word:?}"), expected: "a closing quote" }),
                }
            }
        } else {
            while let Some(other) = rest.next_if(|c| !c.is_ascii_whitespace()) {
                word.push(other);
            }
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use httparse::Header;
    use proptest::prelude::*;

    use super::super::freshness::{Life, Now};
    use super::*;

    fn object() -> Object {
        let header = |name: &'static str, value: &'static str| Header { name, value: value.as_bytes() };
        let headers = [header("Content-Type", "text/html; charset=utf-8"), header("X-Shop", "one two")];
        let seconds = Duration::from_secs;
        let life = Life { ttl: seconds(60), grace: seconds(10), initial_age: seconds(5), ..Life::default() };
        let now = Now { running: seconds(100), unix_seconds: 784_111_777 };
        Object::new(200, "OK", &headers, Rc::from(&b"body"[..]), life, now)
    }

    fn hits(expression: &str) -> bool {
        let ban = Ban::read(expression.as_bytes()).unwrap_or_else(|misread| panic!("{misread}"));
        // Ten seconds after it came.
        ban.hits(b"shop:80/products/17?a=1", &object(), Duration::from_secs(110))
    }

    #[test]
    fn an_answer_is_meant_where_all_tests_hold() {
        for holds in [
            "req.url == /products/17?a=1",
            "req.url ~ ^/products/[0-9]+",
            "req.http.host == shop:80 && req.url !~ ^/lists",
            "obj.http.content-type ~ html && obj.status == 200",
            "obj.http.x-shop == \"one two\"",
            "obj.http.x-shop ~ \"^\\\"?one\"",
            "obj.http.x-none != something && obj.http.x-none !~ .",
            "obj.age >= 15s && obj.age < 16s && obj.ttl <= 45s && obj.ttl > 0.5m",
            "obj.grace == 10s && obj.keep == 0s",
        ] {
            assert!(hits(holds), "{holds}");
        }
        for fails in [
            "req.url == /products/17",
            "req.url ~ ^/products/ && obj.status != 200",
            "obj.http.x-none == something",
            "obj.http.x-none ~ .*",
            "obj.age > 1h",
        ] {
            assert!(!hits(fails), "{fails}");
        }
    }

    #[test]
    fn what_is_no_expression_is_told() {
        for (text, told) in [
            ("", "x-ban: found nothing, expected a field"),
            ("req.url", "found \"req.url\", expected a field, an operator"),
            ("req.url ~ a &&", "found nothing, expected a field"),
            ("req.http.cookie ~ a", "found \"req.http.cookie\", expected req.url, "),
            ("obj.http. ~ a", "found \"obj.http.\", expected req.url, "),
            ("obj.ttl ~ 10s", "found \"~\", expected one of ==, !=, <"),
            ("obj.ttl > 10", "found \"10\", expected a time"),
            ("req.url > a", "found \">\", expected one of ==, !=, ~"),
            ("req.url ~ (", "found \"(\", expected a regular expression"),
            ("req.url ~ (a{1000}){1000}", "expected a regular expression"),
            ("req.url ~ \"a", "found \"a\", expected a closing quote"),
        ] {
            let misread = Ban::read(text.as_bytes()).expect_err(text).to_string();
            assert!(misread.contains(told), "{text}: {misread}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_reader(text in "((req\\.url|obj\\.(ttl|status|http\\.a)|[ -~é]{0,6}) ?(==|~|<|&&|\"|\\\\)? ?){0,6}") {
            if let Ok(ban) = Ban::read(text.as_bytes()) {
                ban.hits(b"h/a", &object(), Duration::from_secs(200));
            }
        }
    }
}
