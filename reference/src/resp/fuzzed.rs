//! What any bytes that RESP is read from are held to: by fuzz targets, and in passing by a test.

use super::reply::parse_element;
use super::request::{Limits, Parser, Range};
use super::{Element, Malformed, Writer};

/// Commands of RESP: nothing panics, a command is the same however it arrives in pieces, its strings lie within it and in
/// order, strangers are allowed less and never more, and what was read is read again when it is written down anew.
pub(crate) fn requests(input: &[u8]) {
    let whole = read(&mut Parser::default(), input, &Limits::STORE);
    let mut parser = Parser::default();
    let mut pieces = Ok(None);
    for end in 0..=input.len() {
        pieces = read(&mut parser, &input[..end], &Limits::STORE);
        if pieces != Ok(None) {
            break;
        }
    }
    assert_eq!(whole, pieces);
    let strangers = read(&mut Parser::default(), input, &Limits::STRANGER);
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
    let mut writer = Writer::new(&mut written, false);
    writer.array(strings.len());
    strings.iter().for_each(|string| writer.bulk(string));
    let again = read(&mut Parser::default(), &written, &Limits::STORE)
        .expect("as it is written")
        .expect("it is whole");
    assert_eq!(again.0, written.len());
    assert!(again.1.iter().map(|r| &written[r.0 as usize..r.1 as usize]).eq(strings));
}

/// Replies of RESP: nothing panics, an element lies within its bytes and is the same with anything after it, less than all of
/// it is not taken for one, and what was read is read again when it is written down anew.
pub(crate) fn replies(input: &[u8]) {
    let mut at = 0;
    while let Ok(Some((element, length))) = parse_element(&input[at..]) {
        assert!(0 < length && length <= input.len() - at);
        let bytes = &input[at..at + length];
        assert_eq!(parse_element(bytes), Ok(Some((element, length))));
        assert!((0..length).all(|cut| matches!(parse_element(&bytes[..cut]), Ok(None))));
        let mut written = Vec::new();
        let mut writer = Writer::new(&mut written, false);
        match element {
            Element::Integer(number) => writer.integer(number),
            Element::Bulk(Some(bytes)) => writer.bulk(bytes),
            Element::Bulk(None) => writer.null(),
            Element::Array(length) => writer.array(length),
            // A line may end in a line feed alone, and then hold a carriage return.
            Element::Simple(_) | Element::Error(_) => written.extend_from_slice(bytes),
        }
        assert_eq!(parse_element(&written), Ok(Some((element, written.len()))));
        at += length;
    }
}

type Read = Result<Option<(usize, Vec<Range>)>, Malformed>;

fn read(parser: &mut Parser, bytes: &[u8], limits: &Limits) -> Read {
    Ok(parser.read(bytes, limits)?.map(|length| (length, parser.arguments().to_vec())))
}
