//! `Accept-Language` (RFC 9110, section 12.5.4): which of a site's languages a request prefers, by lookup (RFC 4647, section 3.4).

use std::cmp::Reverse;

/// The field, in lower case.
pub(super) const NAME: &str = "accept-language";
/// The bytes that are read of a request's preferences, all lines together; those who send more are heard in nothing.
const LENGTH_LIMIT: usize = 1024;
/// The ranges that are read of them, likewise.
const RANGES_LIMIT: usize = 32;

/// The languages of a site, the one for those who prefer none of them first.
#[derive(Clone, Debug)]
pub(super) struct Languages(Box<[Box<str>]>);

/// What a request says of some languages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range<'b> {
    /// `de`, `de-AT`, or `*` for those that no other range names.
    name: &'b [u8],
    /// In thousandths; zero where they are not wanted.
    weight: u16,
}

impl Languages {
    /// Of these tags; none where there are none.
    pub(super) fn new<'a>(tags: impl Iterator<Item = &'a str>) -> Option<Self> {
        let tags: Box<[Box<str>]> = tags.map(Box::from).collect();
        (!tags.is_empty()).then_some(Self(tags))
    }

    /// The language for a request that has these lines of the field.
    ///
    /// Ranges are looked up by their weights, and in their order among those of one weight. Where nothing is found it is the first
    /// language that was not refused; where all are, the field is disregarded, as RFC 9110 allows.
    pub(super) fn choose<'b>(&self, lines: impl Iterator<Item = &'b [u8]>) -> &str {
        let ranges = read(lines);
        let mut wanted = ranges.iter().take_while(|range| range.weight > 0);
        let found = wanted.find_map(|range| self.find(range, &ranges));
        found.or_else(|| self.allowed(&ranges).next()).unwrap_or(&self.0[0])
    }

    /// The languages that are not refused.
    fn allowed<'a>(&'a self, ranges: &[Range<'_>]) -> impl Iterator<Item = &'a str> {
        self.0.iter().map(|language| &**language).filter(|language| is_allowed(language, ranges))
    }

    /// The language that a range finds: the very one; the first one that it begins (`de` finds `de-AT`); the one that is left as
    /// parts are taken off its end (`de-AT` finds `de`).
    fn find<'a>(&'a self, range: &Range<'_>, all: &[Range<'_>]) -> Option<&'a str> {
        if range.is_star() {
            // It stands for what no other range matches: RFC 2616, section 14.4, which later ones leave open.
            let is_others = |language: &str| all.iter().any(|r| !r.is_star() && r.matches(language));
            return self.allowed(all).find(|language| !is_others(language));
        }
        let named =
            |name: &[u8]| self.allowed(all).find(|language| language.as_bytes().eq_ignore_ascii_case(name));
        let begun = || self.allowed(all).find(|language| range.matches(language));
        let shorter =
            || std::iter::successors(shortened(range.name), |&name| shortened(name)).find_map(named);
        named(range.name).or_else(begun).or_else(shorter)
    }
}

impl Range<'_> {
    fn is_star(&self) -> bool {
        self.name == b"*"
    }

    /// Basic filtering (RFC 4647, section 3.3.1).
    fn matches(&self, language: &str) -> bool {
        let (tag, name) = (language.as_bytes(), self.name);
        let is_begun = || tag.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        self.is_star() || is_begun() && tag.get(name.len()).is_none_or(|next| *next == b'-')
    }
}

/// Whether a language is not refused: what says most of it counts, and of what says as much the greatest weight.
fn is_allowed(language: &str, ranges: &[Range<'_>]) -> bool {
    let about = ranges.iter().filter(|range| range.matches(language));
    let decides =
        about.max_by_key(|range| (if range.is_star() { 0 } else { range.name.len() }, range.weight));
    decides.is_none_or(|range| range.weight > 0)
}

/// A range without its last part; also without a single letter or digit before it, which only introduces others (RFC 4647,
/// section 3.4).
fn shortened(name: &[u8]) -> Option<&[u8]> {
    let without_last = |name: &[u8]| name.iter().rposition(|b| *b == b'-');
    let shorter = &name[..without_last(name)?];
    match without_last(shorter) {
        Some(at) if shorter.len() - at == 2 => Some(&shorter[..at]),
        _ => Some(shorter),
    }
}

/// The ranges of all lines, the greatest weights first. Those that are malformed are left out.
fn read<'b>(lines: impl Iterator<Item = &'b [u8]>) -> Vec<Range<'b>> {
    let (mut ranges, mut length) = (Vec::new(), 0);
    for line in lines {
        length += line.len();
        if length > LENGTH_LIMIT {
            return Vec::new();
        }
        ranges.extend(line.split(|b| *b == b',').filter_map(|member| range(member.trim_ascii())));
    }
    if ranges.len() > RANGES_LIMIT {
        return Vec::new();
    }
    ranges.sort_by_key(|range| Reverse(range.weight));
    ranges
}

fn range(member: &[u8]) -> Option<Range<'_>> {
    let mut parts = member.split(|b| *b == b';').map(<[u8]>::trim_ascii);
    let name = parts.next().filter(|name| is_range(name))?;
    let weight = parts.next().map_or(Some(1000), weight)?;
    // A weight is all that a range can have.
    parts.next().is_none().then_some(Range { name, weight })
}

fn is_range(name: &[u8]) -> bool {
    let mut parts = name.split(|b| *b == b'-');
    let is_part = |part: &[u8]| (1..=8).contains(&part.len()) && part.iter().all(u8::is_ascii_alphanumeric);
    let is_language = |part: &[u8]| is_part(part) && part.iter().all(u8::is_ascii_alphabetic);
    name == b"*" || parts.next().is_some_and(is_language) && parts.all(is_part)
}

/// A weight in thousandths (RFC 9110, section 12.4.2).
fn weight(parameter: &[u8]) -> Option<u16> {
    let (whole, fraction) = match parameter {
        [b'q' | b'Q', b'=', whole] => (whole, &[][..]),
        [b'q' | b'Q', b'=', whole, b'.', fraction @ ..] => (whole, fraction),
        _ => return None,
    };
    if fraction.len() > 3 || !fraction.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |place: usize| fraction.get(place).map_or(0, |digit| u16::from(digit - b'0'));
    let thousandths = (0..3).fold(0, |sum, place| sum * 10 + digit(place));
    match whole {
        b'0' => Some(thousandths),
        b'1' if thousandths == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use scenarios::Scenario;

    use super::*;

    fn languages(tags: &str) -> Languages {
        Languages::new(tags.split(' ')).expect("there are some")
    }

    fn chosen(tags: &str, lines: &[&str]) -> String {
        languages(tags).choose(lines.iter().map(|line| line.as_bytes())).to_owned()
    }

    #[test]
    fn the_language_that_is_preferred_is_chosen() {
        let table: &[(&str, &str, &str)] = &[
            // Nothing is said, or nothing that can be had.
            ("en de fr", "", "en"),
            ("en de fr", "it, es;q=0.5", "en"),
            ("en de fr", " , ,", "en"),
            // By weight, then by order.
            ("en de fr", "de", "de"),
            ("en de fr", "DE", "de"),
            ("en de fr", "fr, de", "fr"),
            ("en de fr", "de;q=0.5, fr;q=0.501", "fr"),
            ("en de fr", "it, de;q=0.3, fr;q=0.9", "fr"),
            ("en de fr", "de ; q=0.7 ,\tfr;Q=0.70", "de"),
            ("en de fr", "fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"),
            // Ranges are shortened until they find something.
            ("en de fr", "de-AT", "de"),
            ("en de fr", "de-Latn-AT-1996, en", "de"),
            ("en de fr", "de-x-private, en", "de"),
            ("en de fr", "it-CH, fr-CH;q=0.1", "fr"),
            ("en de de-AT", "de-AT, de;q=0.9", "de-AT"),
            ("en de de-AT", "de-CH", "de"),
            ("en zh-Hant", "zh-Hant-u-co-pinyin-x-1", "zh-Hant"),
            // Shorter ones find longer ones, as whole parts only.
            ("en de-AT de-CH", "de", "de-AT"),
            ("en de-AT de", "de", "de"),
            ("en de-AT", "de-CH", "en"),
            ("en den", "de", "en"),
            // A star finds what nobody else names.
            ("en de fr", "*", "en"),
            ("en de fr", "de, *;q=0.5", "de"),
            ("en de fr", "*, en;q=0.5", "de"),
            ("en de fr", "it, *;q=0.1", "en"),
            ("en", "*, en;q=0.5", "en"),
            // What has no weight is not wanted.
            ("en de fr", "en;q=0", "de"),
            ("en de fr", "en;q=0, de;q=0.000", "fr"),
            ("en de fr", "en;q=0, *", "de"),
            ("en de fr", "*;q=0, fr;q=0.1", "fr"),
            ("en de fr", "de-AT, de;q=0", "en"),
            ("en de de-AT", "de;q=0, de-AT;q=0.5", "de-AT"),
            ("en de de-AT", "de-AT;q=0, de", "de"),
            ("en de fr", "en;q=0, en", "en"),
            // All are refused, so that nothing is.
            ("en de fr", "*;q=0", "en"),
            ("en de", "de;q=0, en;q=0.0", "en"),
            // What is malformed says nothing, what stands beside it does.
            ("en de fr", "de;q=2", "en"),
            ("en de fr", "de;q=1.001, fr;q=0.1", "fr"),
            ("en de fr", "de;q=0.1234, fr;q=0.1", "fr"),
            ("en de fr", "de;q=-1", "en"),
            ("en de fr", "de;q=.5", "en"),
            ("en de fr", "de;q", "en"),
            ("en de fr", "de;level=1", "en"),
            ("en de fr", "de;q=1;q=1", "en"),
            ("en de fr", "de;q=1.", "de"),
            ("en de fr", "de_AT, fr;q=0.2", "fr"),
            ("en de fr", "de-, -de, 1de, fr;q=0.2", "fr"),
            ("en de fr", "*-de, de-*", "en"),
            ("en de fr", "deutschland", "en"),
            ("en de fr", "\u{e9}\u{0}\u{ff}, de", "de"),
        ];
        for (tags, header, expected) in table {
            assert_eq!(chosen(tags, &[header]), *expected, "{header:?} among {tags}");
        }
    }

    #[test]
    fn lines_are_one_list_and_no_line_is_an_empty_one() {
        assert_eq!(chosen("en de fr", &["fr;q=0.1", "de;q=0.2, it"]), "de");
        assert_eq!(chosen("en de fr", &[]), "en");
    }

    #[test]
    fn who_says_too_much_is_heard_in_nothing() {
        let many = |count: usize| "it,".repeat(count) + "de";
        assert_eq!(chosen("en de", &[&many(RANGES_LIMIT - 1)]), "de");
        assert_eq!(chosen("en de", &[&many(RANGES_LIMIT)]), "en");
        let long = |length: usize| "de".to_owned() + &" ".repeat(length - 2);
        assert_eq!(chosen("en de", &[&long(LENGTH_LIMIT)]), "de");
        assert_eq!(chosen("en de", &[&long(LENGTH_LIMIT + 1)]), "en");
        assert_eq!(chosen("en de", &[&long(LENGTH_LIMIT), "a"]), "en");
    }

    #[test]
    fn what_load_generators_send_finds_the_value_that_simulators_count() {
        for tags in ["en", "en de", "de de-AT en", "de-AT de", "zh-Hant zh-Hans zh en-GB"] {
            let quoted: Vec<String> = tags.split(' ').map(|tag| format!("{tag:?}")).collect();
            let text = format!(
                r#"
title = "Languages"
run = {{ duration = "10s" }}
hosts.app = {{}}
components.shop = {{ kind = "service", host = "app" }}
requests.page = {{ path = "/", cache = {{ ttl = "5s", vary.language = {{ accept_language = [{}], raw = 200 }} }} }}
traffic.all = {{ to = "shop", executor = "constant-arrival-rate", rate = "10/s", mix = {{ page = 1 }} }}
"#,
                quoted.join(", ")
            );
            let scenario =
                Scenario::parse("languages.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
            let vary = &scenario.requests[0].cache.as_ref().expect("it is kept").vary[0];
            let site = languages(tags);
            for number in 0..u64::from(vary.raw) {
                let said = vary.value(number).to_string();
                let counted = &vary.languages[(number % u64::from(vary.values)) as usize];
                assert_eq!(site.choose(std::iter::once(said.as_bytes())), counted.as_str(), "{said}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_choose_a_language_that_chooses_itself(
            lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..4)
        ) {
            let site = languages("en de-AT de fr");
            let first = site.choose(lines.iter().map(Vec::as_slice)).to_owned();
            prop_assert_eq!(site.choose(std::iter::once(first.as_bytes())), &first);
        }

        #[test]
        fn a_language_that_is_refused_by_name_is_chosen_only_where_all_are(
            header in "([defr*-]{1,5}(;q=[01](\\.[0-9]{1,3})?)?[, ]{0,2}){0,6}",
            refused in "en|de|fr",
        ) {
            // What refuses it is all that names it.
            prop_assume!(!header.contains(&refused));
            let (site, header) = (languages("en de fr"), format!("{header},{refused};q=0"));
            let ranges = read(std::iter::once(header.as_bytes()));
            let is_open = site.allowed(&ranges).next().is_some();
            prop_assert!(!is_open || site.choose(std::iter::once(header.as_bytes())) != refused);
        }
    }
}
