//! Header fields by their names.

use httparse::Header;

/// The values of all fields of this name, in order.
pub(super) fn values<'h, 'b>(
    headers: &'h [Header<'b>],
    name: &'h str,
) -> impl Iterator<Item = &'b [u8]> + 'h {
    headers.iter().filter(move |h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
}

/// The first value of this name.
pub(super) fn first<'b>(headers: &[Header<'b>], name: &str) -> Option<&'b [u8]> {
    headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
}

/// Whether there is a field of this name.
pub(super) fn has(headers: &[Header<'_>], name: &str) -> bool {
    headers.iter().any(|h| h.name.eq_ignore_ascii_case(name))
}

/// The members of all lists of this name, trimmed; empty ones are left out (RFC 9110, section 5.6.1.2).
pub(super) fn members<'h, 'b>(
    headers: &'h [Header<'b>],
    name: &'h str,
) -> impl Iterator<Item = &'b [u8]> + 'h {
    values(headers, name)
        .flat_map(|value| value.split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|member| !member.is_empty())
}

/// Appends a field.
pub(super) fn write(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a field whose value is a number.
pub(super) fn write_number(name: &str, value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value;
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    write(name, &digits[at..], out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_may_be_spread_over_lines_and_have_gaps() {
        let headers = [("Vary", "a, ,b"), ("vary", ""), ("VARY", " c ")]
            .map(|(name, value)| Header { name, value: value.as_bytes() });
        let all: Vec<_> = members(&headers, "vary").collect();
        assert_eq!(all, [b"a", b"b", b"c"]);
    }

    #[test]
    fn numbers_are_written_as_digits() {
        let mut out = Vec::new();
        write_number("age", 0, &mut out);
        write_number("content-length", u64::MAX, &mut out);
        assert_eq!(out, b"age: 0\r\ncontent-length: 18446744073709551615\r\n");
    }
}
