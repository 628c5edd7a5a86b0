//! Ranges of bytes (RFC 9110, section 14): one at a time; a request for several is given all, as it may be (14.2).

use std::ops::Range;

/// What a `Range` asks for of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// All of it: the field is of another unit, malformed, or asks for several ranges.
    All,
    /// These bytes.
    Part(Range<usize>),
    /// Bytes that are not there.
    Nothing,
}

/// Reads a `Range` for a body of this length.
pub(super) fn read(value: &[u8], length: usize) -> Asked {
    let Some((first, last)) = parts(value) else { return Asked::All };
    let number = |digits: &[u8]| -> Option<usize> {
        let text = std::str::from_utf8(digits).ok().filter(|t| t.bytes().all(|b| b.is_ascii_digit()))?;
        // What no machine could hold lies behind the end.
        Some(text.parse().unwrap_or(usize::MAX))
    };
    let (Some(start), Some(end)) = (
        number(if first.is_empty() { b"0" } else { first }),
        number(if last.is_empty() { b"0" } else { last }),
    ) else {
        return Asked::All;
    };
    match (first.is_empty(), last.is_empty()) {
        (true, true) => Asked::All,
        (true, false) if end == 0 || length == 0 => Asked::Nothing,
        (true, false) => Asked::Part(length.saturating_sub(end)..length),
        (false, false) if end < start => Asked::All,
        (false, _) if start >= length => Asked::Nothing,
        (false, true) => Asked::Part(start..length),
        (false, false) => Asked::Part(start..end.saturating_add(1).min(length)),
    }
}

fn parts(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let value = value.trim_ascii();
    let unit = value.get(..6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let set = value[6..].trim_ascii();
    let dash = set.iter().position(|b| *b == b'-')?;
    (!set.contains(&b',')).then(|| (&set[..dash], &set[dash + 1..]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_cut_at_the_end() {
        for (value, expected) in [
            ("bytes=0-1", Asked::Part(0..2)),
            ("bytes=1-", Asked::Part(1..11)),
            ("bytes=-1", Asked::Part(10..11)),
            ("bytes=-99", Asked::Part(0..11)),
            ("Bytes=5-99999999999999999999999", Asked::Part(5..11)),
            ("bytes=11-", Asked::Nothing),
            ("bytes=-0", Asked::Nothing),
            ("bytes=3-2", Asked::All),
            ("bytes=0-1,3-4", Asked::All),
            ("bytes=-", Asked::All),
            ("lines=0-1", Asked::All),
            ("bytes=a-b", Asked::All),
        ] {
            assert_eq!(read(value.as_bytes(), 11), expected, "{value}");
        }
        assert_eq!(read(b"bytes=0-", 0), Asked::Nothing);
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_and_never_beyond_the_end(value in "bytes=[0-9]{0,3}-[0-9]{0,3}", length in 0_usize..200) {
            if let Asked::Part(range) = read(value.as_bytes(), length) {
                prop_assert!(range.start < range.end && range.end <= length);
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic_the_reader(value in proptest::collection::vec(any::<u8>(), 0..30)) {
            let _ = read(&value, 100);
        }
    }
}
