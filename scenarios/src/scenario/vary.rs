//! What beside the path tells objects apart, and how a request says which value it has of it.

use std::fmt;
use std::str::FromStr;

use crate::quantity::Misread;
use crate::rng::Purpose;

/// The field of requests in which clients say which languages they prefer (RFC 9110, section 12.5.4).
const ACCEPT_LANGUAGE: &str = "accept-language";

/// Something beside the path that tells objects apart: every request has one of its values, all equally often.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vary {
    /// Its name in the file.
    pub name: String,
    /// How many values there are once made alike.
    pub values: u32,
    /// How many come in requests. Made alike, the one numbered n is the value numbered n modulo `values`.
    pub raw: u32,
    /// The site's languages, the one for those who prefer none of them first, where it is the language that tells objects apart:
    /// they are its values. Empty otherwise.
    pub languages: Vec<Language>,
}

impl Vary {
    /// What the draws of its values are for. Languages come in one field of requests, whatever classes call them.
    pub fn purpose(&self) -> Purpose {
        let name = if self.languages.is_empty() { self.name.as_str() } else { ACCEPT_LANGUAGE };
        Purpose::named(&format!("vary {name}"))
    }

    /// The request header that says which value a request has, where requests are really sent.
    pub fn header(&self) -> String {
        if self.languages.is_empty() {
            format!("x-{}", self.name.to_ascii_lowercase())
        } else {
            ACCEPT_LANGUAGE.to_owned()
        }
    }

    /// What that header says of the value of this number, which is below `raw`: no two say the same.
    pub fn value(&self, number: u64) -> VaryValue<'_> {
        VaryValue { languages: &self.languages, number }
    }
}

/// A value as a request's header says it: its number, or preferences among which a language of the site's comes first.
#[derive(Clone, Copy, Debug)]
pub struct VaryValue<'a> {
    languages: &'a [Language],
    number: u64,
}

impl fmt::Display for VaryValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.languages.len() as u64;
        if count == 0 {
            return write!(f, "{}", self.number);
        }
        let of = |number: u64| &self.languages[(number % count) as usize];
        let (language, other) = (of(self.number), of(self.number + 1));
        // No site has a private variety (`x`, RFC 5646, section 2.2.7) of a language, so that looking it up ends at the language.
        match self.number / count {
            0 => write!(f, "{language}"),
            variety if variety % 2 == 1 => write!(f, "{language}-x-{variety}, {other};q=0.5"),
            variety => write!(f, "{other};q=0.5, {language}-x-{variety};q=0.9"),
        }
    }
}

/// A language tag (RFC 5646) without extensions and private parts: `de`, `de-AT`, `zh-Hant`. Upper and lower case are alike.
#[derive(Clone, Debug)]
pub struct Language(String);

impl Language {
    /// The longest that is taken, in bytes: RFC 5646, section 4.4.1.
    const LONGEST: usize = 35;

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl PartialEq for Language {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Language {}

impl FromStr for Language {
    type Err = Misread;

    /// Reads `de-AT`.
    fn from_str(text: &str) -> Result<Self, Misread> {
        let is_part = |part: &str| (2..=8).contains(&part.len());
        let mut parts = text.split('-');
        let is_language =
            parts.next().is_some_and(|part| is_part(part) && part.bytes().all(|b| b.is_ascii_alphabetic()));
        let is_tag = is_language
            && parts.all(|part| is_part(part) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
            && text.len() <= Self::LONGEST;
        if is_tag {
            return Ok(Self(text.to_owned()));
        }
        Err(Misread::new("a language tag without extensions").hint("write \"de\" or \"de-AT\""))
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn vary(languages: &[&str], raw: u32) -> Vary {
        let languages: Vec<Language> = languages.iter().map(|l| l.parse().expect("a tag")).collect();
        Vary { name: "Group".to_owned(), values: languages.len().max(1) as u32, raw, languages }
    }

    #[test]
    fn numbers_say_themselves_and_languages_say_preferences() {
        let groups = vary(&[], 7);
        assert_eq!((groups.header(), groups.value(6).to_string()), ("x-group".to_owned(), "6".to_owned()));
        let languages = vary(&["en", "de-AT"], 7);
        assert_eq!(languages.header(), "accept-language");
        let said: Vec<String> = (0..6).map(|number| languages.value(number).to_string()).collect();
        assert_eq!(
            said,
            [
                "en",
                "de-AT",
                "en-x-1, de-AT;q=0.5",
                "de-AT-x-1, en;q=0.5",
                "de-AT;q=0.5, en-x-2;q=0.9",
                "en;q=0.5, de-AT-x-2;q=0.9",
            ]
        );
    }

    #[test]
    fn no_two_values_say_the_same() {
        for languages in [&["en"][..], &["en", "de"], &["en", "de", "zh-Hant", "de-AT"]] {
            let vary = vary(languages, 1000);
            let said: BTreeSet<String> = (0..1000).map(|number| vary.value(number).to_string()).collect();
            assert_eq!(said.len(), 1000, "{languages:?}");
        }
    }

    #[test]
    fn a_tag_is_of_letters_and_digits_between_hyphens() {
        for text in ["de", "de-AT", "zh-Hant-TW", "es-419", "tlh"] {
            assert_eq!(text.parse::<Language>().expect("a tag").to_string(), text);
        }
        for text in
            ["", "d", "de-", "-de", "de_AT", "de-x-1", "*", "de;q=1", "1de", "deutschland", "de, en", "dé"]
        {
            assert!(text.parse::<Language>().is_err(), "{text}");
        }
        assert!("de".repeat(40).parse::<Language>().is_err());
        assert!(["abcdefgh"; 5].join("-").parse::<Language>().is_err());
        assert_eq!("de-at".parse::<Language>(), "DE-AT".parse());
    }
}
