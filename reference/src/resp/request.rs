//! Reading commands, in place: arguments are ranges of the input buffer.
//!
//! A command that has not come entirely is taken up where its reading ended, so that a long one in many pieces costs no more
//! than in one.

use super::{ARGUMENTS_LIMIT, BULK_LIMIT, COMMAND_LIMIT, Malformed, line};

/// The longest line with a length in it.
const LENGTH_LINE: usize = 32;

/// What a command may be at most, and what is answered to one that is more.
#[derive(Debug)]
pub(crate) struct Limits {
    /// Strings, and what is said of more.
    pub(crate) strings: (usize, &'static str),
    /// Bytes of one of them, and what is said of more.
    pub(crate) string: (usize, &'static str),
    /// Bytes of all, with their lengths.
    pub(crate) command: (usize, &'static str),
}

impl Limits {
    /// A store's, with Redis's words.
    pub(crate) const STORE: Self = Self {
        strings: (ARGUMENTS_LIMIT, "invalid multibulk length"),
        string: (BULK_LIMIT, "invalid bulk length"),
        command: (COMMAND_LIMIT, "command too long"),
    };
    /// A store's for those who have yet to say who they are (networking.c of Redis since 6.2.6).
    pub(crate) const STRANGER: Self = Self {
        strings: (10, "invalid multibulk length"),
        string: (16 << 10, "invalid bulk length"),
        command: (COMMAND_LIMIT, "command too long"),
    };
    /// An SQL store's: a step of a scenario reads or writes 10,000 rows at most, beside which a statement has four words.
    pub(crate) const STATEMENT: Self = Self {
        strings: (10_004, "invalid multibulk length: a statement has at most 10000 keys"),
        string: (1 << 10, "invalid bulk length: a string of a statement has at most 1024 bytes"),
        command: (1 << 20, "a statement has at most 1 MiB"),
    };
    /// A queue's: a verb and a number.
    pub(crate) const MESSAGE: Self = Self {
        strings: (2, "invalid multibulk length: a command has at most 2 strings"),
        string: (64, "invalid bulk length: a string of a command has at most 64 bytes"),
        command: (1 << 10, "a command has at most 1 KiB"),
    };
}

/// Where a string of a command is in the input: from, to. Commands are shorter than 4 GiB.
pub(crate) type Range = (u32, u32);

/// Reads one command after the other.
#[derive(Debug, Default)]
pub(crate) struct Parser {
    arguments: Vec<Range>,
    /// How many strings are still to come; none at the start of a command.
    missing: Option<usize>,
    /// Where the next of them begins.
    at: usize,
}

impl Parser {
    /// Reads the command at the start of `bytes`; its length, or none where it is not complete yet, in which case the next
    /// call gets the same bytes and some more. An empty command has no arguments and is to be skipped.
    ///
    /// # Errors
    /// Where the bytes never can be a command, or pass a limit.
    #[inline]
    pub(crate) fn read(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Malformed> {
        if self.missing.is_none() {
            self.arguments.clear();
            match bytes.first() {
                None => return Ok(None),
                Some(b'*') => {
                    let (most, problem) = limits.strings;
                    let Some((count, at)) = length(bytes, 1, most, problem)? else { return Ok(None) };
                    (self.missing, self.at) = (Some(count), at);
                }
                Some(_) => return inline(bytes, &mut self.arguments),
            }
        }
        let mut missing = self.missing.unwrap_or(0);
        while missing > 0 {
            let Some(end) = self.string(bytes, limits)? else {
                self.missing = Some(missing);
                return Ok(None);
            };
            self.at = end;
            missing -= 1;
        }
        self.missing = None;
        Ok(Some(self.at))
    }

    /// Reads the next string; where it ends.
    #[inline]
    fn string(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<usize>, Malformed> {
        match bytes.get(self.at) {
            None => return Ok(None),
            Some(b'$') => {}
            Some(_) => return Err(Malformed("expected '$'")),
        }
        let (most, problem) = limits.string;
        let Some((length, start)) = length(bytes, self.at + 1, most, problem)? else { return Ok(None) };
        let end = start + length;
        if end > limits.command.0 {
            return Err(Malformed(limits.command.1));
        }
        match bytes.get(end..end + 2) {
            None => return Ok(None),
            Some(b"\r\n") => {}
            Some(_) => return Err(Malformed("expected the end of a bulk string")),
        }
        self.arguments.push((start as u32, end as u32));
        Ok(Some(end + 2))
    }

    /// The strings of the command that was read last.
    #[inline]
    pub(crate) fn arguments(&self) -> &[Range] {
        &self.arguments
    }
}

/// The number in the line that starts at `at`, and where the next line begins.
#[inline]
fn length(
    bytes: &[u8],
    at: usize,
    most: usize,
    problem: &'static str,
) -> Result<Option<(usize, usize)>, Malformed> {
    let mut number = 0_usize;
    for (i, byte) in bytes[at..].iter().enumerate() {
        match byte {
            b'0'..=b'9' if i < LENGTH_LINE => {
                number = number.saturating_mul(10).saturating_add(usize::from(byte - b'0'));
            }
            b'\r' if i > 0 => {
                return match bytes.get(at + i + 1) {
                    None => Ok(None),
                    Some(b'\n') if number <= most => Ok(Some((number, at + i + 2))),
                    Some(_) => Err(Malformed(problem)),
                };
            }
            // An array of minus one strings is an empty command, says Redis.
            b'-' if i == 0 && bytes[at - 1] == b'*' => {
                return Ok(line(bytes, at)?.map(|(_, next)| (0, next)));
            }
            _ => return Err(Malformed(problem)),
        }
    }
    Ok(None)
}

fn inline(bytes: &[u8], arguments: &mut Vec<Range>) -> Result<Option<usize>, Malformed> {
    let Some((text, next)) = line(bytes, 0)? else { return Ok(None) };
    let mut start = None;
    for at in 0..=text.len() {
        let blank = text.get(at).is_none_or(u8::is_ascii_whitespace);
        match (start, blank) {
            (None, false) => start = Some(at),
            (Some(from), true) => {
                arguments.push((from as u32, at as u32));
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

    fn parse_with<'b>(parser: &mut Parser, bytes: &'b [u8]) -> Result<Option<Command<'b>>, Malformed> {
        let len = parser.read(bytes, &Limits::STORE)?;
        let arguments = parser.arguments().iter().map(|r| &bytes[r.0 as usize..r.1 as usize]);
        Ok(len.map(|len| (arguments.collect(), len)))
    }

    fn parse(bytes: &[u8]) -> Result<Option<Command<'_>>, Malformed> {
        parse_with(&mut Parser::default(), bytes)
    }

    #[test]
    fn commands_are_read_only_when_they_are_whole() {
        let bytes = b"*2\r\n$3\r\nGET\r\n$5\r\nk\r\n:1\r\nrest";
        let whole = bytes.len() - 4;
        let command = Ok(Some((vec![b"GET".as_slice(), b"k\r\n:1"], whole)));
        assert_eq!(parse(bytes), command);
        let mut parser = Parser::default();
        for cut in 0..whole {
            assert_eq!(parse(&bytes[..cut]), Ok(None));
            assert_eq!(parse_with(&mut parser, &bytes[..cut]), Ok(None), "and byte by byte");
        }
        assert_eq!(parse_with(&mut parser, bytes), command);
        assert_eq!(parse(b"PING  hello\r\n"), Ok(Some((vec![b"PING".as_slice(), b"hello"], 13))));
        assert_eq!(parse(b"*-1\r\n"), Ok(Some((vec![], 5))));
        assert_eq!(parse(b"*0\r\n"), Ok(Some((vec![], 4))));
    }

    #[test]
    fn sizes_past_the_limits_are_refused_before_they_arrive() {
        for bytes in ["*9999999\r\n", "*1\r\n$99999999999\r\n", "*1\r\n$-1\r\n", "*x\r\n", "*1\r\n:5\r\n"] {
            assert!(parse(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
        let endless = format!("*{}", "1".repeat(40));
        assert!(parse(endless.as_bytes()).is_err(), "digits without end");
    }

    #[test]
    fn strangers_have_narrow_limits() {
        for bytes in ["*11\r\n", "*1\r\n$16385\r\n"] {
            assert!(Parser::default().read(bytes.as_bytes(), &Limits::STRANGER).is_err(), "{bytes:?}");
            assert_eq!(Parser::default().read(bytes.as_bytes(), &Limits::STORE), Ok(None));
        }
    }

    #[test]
    fn a_limit_that_is_passed_is_named() {
        let long = "*10000\r\n".to_owned() + &format!("$1024\r\n{}\r\n", "x".repeat(1024)).repeat(1100);
        for (bytes, said) in
            [("*10005\r\n", "10000 keys"), ("*1\r\n$1025\r\n", "1024 bytes"), (&long, "1 MiB")]
        {
            let refused = Parser::default().read(bytes.as_bytes(), &Limits::STATEMENT);
            assert!(refused.is_err_and(|error| error.to_string().contains(said)), "{said}");
        }
        for (bytes, said) in [("*3\r\n", "2 strings"), ("*1\r\n$65\r\n", "64 bytes")] {
            let refused = Parser::default().read(bytes.as_bytes(), &Limits::MESSAGE);
            assert!(refused.is_err_and(|error| error.to_string().contains(said)), "{said}");
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

        #[test]
        fn pieces_read_like_the_whole(
            strings in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 1..6),
            cuts in proptest::collection::vec(0..200_usize, 0..6),
        ) {
            let mut bytes = format!("*{}\r\n", strings.len()).into_bytes();
            for string in &strings {
                bytes.extend(format!("${}\r\n", string.len()).bytes());
                bytes.extend(string);
                bytes.extend(b"\r\n");
            }
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < bytes.len()).collect();
            cuts.sort_unstable();
            let mut parser = Parser::default();
            for cut in cuts {
                prop_assert_eq!(parse_with(&mut parser, &bytes[..cut]), Ok(None));
            }
            let (read, length) = parse_with(&mut parser, &bytes)?.expect("it is whole");
            prop_assert_eq!(read, strings);
            prop_assert_eq!(length, bytes.len());
        }
    }
}
