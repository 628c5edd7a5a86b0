//! Commands of RESP: nothing panics, a command is the same however it arrives in pieces, its strings lie within it and in
//! order, strangers are allowed less and never more, and what was read is read again when it is written down anew.
#![no_main]
#![allow(dead_code, reason = "the parsers' files are taken as they are")]

#[path = "../nowhere.rs"]
mod http;
#[path = "../../../src/resp/mod.rs"]
mod resp;
use resp::Malformed;
use resp::request::{Parser, Range};

type Read = Result<Option<(usize, Vec<Range>)>, Malformed>;

fn read(parser: &mut Parser, bytes: &[u8], stranger: bool) -> Read {
    Ok(parser.read(bytes, stranger)?.map(|length| (length, parser.arguments().to_vec())))
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let whole = read(&mut Parser::default(), input, false);
    let mut parser = Parser::default();
    let mut pieces = Ok(None);
    for end in 0..=input.len() {
        pieces = read(&mut parser, &input[..end], false);
        if pieces != Ok(None) {
            break;
        }
    }
    assert_eq!(whole, pieces);
    let strangers = read(&mut Parser::default(), input, true);
    assert!(strangers == whole || strangers.is_err());
    let Ok(Some((length, arguments))) = whole else { return };
    assert!(0 < length && length <= input.len());
    let mut end = 0;
    for &(from, to) in &arguments {
        assert!(end <= from && from <= to && to as usize <= length);
        end = to;
    }
    let strings: Vec<&[u8]> = arguments.iter().map(|r| &input[r.0 as usize..r.1 as usize]).collect();
    let mut written = Vec::new();
    let mut writer = resp::Writer::new(&mut written, false);
    writer.array(strings.len());
    strings.iter().for_each(|string| writer.bulk(string));
    let again = read(&mut Parser::default(), &written, false).expect("as it is written").expect("it is whole");
    assert_eq!(again.0, written.len());
    assert!(again.1.iter().map(|r| &written[r.0 as usize..r.1 as usize]).eq(strings));
});
