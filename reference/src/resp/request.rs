//! Reading commands, in place: arguments are ranges of the input buffer.

use std::ops::Range;

use super::{ARGUMENTS_LIMIT, BULK_LIMIT, COMMAND_LIMIT, Malformed, integer, line};

/// Reads the command at the start of `bytes` into `arguments`; its length, or none where it is not complete yet.
/// An empty command has no arguments and is to be skipped.
///
/// # Errors
/// Where the bytes never can be a command, or pass a limit.
pub(crate) fn parse_command(
    bytes: &[u8],
    arguments: &mut Vec<Range<usize>>,
) -> Result<Option<usize>, Malformed> {
    arguments.clear();
    match bytes.first() {
        None => Ok(None),
        Some(b'*') => array(bytes, arguments),
        Some(_) => inline(bytes, arguments),
    }
}

fn array(bytes: &[u8], arguments: &mut Vec<Range<usize>>) -> Result<Option<usize>, Malformed> {
    let Some((text, mut at)) = line(bytes, 1)? else { return Ok(None) };
    let count = integer(text).ok_or(Malformed("invalid multibulk length"))?;
    if count > ARGUMENTS_LIMIT as i64 {
        return Err(Malformed("invalid multibulk length"));
    }
    for _ in 0..count {
        match bytes.get(at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(_) => return Err(Malformed("expected '$'")),
        }
        let Some((text, start)) = line(bytes, at + 1)? else { return Ok(None) };
        let length = integer(text)
            .and_then(|n| usize::try_from(n).ok())
            .filter(|n| *n <= BULK_LIMIT)
            .ok_or(Malformed("invalid bulk length"))?;
        let end = start + length;
        if end > COMMAND_LIMIT {
            return Err(Malformed("command too long"));
        }
        if bytes.len() < end + 2 {
            return Ok(None);
        }
        if &bytes[end..end + 2] != b"\r\n" {
            return Err(Malformed("expected the end of a bulk string"));
        }
        arguments.push(start..end);
        at = end + 2;
    }
    Ok(Some(at))
}

fn inline(bytes: &[u8], arguments: &mut Vec<Range<usize>>) -> Result<Option<usize>, Malformed> {
    let Some((text, next)) = line(bytes, 0)? else { return Ok(None) };
    let mut start = None;
    for at in 0..=text.len() {
        let blank = text.get(at).is_none_or(u8::is_ascii_whitespace);
        match (start, blank) {
            (None, false) => start = Some(at),
            (Some(from), true) => {
                arguments.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Command<'b> = (Vec<&'b [u8]>, usize);

    fn parse(bytes: &[u8]) -> Result<Option<Command<'_>>, Malformed> {
        let mut arguments = Vec::new();
        let len = parse_command(bytes, &mut arguments)?;
        Ok(len.map(|len| (arguments.iter().map(|r| &bytes[r.clone()]).collect(), len)))
    }

    #[test]
    fn commands_are_read_only_when_they_are_whole() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$5\r\nk\r\n:1\r\nrest";
        let whole = bytes.len() - 4;
        assert_eq!(parse(bytes), Ok(Some((vec![b"GET".as_slice(), b"k\r\n:1"], whole))));
        assert!((0..whole).all(|cut| parse(&bytes[..cut]) == Ok(None)));
        assert_eq!(parse(b"PING  hello\r\n"), Ok(Some((vec![b"PING".as_slice(), b"hello"], 13))));
    }

    #[test]
    fn sizes_past_the_limits_are_refused_before_they_arrive() {
        for bytes in ["*9999999\r\n", "*1\r\n$99999999999\r\n", "*1\r\n$-1\r\n", "*x\r\n", "*1\r\n:5\r\n"] {
            assert!(parse(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_the_command_parser(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
            let mut starred = b"*2\r\n$".to_vec();
            starred.extend(&bytes);
            let _ = parse(&starred);
        }
    }
}
