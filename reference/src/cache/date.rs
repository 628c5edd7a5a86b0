//! Dates of HTTP (RFC 9110, section 5.6.7): read in the three formats, written in the one.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// The first of January 1970 was a Thursday.
const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const DAY: i64 = 86_400;

/// Seconds since 1970; none where it is no date. `now_seconds` tells which century a year of two digits is in.
pub(super) fn read(value: &[u8], now_seconds: i64) -> Option<i64> {
    let text = std::str::from_utf8(value).ok()?.trim_ascii();
    match text.split_once(',') {
        Some((_, rest)) => {
            let mut parts = rest.split_ascii_whitespace();
            let first = parts.next()?;
            if first.contains('-') {
                return rfc_850(first, parts, now_seconds);
            }
            let (day, month, year) = (digits(first, 2)?, parts.next()?, digits(parts.next()?, 4)?);
            let time = parts.next()?;
            is_gmt(&mut parts).then(|| seconds(year, month_number(month)?, day, time))?
        }
        None => asctime(text),
    }
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`. A date that seems to lie over 50 years ahead is in the past.
fn rfc_850<'t>(date: &str, mut rest: impl Iterator<Item = &'t str>, now_seconds: i64) -> Option<i64> {
    let mut parts = date.split('-');
    let (day, month) = (digits(parts.next()?, 2)?, month_number(parts.next()?)?);
    let in_century = digits(parts.next()?, 2)?;
    let time = rest.next()?;
    if parts.next().is_some() || !is_gmt(&mut rest) {
        return None;
    }
    let this_year = year_of(now_seconds);
    let year = this_year - this_year.rem_euclid(100) + in_century;
    let year = if year > this_year + 50 { year - 100 } else { year };
    seconds(year, month, day, time)
}

/// `Sun Nov  6 08:49:37 1994`.
fn asctime(text: &str) -> Option<i64> {
    let mut parts = text.split_ascii_whitespace();
    let (_, month, day, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let year = digits(parts.next()?, 4)?;
    if parts.next().is_some() {
        return None;
    }
    let day = digits(day, day.len().clamp(1, 2))?;
    seconds(year, month_number(month)?, day, time)
}

fn is_gmt<'t>(parts: &mut impl Iterator<Item = &'t str>) -> bool {
    parts.next() == Some("GMT") && parts.next().is_none()
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let all = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    if all { text.parse().ok() } else { None }
}

fn month_number(name: &str) -> Option<i64> {
    MONTHS.iter().position(|month| *month == name).map(|index| index as i64 + 1)
}

fn seconds(year: i64, month: i64, day: i64, time: &str) -> Option<i64> {
    let mut parts = time.split(':');
    let mut next = || digits(parts.next()?, 2);
    let (hour, minute, second) = (next()?, next()?, next()?);
    let fits = parts.next().is_none() && hour < 24 && minute < 60 && second <= 60 && (1..=31).contains(&day);
    fits.then(|| days_before(year, month, day) * DAY + hour * 3600 + minute * 60 + second)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The same the other way round: year, month, day.
fn date_of(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let years = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (years + era * 400 + i64::from(month <= 2), month, day)
}

fn year_of(seconds: i64) -> i64 {
    date_of(seconds.div_euclid(DAY)).0
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn write(seconds: i64) -> String {
    let days = seconds.div_euclid(DAY);
    let of_day = seconds.rem_euclid(DAY);
    let (year, month, day) = date_of(days);
    let weekday = WEEKDAYS[days.rem_euclid(7) as usize];
    let month = MONTHS[month as usize - 1];
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{weekday}, {day:02} {month} {year:04} {hour:02}:{minute:02}:{second:02} GMT")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// 2026-01-01.
    const NOW: i64 = 1_767_225_600;

    #[test]
    fn the_three_formats_of_one_moment_are_read_alike() {
        let moment = Some(784_111_777);
        assert_eq!(read(b"Sun, 06 Nov 1994 08:49:37 GMT", NOW), moment);
        assert_eq!(read(b"Sunday, 06-Nov-94 08:49:37 GMT", NOW), moment);
        assert_eq!(read(b"Sun Nov  6 08:49:37 1994", NOW), moment);
        assert_eq!(write(784_111_777), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in ["0", "", "foo", "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 06 Nov 94 08:49:37 GMT", "Sun, 6"]
        {
            assert_eq!(read(text.as_bytes(), NOW), None, "{text}");
        }
    }

    #[test]
    fn a_year_of_two_digits_is_not_more_than_fifty_years_ahead() {
        let year = |text: &str| read(text.as_bytes(), NOW).map(year_of);
        assert_eq!(year("Thursday, 18-Aug-50 02:01:18 GMT"), Some(2050));
        assert_eq!(year("Thursday, 18-Aug-77 02:01:18 GMT"), Some(1977));
    }

    proptest! {
        #[test]
        fn a_written_date_is_read_as_the_same_moment(seconds in 0_i64..20_000_000_000) {
            prop_assert_eq!(read(write(seconds).as_bytes(), NOW), Some(seconds));
        }

        #[test]
        fn arbitrary_bytes_never_panic_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = read(&bytes, NOW);
        }
    }
}
