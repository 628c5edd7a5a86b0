//! Whether an answer may be kept (RFC 9111, section 3), how long it is fresh and how old it is (section 4.2), and what it
//! is good for at an age.

use std::time::Duration;

use httparse::Header;

use super::date;
use super::directives::{Directives, LONGEST_SECONDS};
use super::fields::{first, has, values};
use super::vary::Vary;

/// Statuses whose answers may be kept without being told (RFC 9110, section 15.1), but 206, which is not kept here.
const HEURISTICALLY_CACHEABLE: [u16; 11] = [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501];
/// Statuses beyond those whose meaning for a cache is known here, for `must-understand`.
const UNDERSTOOD: [u16; 4] = [302, 303, 307, 451];
/// The guess from a last change is at most this: section 4.2.2 asks to be told of more, and nobody is there to be told.
const LONGEST_GUESS: Duration = Duration::from_secs(86_400);

/// What the cache's settings say where an answer says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Defaults {
    /// How long an answer may be served stale.
    pub(super) grace: Duration,
    /// How long after that it is kept for a conditional fetch.
    pub(super) keep: Duration,
}

/// When something happens: by a clock that never goes back, and by the calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Now {
    /// Since the start of the process.
    pub(super) running: Duration,
    /// Since 1970.
    pub(super) unix_seconds: i64,
}

/// How long a kept answer is good for what; each from the end of the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Life {
    /// How long it is fresh, from its making.
    pub(super) ttl: Duration,
    /// How long after that it may be served while another is fetched.
    pub(super) grace: Duration,
    /// How long after its freshness it may be served where the back end fails.
    pub(super) if_error: Duration,
    /// How long after both of those it is kept for a conditional fetch.
    pub(super) keep: Duration,
    /// Whether it must be confirmed before every use (`no-cache`).
    pub(super) always_confirmed: bool,
    /// How old it was when it came.
    pub(super) initial_age: Duration,
}

/// What a kept answer is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// To be served.
    Fresh,
    /// To be served while another is fetched.
    Grace,
    /// To be confirmed by the back end.
    Keep,
    /// For nothing.
    Gone,
}

impl Life {
    /// What it is good for, so long after it came.
    pub(super) fn phase(&self, resident: Duration) -> Phase {
        let age = self.initial_age.saturating_add(resident);
        if age >= self.end() {
            Phase::Gone
        } else if self.always_confirmed {
            Phase::Keep
        } else if age < self.ttl {
            Phase::Fresh
        } else if age < self.ttl.saturating_add(self.grace) {
            Phase::Grace
        } else {
            Phase::Keep
        }
    }

    /// Whether it may be served because the back end fails (RFC 5861, section 4; RFC 9111, section 4.2.4).
    pub(super) fn serves_errors(&self, resident: Duration) -> bool {
        let age = self.initial_age.saturating_add(resident);
        !self.always_confirmed && age < self.ttl.saturating_add(self.grace.max(self.if_error))
    }

    /// The age at which it goes.
    fn end(&self) -> Duration {
        self.ttl.saturating_add(self.grace.max(self.if_error)).saturating_add(self.keep)
    }

    /// How long after it came it goes.
    pub(super) fn stays(&self) -> Duration {
        self.end().saturating_sub(self.initial_age)
    }

    /// Whether each use needs a fetch, so that to wait for another's is of no use.
    pub(super) fn is_never_fresh(&self) -> bool {
        self.always_confirmed || self.initial_age >= self.ttl
    }
}

/// Whether the answer to a GET may be kept, and for how long; none where it may not. `authorised` says that the request
/// carried `Authorization`.
pub(super) fn judge(
    status: u16,
    headers: &[Header<'_>],
    authorised: bool,
    defaults: Defaults,
    now: Now,
) -> Option<Life> {
    let d = Directives::of_answer(headers);
    if status < 200 || matches!(status, 206 | 304) || d.private || Vary::read(headers) == Vary::Everything {
        return None;
    }
    let understood = HEURISTICALLY_CACHEABLE.contains(&status) || UNDERSTOOD.contains(&status);
    // Who understands `must-understand` passes over the `no-store` that stands beside it for the others (5.2.2.3).
    let refused = if d.must_understand { !understood } else { d.no_store };
    let for_many = d.public || d.s_maxage.is_some();
    // An answer that gives its asker a cookie is his, unless it says otherwise; Varnish's built-in rules pass it as well.
    if refused || authorised && !(for_many || d.must_revalidate) || has(headers, "set-cookie") && !for_many {
        return None;
    }
    let initial_age = initial_age(headers, now);
    let ttl = match (explicit_lifetime(&d, headers, now), heuristic_lifetime(status, &d, headers, now)) {
        (Some(explicit), _) => explicit,
        (None, Some(guess)) => guess,
        (None, None) if d.no_cache => Duration::ZERO,
        (None, None) => return None,
    };
    let never_stale = d.must_revalidate || d.proxy_revalidate || d.s_maxage.is_some() || d.no_cache;
    let allowed = |time: Duration| if never_stale { Duration::ZERO } else { time };
    let confirmable = has(headers, "etag") || has(headers, "last-modified");
    let life = Life {
        ttl,
        grace: allowed(d.stale_while_revalidate.unwrap_or(defaults.grace)),
        if_error: allowed(d.stale_if_error.unwrap_or_default()),
        // Without a validator there is nothing that a conditional fetch could ask.
        keep: if confirmable { d.keep.unwrap_or(defaults.keep) } else { Duration::ZERO },
        always_confirmed: d.no_cache,
        initial_age,
    };
    // What is stale as it comes is worth keeping only where it can be confirmed.
    let worth = if life.is_never_fresh() { confirmable } else { true };
    (worth && life.stays() > Duration::ZERO).then_some(life)
}

/// Section 4.2.1, for a shared cache.
fn explicit_lifetime(d: &Directives, headers: &[Header<'_>], now: Now) -> Option<Duration> {
    if let Some(told) = d.s_maxage.or(d.max_age) {
        return Some(told);
    }
    let expires = first(headers, "expires")?;
    // What is no date, such as 0, is in the past (section 5.3).
    let Some(expires) = date::read(expires, now.unix_seconds) else { return Some(Duration::ZERO) };
    let date = date_of(headers, now);
    Some(Duration::from_secs(u64::try_from(expires - date).unwrap_or(0)))
}

/// Section 4.2.2: a tenth of the time since the last change.
fn heuristic_lifetime(status: u16, d: &Directives, headers: &[Header<'_>], now: Now) -> Option<Duration> {
    if !(HEURISTICALLY_CACHEABLE.contains(&status) || d.public) {
        return None;
    }
    let changed = date::read(first(headers, "last-modified")?, now.unix_seconds)?;
    let unchanged_for = u64::try_from(date_of(headers, now) - changed).unwrap_or(0);
    Some(Duration::from_secs(unchanged_for / 10).min(LONGEST_GUESS))
}

fn date_of(headers: &[Header<'_>], now: Now) -> i64 {
    first(headers, "date").and_then(|d| date::read(d, now.unix_seconds)).unwrap_or(now.unix_seconds)
}

/// Section 4.2.3, without the time on the way, which is short here. Of a list in `Age` the first member counts, and what is
/// no number is passed over (section 5.1).
fn initial_age(headers: &[Header<'_>], now: Now) -> Duration {
    let apparent = u64::try_from(now.unix_seconds - date_of(headers, now)).unwrap_or(0);
    let told = values(headers, "age").next().and_then(|value| {
        let number = value.split(|b| *b == b',').next()?.trim_ascii();
        let digits = std::str::from_utf8(number).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
        // What is longer than any number that can be told counts as the longest (section 1.2.2).
        (!digits.is_empty()).then(|| digits.parse().unwrap_or(LONGEST_SECONDS).min(LONGEST_SECONDS))
    });
    Duration::from_secs(apparent.max(told.unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: Now = Now { running: Duration::from_secs(50), unix_seconds: 1_767_225_600 };
    const NONE: Defaults = Defaults { grace: Duration::ZERO, keep: Duration::ZERO };

    fn life_with(status: u16, fields: &[(&str, &str)], authorised: bool, defaults: Defaults) -> Option<Life> {
        let headers: Vec<_> =
            fields.iter().map(|(name, value)| Header { name, value: value.as_bytes() }).collect();
        judge(status, &headers, authorised, defaults, NOW)
    }

    fn life(status: u16, fields: &[(&str, &str)]) -> Option<Life> {
        life_with(status, fields, false, NONE)
    }

    fn ttl(fields: &[(&str, &str)]) -> Option<u64> {
        life(200, fields).map(|life| life.ttl.as_secs())
    }

    fn at(offset: i64) -> String {
        date::write(NOW.unix_seconds + offset)
    }

    #[test]
    fn a_shared_cache_prefers_s_maxage_to_max_age_to_expires() {
        assert_eq!(ttl(&[("cache-control", "max-age=60, s-maxage=5"), ("expires", &at(900))]), Some(5));
        assert_eq!(ttl(&[("cache-control", "max-age=60"), ("expires", "0")]), Some(60));
        assert_eq!(ttl(&[("expires", &at(100)), ("date", &at(0))]), Some(100));
        assert_eq!(ttl(&[("expires", &at(300)), ("date", &at(400))]), None);
        assert_eq!(ttl(&[("expires", "0")]), None);
        assert_eq!(ttl(&[]), None);
    }

    #[test]
    fn an_answer_with_a_cookie_is_kept_only_where_it_says_that_it_is_for_many() {
        let with_cookie = |value| ttl(&[("cache-control", value), ("set-cookie", "session=1")]);
        assert_eq!(with_cookie("max-age=60"), None);
        assert_eq!(with_cookie("max-age=60, public"), Some(60));
        assert_eq!(with_cookie("s-maxage=60"), Some(60));
    }

    #[test]
    fn an_age_beyond_all_numbers_is_the_longest() {
        let age = |text: &str| initial_age(&[Header { name: "age", value: text.as_bytes() }], NOW).as_secs();
        assert_eq!(age("99999999999999999999999"), 1 << 31);
        assert_eq!((age("7"), age("x"), age("")), (7, 0, 0));
    }

    #[test]
    fn what_must_not_be_kept_is_not() {
        for value in ["no-store, max-age=60", "private, max-age=60", "max-age=0", "must-understand, no-store"]
        {
            assert_eq!(ttl(&[("cache-control", value)]), None, "{value}");
        }
        assert_eq!(ttl(&[("cache-control", "max-age=60"), ("vary", "a, *")]), None);
        assert_eq!(life(599, &[("cache-control", "must-understand, max-age=60")]), None);
        assert_eq!(ttl(&[("cache-control", "must-understand, no-store, max-age=60")]), Some(60));
        assert_eq!(life(206, &[("cache-control", "max-age=60")]), None);
    }

    #[test]
    fn an_answer_to_somebody_who_is_authorised_is_kept_only_where_it_says_so() {
        let kept = |value| life_with(200, &[("cache-control", value)], true, NONE).is_some();
        assert!(!kept("max-age=60"));
        assert!(kept("max-age=60, public") && kept("s-maxage=60") && kept("max-age=60, must-revalidate"));
    }

    #[test]
    fn a_lifetime_is_guessed_from_the_last_change_for_some_statuses() {
        let (changed, date) = (at(-1000), at(0));
        let fields = [("last-modified", changed.as_str()), ("date", date.as_str())];
        assert_eq!(ttl(&fields), Some(100));
        for status in [201, 403, 500, 503, 599] {
            assert_eq!(life(status, &fields), None, "{status}");
        }
        let public = [fields[0], fields[1], ("cache-control", "public")];
        assert!(life(599, &public).is_some());
    }

    #[test]
    fn age_is_what_it_says_or_what_its_date_shows() {
        let age = |fields: &[(&str, &str)]| {
            let mut fields = fields.to_vec();
            fields.push(("cache-control", "max-age=9999"));
            life(200, &fields).map(|life| life.initial_age.as_secs())
        };
        assert_eq!(age(&[("age", "30")]), Some(30));
        assert_eq!(age(&[("age", "30, 7")]), Some(30));
        assert_eq!(age(&[("age", "x")]), Some(0));
        assert_eq!(age(&[("date", &at(-40)), ("age", "30")]), Some(40));
        assert_eq!(age(&[("date", &at(40))]), Some(0));
    }

    #[test]
    fn grace_and_keep_follow_freshness_unless_staleness_is_forbidden() {
        let defaults = Defaults { grace: Duration::from_secs(10), keep: Duration::from_secs(100) };
        let of = |value| {
            life_with(200, &[("cache-control", value), ("etag", "\"a\"")], false, defaults)
                .expect("it is kept")
        };
        let phase = |life: Life, seconds| life.phase(Duration::from_secs(seconds));
        let plain = of("max-age=60");
        assert_eq!(
            [0, 59, 60, 69, 70, 169, 170].map(|s| phase(plain, s)),
            [Phase::Fresh, Phase::Fresh, Phase::Grace, Phase::Grace, Phase::Keep, Phase::Keep, Phase::Gone]
        );
        assert_eq!(phase(of("max-age=60, must-revalidate"), 60), Phase::Keep);
        assert_eq!(phase(of("s-maxage=60"), 60), Phase::Keep);
        assert_eq!(phase(of("max-age=60, stale-while-revalidate=30"), 89), Phase::Grace);
        assert_eq!(phase(of("max-age=60, no-cache"), 0), Phase::Keep);
        let on_error = of("max-age=60, stale-while-revalidate=0, stale-if-error=20");
        assert!(phase(on_error, 60) == Phase::Keep && on_error.serves_errors(Duration::from_secs(79)));
        assert!(!on_error.serves_errors(Duration::from_secs(80)));
    }

    #[test]
    fn what_cannot_be_confirmed_is_not_kept_for_it() {
        let defaults = Defaults { grace: Duration::ZERO, keep: Duration::from_secs(100) };
        let life = life_with(200, &[("cache-control", "max-age=60")], false, defaults).expect("it is kept");
        assert_eq!(life.stays(), Duration::from_secs(60));
        assert_eq!(life_with(200, &[("cache-control", "no-cache")], false, defaults), None);
    }

    proptest! {
        #[test]
        fn phases_only_go_forward(ttl in 0_u64..100, grace in 0_u64..100, keep in 0_u64..100, age in 0_u64..50) {
            let life = Life {
                ttl: Duration::from_secs(ttl),
                grace: Duration::from_secs(grace),
                keep: Duration::from_secs(keep),
                initial_age: Duration::from_secs(age),
                ..Life::default()
            };
            let rank = |seconds| match life.phase(Duration::from_secs(seconds)) {
                Phase::Fresh => 0,
                Phase::Grace => 1,
                Phase::Keep => 2,
                Phase::Gone => 3,
            };
            for second in 0..300 {
                prop_assert!(rank(second) <= rank(second + 1));
            }
            prop_assert_eq!(life.phase(life.stays()), Phase::Gone);
        }
    }
}
